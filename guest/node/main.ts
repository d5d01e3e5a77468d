/**
 * The program that runs inside a sandbox. It starts ahead of need: by the time it says hello, everything that most first
 * requests would otherwise wait for (module loader, the path through this runtime) has been used once. While it goes on
 * waiting it also loads the web classes and `fetch`, which cost more than all the rest.
 */
import { writeSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { exitNow } from "./exit.ts";
import { installHeaders } from "./headers.ts";
import { importFunctions } from "./import-functions.ts";
import { installAwsLambda } from "./lambda.ts";
import { nativeWeb } from "./native-web.ts";
import { installRequest } from "./request.ts";
import { installResponse } from "./response.ts";
import { Runtime } from "./runtime.ts";

async function main(): Promise<void> {
  installHeaders();
  installRequest();
  installResponse();
  installAwsLambda();
  const runtime = new Runtime(importFunctions);
  await touchModuleLoader();
  await runtime.rehearse();
  runtime.hello(touchWebClasses);
}

/** Untouched, they cost 60 ms on the first request that needs them. */
async function touchWebClasses(): Promise<void> {
  const { Request: NativeRequest, Response: NativeResponse } = nativeWeb();
  const request = new NativeRequest("http://localhost/", { method: "POST", body: "touched" });
  await new NativeResponse(await request.text()).clone().text();
  // A data URL never leaves the process, and loads all of fetch.
  await (await fetch("data:,touched")).text();
}

/**
 * A module from a file takes other steps than one from memory: this is the way the deployment will come. Where the disk is
 * full, the first import is slower, and that is all.
 */
async function touchModuleLoader(): Promise<void> {
  const folder = join(tmpdir(), "aloft-touched");
  try {
    await mkdir(folder);
    const file = join(folder, "index.mjs");
    await writeFile(file, "export default 1;\n");
    await import(pathToFileURL(file).href);
  } catch {
    // Written in part it does not parse, and not at all it is not found.
  }
  await rm(folder, { recursive: true, force: true }).catch(() => {});
}

main().catch((error: unknown) => {
  // Without a hello the node would wait for it.
  writeSync(2, `the runtime could not start: ${String((error as Error).stack ?? error)}\n`);
  exitNow(1);
});
