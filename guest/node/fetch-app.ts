/** Apps that answer every request by themselves: `export default { fetch }` and `export default (request) => ...`. */
import type { RequestListener, Server } from "node:http";
import type { Context } from "../../sdk/index.ts";
import type { LoadedFunction } from "./loaded-function.ts";
import { exchangeWithServer } from "./node-http.ts";
import { requestWithValue, valueOfResponse } from "./value-request.ts";

/** null when the value is none. */
export function loadFetchApp(value: unknown): LoadedFunction | null {
  const fetch = fetchOf(value);
  if (fetch === null) return null;
  const call = async (input: unknown, context: Context): Promise<unknown> =>
    await valueOfResponse(await fetch(requestWithValue(input, context), context));
  return { name: "default", style: "fetch", triggers: [], limits: {}, fetch, call };
}

function fetchOf(value: unknown): LoadedFunction["fetch"] | null {
  if (typeof value !== "object" && typeof value !== "function") return null;
  if (value === null) return null;
  if (hasFetch(value)) {
    const env = { ...process.env };
    return (request, context) => value.fetch(request, env, new WorkersContext(context));
  }
  if (typeof value !== "function") return null;
  if (isExpressApp(value)) return throughServer(value);
  const handler = value as (request: Request, context: Context) => unknown;
  return (request, context) => handler(request, context);
}

interface FetchApp {
  fetch(request: Request, env: Readonly<Record<string, string | undefined>>, context: WorkersContext): unknown;
}

function hasFetch(value: object): value is FetchApp {
  return "fetch" in value && typeof value.fetch === "function";
}

/** Express's and Connect's apps are functions of (req, res) with a method `handle`. */
function isExpressApp(value: object): value is RequestListener {
  return "handle" in value && typeof value.handle === "function" && "use" in value;
}

function throughServer(listener: RequestListener): LoadedFunction["fetch"] {
  let server: Server | null = null;
  return (request, context) => {
    server ??= process.getBuiltinModule("node:http").createServer(listener);
    return exchangeWithServer(server, request, context.remoteAddress).response;
  };
}

/** The third argument of Workers' `fetch`, with all that other handlers get as their context. */
class WorkersContext implements Context {
  readonly #context: Context;
  readonly waitUntil: (promise: Promise<unknown>) => void;

  constructor(context: Context) {
    this.#context = context;
    this.waitUntil = context.waitUntil;
  }

  /** There is no origin behind an app to pass a request on to: an exception is the answer. */
  passThroughOnException(): void {}

  get invocationId(): string {
    return this.#context.invocationId;
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }

  get deadline(): number {
    return this.#context.deadline;
  }

  get params(): Readonly<Record<string, string>> {
    return this.#context.params;
  }

  get app(): string {
    return this.#context.app;
  }

  get function(): string {
    return this.#context.function;
  }

  get deployment(): string {
    return this.#context.deployment;
  }

  get traceparent(): string {
    return this.#context.traceparent;
  }

  get attempt(): number {
    return this.#context.attempt;
  }

  get idempotencyKey(): string {
    return this.#context.idempotencyKey;
  }

  get remoteAddress(): string {
    return this.#context.remoteAddress;
  }
}
