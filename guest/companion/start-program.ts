/** Loads a deployment whose code is a program: starts it in the way of its runtime. */
import type { Assign, AssignProgram } from "../../src/wire/messages.ts";
import type { LoadedFunction } from "../node/loaded-function.ts";
import type { LoadParts } from "../node/runtime.ts";
import { startHttpProgram } from "./http-mode.ts";
import { startImageProgram } from "./image-mode.ts";
import { startLambdaImage } from "./lambda-image-mode.ts";
import { serveStateApi } from "./state-api.ts";
import { startLambdaProgram } from "./lambda-mode.ts";

/** How one runtime starts its program: resolves with what answers its invocations once it is ready. */
export type StartMode = (assign: Assign, program: AssignProgram, parts: LoadParts) => Promise<LoadedFunction>;

const modes: Readonly<Record<string, StartMode>> = {
  command: startHttpProgram,
  provided: startProvided,
  nodejs: startLambdaProgram,
  image: startImageProgram,
};

/** In the folder of the deployment, or in an image. */
async function startProvided(assign: Assign, program: AssignProgram, parts: LoadParts): Promise<LoadedFunction> {
  const { image } = program;
  return await (image === undefined
    ? startLambdaProgram(assign, program, parts)
    : startLambdaImage(assign, program, image.port, parts));
}

export async function startProgram(assign: Assign, parts: LoadParts): Promise<readonly LoadedFunction[]> {
  const { program } = assign;
  if (program === undefined) throw new Error("no program was assigned");
  const start = modes[program.runtime];
  if (start === undefined) throw new Error(`the runtime ${program.runtime} cannot be served yet`);
  const { image } = program;
  await serveStateApi(parts.ask, image === undefined ? null : { port: image.statePort, token: image.stateToken });
  const loaded = await start(assign, program, parts);
  // The instance serves one function; only its own number ever comes.
  return assign.functions.map(({ name }) => ({ ...loaded, name }));
}
