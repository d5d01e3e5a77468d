/**
 * The guest that speaks for a program which knows nothing of frames. It waits for a deployment like any guest, then starts
 * the program and passes invocations on to it:
 *
 *   http     the program answers HTTP on a port or a unix socket (`http-mode.ts`)
 *   lambda   the program asks for its invocations by the AWS Lambda Runtime API (`lambda-mode.ts`)
 */
import { writeSync } from "node:fs";
import { exitNow } from "../node/exit.ts";
import { installHeaders } from "../node/headers.ts";
import { installRequest } from "../node/request.ts";
import { installResponse } from "../node/response.ts";
import { Runtime } from "../node/runtime.ts";
import { startProgram } from "./start-program.ts";

async function main(): Promise<void> {
  installHeaders();
  installRequest();
  installResponse();
  const runtime = new Runtime(startProgram);
  await runtime.rehearse();
  // Every program is spoken to over HTTP: loaded here, it costs no cold start.
  process.getBuiltinModule("node:http");
  runtime.hello(async () => {});
}

main().catch((error: unknown) => {
  // Without a hello the node would wait for it.
  writeSync(2, `the companion could not start: ${String((error as Error).stack ?? error)}\n`);
  exitNow(1);
});
