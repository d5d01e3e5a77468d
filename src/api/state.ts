/** What an app has stored: keys and values, and blobs. Keys stand in the query, where every text can stand. */
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import type { BlobEntry, KvEntry } from "../contract/managing-state.ts";
import { json } from "./answer.ts";
import { bodyChunks, readJsonObject } from "./body.ts";
import type { ApiCall, Resource } from "./route-table.ts";

const listQuery = ["alias", "prefix", "start", "end", "limit", "reverse"];

export const stateResources: readonly Resource[] = [
  ...(["kv", "blob"] as const).flatMap((resource): Resource[] => {
    const path = `/v1/apps/:app/${resource === "kv" ? "kv" : "blobs"}`;
    return [
      {
        method: "GET",
        path,
        query: ["alias"],
        handle: async (call) => json({ stores: await read(call, resource, "stores", {}) }),
      },
      {
        method: "GET",
        path: `${path}/:store`,
        query: listQuery,
        handle: async (call) => json(await read(call, resource, "list", listArgs(call))),
      },
      {
        method: "GET",
        path: `${path}/:store/entry`,
        query: ["alias", "key"],
        async handle(call) {
          const entry = (await read(call, resource, "get", { key: keyOf(call) })) as KvEntry | BlobEntry | null;
          if (entry === null) throw nothing(call);
          return json(entry);
        },
      },
      {
        method: "DELETE",
        path: `${path}/:store/entry`,
        query: ["alias", "key", "ifVersion"],
        async handle(call) {
          const ifVersion = call.query.wholeNumber("ifVersion", 0, Number.MAX_SAFE_INTEGER);
          return json({ done: await write(call, resource, "delete", { key: keyOf(call), ifVersion }) });
        },
      },
    ];
  }),
  {
    method: "PUT",
    path: "/v1/apps/:app/kv/:store/entry",
    query: ["alias", "key"],
    async handle(call) {
      const { value, expiresInMs, ifAbsent, ifVersion, ...rest } = await readJsonObject(call.request);
      const unknown = Object.keys(rest)[0];
      if (unknown !== undefined) throw new AloftError("REQUEST_INVALID", `there is no member "${unknown}" here`);
      const args = { key: keyOf(call), value, expiresInMs, ifAbsent, ifVersion };
      return json({ done: await write(call, "kv", "set", args) });
    },
  },
  {
    method: "GET",
    path: "/v1/apps/:app/blobs/:store/content",
    query: ["alias", "key"],
    async handle(call) {
      const { app, alias, store } = placeOf(call);
      const found = await call.deps.state.openBlob(app, alias, store, keyOf(call));
      if (found === null) throw nothing(call);
      return { kind: "stream", contentType: found.entry.value.contentType, chunks: found.chunks, signal: call.signal };
    },
  },
  {
    method: "PUT",
    path: "/v1/apps/:app/blobs/:store/content",
    query: ["alias", "key", "contentType"],
    async handle(call) {
      const { app, alias, store } = placeOf(call);
      const contentType = call.query.text("contentType") ?? "application/octet-stream";
      const chunks = bodyChunks(call.request, limits.blobBytes);
      const blob = { store, key: keyOf(call), contentType };
      return json({ done: await call.deps.state.putBlob(app, alias, blob, chunks) });
    },
  },
  {
    method: "POST",
    path: "/v1/apps/:app/blobs/:store/links",
    query: ["alias"],
    async handle(call) {
      const { app, alias, store } = placeOf(call);
      return json(await call.deps.state.linkBlob(app, alias, store, await readJsonObject(call.request)));
    },
  },
];

async function read(call: ApiCall, resource: "kv" | "blob", method: string, args: object): Promise<unknown> {
  const { app, alias, store } = placeOf(call);
  return await call.deps.state.read(app, alias, { resource, name: store, method, args: { ...args } });
}

async function write(call: ApiCall, resource: "kv" | "blob", method: string, args: object): Promise<unknown> {
  const { app, alias, store } = placeOf(call);
  return await call.deps.state.write(app, alias, { resource, name: store, method, args: { ...args } });
}

/** Throws APP_NOT_FOUND: nothing is stored for an app that is not there. */
function placeOf({ deps, params, query }: ApiCall): { app: string; alias: string; store: string } {
  const app = deps.apps.getApp(params["app"] ?? "").name;
  return { app, alias: query.alias(), store: params["store"] ?? "" };
}

function keyOf({ query }: ApiCall): string {
  const key = query.text("key");
  if (key !== undefined) return key;
  throw new AloftError("REQUEST_INVALID", 'the query parameter "key" is missing');
}

function listArgs({ query }: ApiCall): object {
  return {
    prefix: query.text("prefix"),
    start: query.text("start"),
    end: query.text("end"),
    limit: query.wholeNumber("limit", 1, limits.kvPageEntries),
    reverse: query.flag("reverse"),
  };
}

function nothing(call: ApiCall): AloftError {
  return new AloftError("NOT_FOUND", `there is nothing under the key "${keyOf(call).slice(0, 200)}"`);
}
