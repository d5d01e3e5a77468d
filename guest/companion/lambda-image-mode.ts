/**
 * An image whose program speaks the AWS Lambda Runtime API. The node starts it in a container of its own, once the API can
 * be reached on the network that both share; its process is not seen here, so what would end it ends the instance.
 */
import type { Assign, AssignProgram } from "../../src/wire/messages.ts";
import { Crashed } from "../node/answer.ts";
import { lambdaAccountId, lambdaName, lambdaVersion } from "../node/lambda-context.ts";
import type { LoadedFunction } from "../node/loaded-function.ts";
import type { LoadParts } from "../node/runtime.ts";
import type { Child } from "./lambda/child.ts";
import { Environment, EnvironmentError } from "./lambda/environment.ts";
import { functionOf, thrownBy } from "./lambda/lambda-function.ts";
import { readyMs } from "./http-mode.ts";

export async function startLambdaImage(
  { app, lambda, memoryMiB }: Assign,
  program: AssignProgram,
  port: number,
  parts: LoadParts,
): Promise<LoadedFunction> {
  const functionName = lambda ?? "default";
  const name = lambdaName(app, functionName);
  const handler = program.handler === "" ? functionName : program.handler;
  let isOpen = false;
  const environment = new Environment({
    facts: { accountId: lambdaAccountId, functionName: name, functionVersion: lambdaVersion, handler, memoryMiB },
    argv: [],
    cwd: "/",
    env: {},
    extensions: [],
    initMs: readyMs,
    printed: () => {},
    // A start that fails says why by itself.
    outside: { port, runtime: () => outsideChild((error) => isOpen && parts.crashed(error)) },
  });
  parts.onDrained = () => environment.shutdown("spindown");
  try {
    await environment.open();
    isOpen = true;
  } catch (error) {
    if (error instanceof EnvironmentError) throw thrownBy(error.error);
    throw error;
  }
  return functionOf(environment, name);
}

/** Stands for the program: to end it is to end the instance, which takes no more work from then on. */
function outsideChild(crashed: (error: Error) => void): Child {
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  const child: Child = {
    pid: 0,
    ended,
    isOver: false,
    terminate: () => child.kill(),
    kill: () => {
      if (child.isOver) return;
      child.isOver = true;
      crashed(new Crashed("the image's runtime was ended"));
      resolve("");
    },
  };
  return child;
}
