/**
 * Any program that answers HTTP: on the port in `PORT`, or on the unix socket whose path is in `ALOFT_SOCKET`, whichever it
 * listens on. Bodies stream both ways, and an invocation that is aborted closes its connection.
 */
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Context } from "../../sdk/index.ts";
import type { Assign, AssignProgram } from "../../src/wire/messages.ts";
import { BadResponse, Crashed } from "../node/answer.ts";
import type { LoadedFunction } from "../node/loaded-function.ts";
import { exchangeOver } from "../node/node-http.ts";
import type { LoadParts } from "../node/runtime.ts";
import { requestWithValue, valueOfResponse } from "../node/value-request.ts";
import { layerEnvironment } from "./layers.ts";
import { stateSocketPath } from "./state-api.ts";
import { type Address, freePort, untilReady } from "./listening.ts";
import { type RunningProgram, runProgram, sentenceOf } from "./program.ts";

/** From SIGTERM to SIGKILL; the node waits a little longer than that. */
const stopGraceMs = 10_000;
/** A little less than the node waits for a start, so that the program's own words reach the user. */
export const readyMs = 28_000;
/** A connection that has been idle for longer is closed from this side: servers close theirs after two seconds and more. */
const idleConnectionMs = 1000;
/** A connection that breaks is often the first sign of a program's end. */
const endSeenMs = 250;

export async function startHttpProgram(
  assign: Assign,
  program: AssignProgram,
  parts: LoadParts,
): Promise<LoadedFunction> {
  const port = await freePort();
  const socketPath = join(tmpdir(), "aloft-http.sock");
  const running = runProgram({
    argv: program.command,
    cwd: assign.root,
    env: programEnvironment(assign, { PORT: String(port), ALOFT_SOCKET: socketPath }),
    printed: parts.printed,
  });
  const addresses: readonly Address[] = [{ host: "127.0.0.1", port }, { socketPath }];
  const address = await untilReady({ addresses, path: program.ready, withinMs: readyMs, ended: running.ended }).catch(
    async (error: unknown) => {
      await running.stop(0);
      throw error;
    },
  );
  let isStopping = false;
  void running.ended.then((end) => {
    if (!isStopping) parts.crashed(new Crashed(sentenceOf(end)));
  });
  parts.onDrained = async () => {
    isStopping = true;
    await running.stop(stopGraceMs);
  };
  return httpFunction(address, running);
}

/** `running`: how a broken connection is told from a program that has ended. */
export function httpFunction(address: Address, running: Pick<RunningProgram, "ended" | "end">): LoadedFunction {
  const fetch = proxyTo(address, running);
  return {
    name: "",
    style: "server",
    triggers: [],
    limits: {},
    fetch,
    call: async (input, context) => await valueOfResponse(await fetch(requestWithValue(input, context), context)),
  };
}

/** What a program finds in its environment: this process's own is only what a program needs at least. */
export function programEnvironment(
  { app, deployment, root, variables }: Assign,
  own: Readonly<Record<string, string>>,
): Record<string, string> {
  const { PATH: path = "", LANG = "C.UTF-8" } = process.env;
  // The Node that runs Aloft comes before any other of the machine.
  const paths = layerEnvironment(root, `${dirname(process.execPath)}:${path}`);
  const base = { ...paths, LANG, HOME: tmpdir(), TMPDIR: tmpdir(), NODE_ENV: "production" };
  const platform = { ALOFT_APP: app, ALOFT_DEPLOYMENT: deployment, ALOFT_STATE_SOCKET: stateSocketPath };
  return { ...base, ...variables, ...platform, ...own };
}

function proxyTo(
  address: Address,
  running: Pick<RunningProgram, "ended" | "end">,
): (request: Request, context: Context) => Promise<Response> {
  const agent = new Agent({ keepAlive: true, timeout: idleConnectionMs, maxFreeSockets: 64 });
  return async (request, { invocationId }) => {
    try {
      return await exchangeOver(request, { ...address, agent }, undefined, invocationId).response;
    } catch (error) {
      if (request.signal.aborted || error instanceof BadResponse) throw error;
      throw await causeOf(error as Error, running);
    }
  };
}

async function causeOf(broken: Error, running: Pick<RunningProgram, "ended" | "end">): Promise<Error> {
  const end = running.end ?? (await Promise.race([running.ended, pause(endSeenMs, null)]));
  if (end !== null) return new Crashed(sentenceOf(end));
  return new BadResponse(`the program closed the connection without a whole answer: ${broken.message}`);
}
