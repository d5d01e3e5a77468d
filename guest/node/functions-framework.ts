/**
 * Functions registered with the Functions Framework. `http` and `cloudevent` handlers run inside the real package's own
 * server, so its middleware (parsed bodies, event conversions) applies; their errors come here and not into a response.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Server } from "node:http";
import type { Context } from "../../sdk/index.ts";
import type { Registration } from "../../sdk/runtime-host.ts";
import type { LoadedFunction } from "./loaded-function.ts";
import { exchangeWithServer } from "./node-http.ts";
import { requestWithValue, valueOfResponse } from "./value-request.ts";

export function loadRegistration(registration: Registration): LoadedFunction {
  const base = { name: registration.name, triggers: [], limits: {} };
  if (registration.server === null) {
    const call = (input: unknown): Promise<unknown> => callEventHandler(registration.handler, input);
    return {
      ...base,
      style: "ff-event",
      call,
      fetch: async (request) => eventAnswer(await call(await request.json())),
    };
  }
  const fetch = throughFramework(registration, registration.server);
  const style = registration.signature === "http" ? "ff-http" : "ff-cloudevent";
  const call = async (input: unknown, context: Context): Promise<unknown> =>
    await valueOfResponse(await fetch(requestWithValue(input, context), context));
  return { ...base, style, fetch, call };
}

/** Errors of handlers, for the invocation in whose flow they were thrown. */
const reporters = new AsyncLocalStorage<(error: unknown) => void>();

function throughFramework(
  registration: Registration,
  makeServer: () => Server,
): (request: Request, context: Context) => Promise<Response> {
  let server: Server | null = null;
  registration.onError = (error) => reporters.getStore()?.(error);
  return (request, context) =>
    new Promise((resolve, reject) => {
      let destroy: ((reason: Error) => void) | null = null;
      const report = (error: unknown): void => {
        reject(error);
        // After the head the rejection has no effect, and the answer is cut instead.
        destroy?.(error instanceof Error ? error : new Error(String(error)));
      };
      reporters.run(report, () => {
        server ??= makeServer();
        const exchange = exchangeWithServer(server, request, context.remoteAddress);
        destroy = exchange.destroy;
        exchange.response.then(resolve, reject);
      });
    });
}

/**
 * (data, context) handlers, the first generation of Google's functions. The event is `{ data, context }`, or one with its
 * context's fields beside `data`, which is how a CloudEvent looks as well.
 */
function callEventHandler(handler: Registration["handler"], input: unknown): Promise<unknown> {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    throw new TypeError("an event handler is called with an object: { data, context } or a CloudEvent");
  }
  const { data, context = withoutData(input), ..._rest } = input as { data?: unknown; context?: unknown };
  const run = handler as (data: unknown, context: unknown, callback?: EventCallback) => unknown;
  if (run.length <= 2) return Promise.resolve(run(data, context));
  return new Promise((resolve, reject) => {
    run(data, context, (error, result) => {
      if (error === undefined || error === null) resolve(result);
      else reject(error);
    });
  });
}

type EventCallback = (error?: unknown, result?: unknown) => void;

function withoutData(event: object): Record<string, unknown> {
  const { data: _data, ...context } = event as Record<string, unknown>;
  return context;
}

/** As the framework answers: nothing for nothing. */
function eventAnswer(result: unknown): Response {
  return result === undefined || result === null ? new Response(null, { status: 204 }) : Response.json(result);
}
