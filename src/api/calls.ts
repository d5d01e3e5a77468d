/** Asynchronous calls: begun, looked at, waited for, cancelled. */
import type { IncomingMessage } from "node:http";
import type { AsyncCallOptions, Destination } from "../contract/async-calls.ts";
import { AloftError } from "../contract/errors.ts";
import { limits, queueLimits } from "../contract/limits.ts";
import { parseDurationMs } from "../lib/durations.ts";
import { json } from "./answer.ts";
import { readBytes } from "./body.ts";
import type { Query } from "./query.ts";
import type { Resource } from "./route-table.ts";

const startQuery = ["alias", "delay", "maxAge", "retry", "onSuccess", "onFailure"];

export const callResources: readonly Resource[] = [
  {
    method: "POST",
    path: "/v1/apps/:app/functions/:function/calls",
    query: startQuery,
    async handle({ deps, params, query, request }) {
      const { app = "", function: name = "" } = params;
      const alias = query.alias();
      assertFunction(deps.apps.listFunctions(app, alias), app, name);
      const input = inputOf(await readBytes(request, limits.messageBytes));
      const begun = await deps.calls.start(app, alias, name, input, optionsOf(query, request));
      return { kind: "json", body: begun, status: 202 };
    },
  },
  {
    method: "GET",
    path: "/v1/apps/:app/calls",
    query: ["alias", "function", "status", "limit", "before"],
    async handle({ deps, params, query }) {
      const app = deps.apps.getApp(params["app"] ?? "").name;
      const filter = {
        function: query.text("function"),
        status: query.choice("status", ["pending", "succeeded", "failed", "cancelled"]),
        limit: query.wholeNumber("limit", 1, 1000),
        before: query.text("before"),
      };
      const given = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
      return json({ calls: await deps.calls.list(app, query.alias(), given) });
    },
  },
  {
    method: "GET",
    path: "/v1/apps/:app/calls/:id",
    query: ["alias", "wait"],
    async handle({ deps, params, query, signal }) {
      const app = deps.apps.getApp(params["app"] ?? "").name;
      const waitMs = durationOf(query, "wait", 0, limits.callWaitMs);
      const { id = "" } = params;
      const alias = query.alias();
      if (waitMs === undefined) return json(await deps.calls.get(app, alias, id));
      return json(await deps.calls.wait(app, alias, id, waitMs, signal));
    },
  },
  {
    method: "DELETE",
    path: "/v1/apps/:app/calls/:id",
    query: ["alias"],
    async handle({ deps, params, query }) {
      const app = deps.apps.getApp(params["app"] ?? "").name;
      return json(await deps.calls.cancel(app, query.alias(), params["id"] ?? ""));
    },
  },
];

function assertFunction(functions: readonly { readonly name: string }[], app: string, name: string): void {
  if (functions.some((one) => one.name === name)) return;
  throw new AloftError("FUNCTION_NOT_FOUND", `the app "${app}" has no function "${name}"`, {
    detail: { functions: functions.map((one) => one.name) },
  });
}

function inputOf(bytes: Buffer): unknown {
  if (bytes.length === 0) return null;
  try {
    return JSON.parse(bytes.toString());
  } catch (error) {
    throw new AloftError("REQUEST_INVALID", `the input is not JSON: ${(error as Error).message}`, {
      hint: "what a function is called with asynchronously is kept as JSON",
    });
  }
}

function optionsOf(query: Query, request: IncomingMessage): AsyncCallOptions {
  const delayMs = durationOf(query, "delay", 0, limits.messageDelayMs);
  const maxAgeMs = durationOf(query, "maxAge", queueLimits.maxAgeMs.min, queueLimits.maxAgeMs.max);
  const retry = query.text("retry");
  const key = request.headers["idempotency-key"];
  const onSuccess = destinationOf(query, "onSuccess");
  const onFailure = destinationOf(query, "onFailure");
  return {
    ...(delayMs === undefined ? {} : { delayMs }),
    ...(maxAgeMs === undefined ? {} : { maxAgeMs }),
    ...(retry === undefined ? {} : { retry: retryOf(retry) }),
    ...(typeof key === "string" ? { idempotencyKey: key } : {}),
    ...(onSuccess === null ? {} : { onSuccess }),
    ...(onFailure === null ? {} : { onFailure }),
  };
}

function retryOf(text: string): NonNullable<AsyncCallOptions["retry"]> {
  if (text === "lambda" || text === "none") return text;
  if (/^\d{1,4}$/.test(text)) return { attempts: Number(text) };
  throw new AloftError("REQUEST_INVALID", `retry is "${text}"; it is lambda, none or the number of tries in all`);
}

/** `queue:NAME` or `function:NAME`. */
function destinationOf(query: Query, name: string): Destination | null {
  const text = query.text(name);
  if (text === undefined) return null;
  const [kind, ...rest] = text.split(":");
  const target = rest.join(":");
  if (target !== "" && kind === "queue") return { queue: target };
  if (target !== "" && kind === "function") return { function: target };
  throw new AloftError("REQUEST_INVALID", `${name} is "${text}"; it is queue:NAME or function:NAME`);
}

function durationOf(query: Query, name: string, minMs: number, maxMs: number): number | undefined {
  const text = query.text(name);
  if (text === undefined) return undefined;
  const ms = parseDurationMs(text);
  if (ms !== null && ms >= minMs && ms <= maxMs) return ms;
  throw new AloftError("REQUEST_INVALID", `${name} is "${text}"; it is a duration from ${minMs} to ${maxMs} ms`);
}
