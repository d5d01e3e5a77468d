/** Streams of an app: what is in them, who reads them and how far; append, read, empty, move and pause consumers, redrive. */
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import type { RedriveParkedRequest } from "../contract/triggering.ts";
import { json } from "./answer.ts";
import { readJsonObject } from "./body.ts";
import { actionOf, targetOf } from "./crons.ts";
import type { ApiCall, Resource } from "./route-table.ts";

const base = "/v1/apps/:app/streams";
const consumer = `${base}/:stream/consumers/:consumer`;

export const streamResources: readonly Resource[] = [
  {
    method: "GET",
    path: base,
    query: ["alias"],
    async handle(call) {
      const { app, alias } = targetOf(call);
      return json({ streams: await call.deps.triggers.listStreams(app, alias) });
    },
  },
  {
    method: "GET",
    path: `${base}/:stream`,
    query: ["alias"],
    async handle(call) {
      const { app, alias } = targetOf(call);
      return json(await call.deps.triggers.getStream(app, alias, streamOf(call)));
    },
  },
  {
    method: "DELETE",
    path: `${base}/:stream`,
    query: ["alias"],
    async handle(call) {
      const { app, alias } = targetOf(call);
      return json(await call.deps.triggers.deleteStream(app, alias, streamOf(call)));
    },
  },
  {
    method: "POST",
    path: `${base}/:stream/purge`,
    query: ["alias"],
    async handle(call) {
      const { app, alias } = await actionOf(call);
      return json(await call.deps.triggers.purgeStream(app, alias, streamOf(call)));
    },
  },
  {
    method: "POST",
    path: `${base}/:stream/records`,
    query: ["alias"],
    async handle(call) {
      const { app, alias } = targetOf(call);
      const body = await readJsonObject(call.request);
      return json(await call.deps.triggers.appendRecords(app, alias, streamOf(call), body));
    },
  },
  {
    method: "GET",
    path: `${base}/:stream/records`,
    query: ["alias", "partition", "from", "limit"],
    async handle(call) {
      const { app, alias } = targetOf(call);
      const { query } = call;
      const request = {
        partition: query.wholeNumber("partition", 0, limits.streamPartitions - 1) ?? null,
        from: query.text("from") ?? null,
        limit: query.wholeNumber("limit", 1, limits.streamPageRecords) ?? 100,
      };
      return json({ records: await call.deps.triggers.readRecords(app, alias, streamOf(call), request) });
    },
  },
  {
    method: "POST",
    path: `${consumer}/seek`,
    query: ["alias"],
    async handle(call) {
      const { app, alias } = targetOf(call);
      const { from } = await readJsonObject(call.request);
      if (typeof from !== "string") {
        throw new AloftError("REQUEST_INVALID", 'from must be text: "earliest", "latest", a time or an offset');
      }
      await call.deps.triggers.seekConsumer(app, alias, streamOf(call), consumerOf(call), from);
      return json({ moved: true });
    },
  },
  ...(["pause", "resume"] as const).map((action): Resource => ({
    method: "POST",
    path: `${consumer}/${action}`,
    query: ["alias"],
    async handle(call) {
      const { app, alias } = await actionOf(call);
      await call.deps.triggers.pauseConsumer(app, alias, streamOf(call), consumerOf(call), action === "pause");
      return json({ paused: action === "pause" });
    },
  })),
  {
    method: "GET",
    path: `${consumer}/parked`,
    query: ["alias"],
    async handle(call) {
      const { app, alias } = targetOf(call);
      return json({ parked: await call.deps.triggers.listParked(app, alias, streamOf(call), consumerOf(call)) });
    },
  },
  {
    method: "POST",
    path: `${consumer}/redrive`,
    query: ["alias"],
    async handle(call) {
      const { app, alias } = targetOf(call);
      const request = parseRedrive(await readJsonObject(call.request));
      return json(await call.deps.triggers.redriveParked(app, alias, streamOf(call), consumerOf(call), request));
    },
  },
];

function parseRedrive({ dryRun = false, ...texts }: Readonly<Record<string, unknown>>): RedriveParkedRequest {
  if (typeof dryRun !== "boolean") throw invalid("dryRun must be true or false");
  for (const [name, value] of Object.entries(texts)) {
    if (!["error", "key", "offset"].includes(name)) {
      throw invalid(`there is no member "${name.slice(0, 100)}" here, only error, key, offset and dryRun`);
    }
    if (typeof value !== "string") throw invalid(`${name} must be a text`);
  }
  return { ...(texts as Pick<RedriveParkedRequest, "error" | "key" | "offset">), dryRun };
}

function invalid(message: string): AloftError {
  return new AloftError("REQUEST_INVALID", message);
}

function streamOf({ params }: ApiCall): string {
  return params["stream"] ?? "";
}

function consumerOf({ params }: ApiCall): string {
  return params["consumer"] ?? "";
}
