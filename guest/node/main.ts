/**
 * The program that runs inside a sandbox. It starts ahead of need: by the time it says hello, everything that the first
 * request would otherwise wait for (web classes, module loader, the path through this runtime) has been used once.
 */
import { installRequest, LightRequest } from "./request.ts";
import { installResponse } from "./response.ts";
import { Runtime } from "./runtime.ts";

async function main(): Promise<void> {
  installRequest();
  installResponse();
  const runtime = new Runtime();
  await touchWebClasses();
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
  const emptyModule = "data:text/javascript,export default 1";
  await import(emptyModule);
}

void main();
