/**
 * The program that runs inside a sandbox. It starts ahead of need: by the time it says hello, everything that the first
 * request would otherwise wait for (web classes, module loader, the path through this runtime) has been used once.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { installRequest, LightRequest } from "./request.ts";
import { installResponse } from "./response.ts";
import { Runtime } from "./runtime.ts";

async function main(): Promise<void> {
  installRequest();
  installResponse();
  const runtime = new Runtime();
  await touchWebClasses();
  await touchModuleLoader();
  await runtime.rehearse();
  runtime.hello();
}

/** Untouched, the web classes cost 40 ms on the first request that needs them. */
async function touchWebClasses(): Promise<void> {
  const controller = new AbortController();
  const light = new LightRequest({ method: "GET", url: "http://localhost/", headers: ["a", "b"] }, null, () => controller.signal);
  const request = new Request(light as unknown as Request);
  const url = new URL(request.url);
  const response = new Response(url.pathname, { headers: { "content-type": "text/plain" } });
  await response.clone().text();
  const stream = new Response(new ReadableStream({ start: (c) => c.close() }));
  await stream.arrayBuffer();
  // A data URL never leaves the process, and loads all of fetch.
  await (await fetch("data:,touched")).text();
  void crypto.randomUUID();
}

/** A module from a file takes other steps than one from memory: this is the way the deployment will come. */
async function touchModuleLoader(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "aloft-"));
  const file = join(folder, "index.mjs");
  await writeFile(file, "export default 1;\n");
  await import(pathToFileURL(file).href);
  await rm(folder, { recursive: true, force: true });
}

void main();
