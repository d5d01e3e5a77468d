/** Queues of an app and alias: what is in them, and what is done to them. */
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import type { RedriveRequest } from "../contract/managing-queues.ts";
import { json } from "./answer.ts";
import { readJsonObject } from "./body.ts";
import type { ApiCall, Resource } from "./route-table.ts";

const path = "/v1/apps/:app/queues/:queue";

export const queueResources: readonly Resource[] = [
  {
    method: "GET",
    path: "/v1/apps/:app/queues",
    query: ["alias"],
    handle: async ({ deps, params, query }) =>
      json({ queues: await deps.queues.listQueues(params["app"] ?? "", query.alias()) }),
  },
  {
    method: "GET",
    path,
    query: ["alias"],
    handle: async (call) => json(await call.deps.queues.getQueue(...placeOf(call))),
  },
  {
    method: "GET",
    path: `${path}/messages`,
    query: ["alias", "limit"],
    async handle(call) {
      const limit = call.query.wholeNumber("limit", 1, limits.peekMessages) ?? 10;
      return json({ messages: await call.deps.queues.peek(...placeOf(call), limit) });
    },
  },
  {
    method: "POST",
    path: `${path}/messages`,
    query: ["alias"],
    async handle(call) {
      const message = await readJsonObject(call.request);
      return json({ messages: await call.deps.queues.send(...placeOf(call), message) });
    },
  },
  {
    method: "POST",
    path: `${path}/pause`,
    query: ["alias"],
    handle: async (call) => json(await call.deps.queues.setPaused(...placeOf(call), true)),
  },
  {
    method: "POST",
    path: `${path}/resume`,
    query: ["alias"],
    handle: async (call) => json(await call.deps.queues.setPaused(...placeOf(call), false)),
  },
  {
    method: "POST",
    path: `${path}/purge`,
    query: ["alias"],
    handle: async (call) => json(await call.deps.queues.purge(...placeOf(call))),
  },
  {
    method: "POST",
    path: `${path}/redrive`,
    query: ["alias"],
    async handle(call) {
      const request = parseRedrive(await readJsonObject(call.request));
      return json(await call.deps.queues.redrive(...placeOf(call), request));
    },
  },
];

function placeOf({ params, query }: ApiCall): [app: string, alias: string, queue: string] {
  return [params["app"] ?? "", query.alias(), params["queue"] ?? ""];
}

function parseRedrive(body: Readonly<Record<string, unknown>>): RedriveRequest {
  const { error, id, dryRun = false, ...rest } = body;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined)
    throw invalid(`there is no member "${unknown.slice(0, 100)}" here, only error, id and dryRun`);
  if (error !== undefined && typeof error !== "string") throw invalid("error must be a text");
  if (id !== undefined && typeof id !== "string") throw invalid("id must be a text");
  if (typeof dryRun !== "boolean") throw invalid("dryRun must be true or false");
  return { dryRun, ...(error === undefined ? {} : { error }), ...(id === undefined ? {} : { id }) };
}

function invalid(message: string): AloftError {
  return new AloftError("REQUEST_INVALID", message);
}
