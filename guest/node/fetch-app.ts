/** Apps that answer every request by themselves: `export default { fetch }` and `export default (request) => ...`. */
import type { RequestListener, Server } from "node:http";
import type { Context } from "../../sdk/index.ts";
import type { LoadedFunction } from "./loaded-function.ts";
import { exchangeWithServer } from "./node-http.ts";
import { deliverBatch } from "./workers-queue.ts";
import { isWorkersModule, WorkersContext, type WorkersEnvironment } from "./workers-module.ts";
import { requestWithValue, valueOfResponse } from "./value-request.ts";

/** null when the value is none. */
export function loadFetchApp(value: unknown, env: WorkersEnvironment): LoadedFunction | null {
  const fetch = fetchOf(value, env);
  if (fetch === null) return null;
  const call = async (input: unknown, context: Context): Promise<unknown> =>
    await valueOfResponse(await fetch(requestWithValue(input, context), context));
  const loaded: LoadedFunction = { name: "default", style: "fetch", triggers: [], limits: {}, fetch, call };
  if (typeof value !== "object" || value === null || !isWorkersModule(value)) return loaded;
  const { scheduled, queue } = value;
  if (typeof scheduled !== "function" && typeof queue !== "function") return loaded;
  return {
    ...loaded,
    // What the handler returns counts for nothing, as on Workers.
    event: async (trigger, payload, context) => {
      if (trigger === "queue" && typeof queue === "function") {
        return await deliverBatch(payload, (batch) => queue.call(value, batch, env, new WorkersContext(context)));
      }
      if (trigger !== "cron" || typeof scheduled !== "function") return await call(payload, context);
      const { cron, scheduledTime } = payload as { cron: string; scheduledTime: number };
      const event = { type: "scheduled", cron, scheduledTime, noRetry() {} };
      await scheduled.call(value, event, env, new WorkersContext(context));
      return null;
    },
  };
}

function fetchOf(value: unknown, env: WorkersEnvironment): LoadedFunction["fetch"] | null {
  if (typeof value !== "object" && typeof value !== "function") return null;
  if (value === null) return null;
  if (isWorkersModule(value)) {
    return (request, context) => value.fetch(request, env, new WorkersContext(context));
  }
  if (typeof value !== "function") return null;
  if (isExpressApp(value)) return throughServer(value);
  const handler = value as (request: Request, context: Context) => unknown;
  return (request, context) => handler(request, context);
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
