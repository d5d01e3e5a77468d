/**
 * The local HTTP API of state (docs/state-api.md), for code in any language: on a unix socket that only what runs in this sandbox
 * can reach or, for an image, which has files of its own, on the loopback that both share. A request names its invocation in the header `aloft-invocation`; without one it stands for itself.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BlobEntry, blobPieceBytes } from "../../src/wire/blob-shapes.ts";
import type { Effect, ReadReply, ResourceKind, StateRead } from "../../src/wire/effects.ts";
import type { KvEntry } from "../../src/wire/kv-shapes.ts";
import type { CommitReply } from "../../src/wire/messages.ts";
import { StateError } from "../../src/wire/overlay.ts";
import { parseEffect, parseRead, parseStateCommit } from "../../src/wire/parse-effects.ts";
import type { LoadParts } from "../node/runtime.ts";

export const stateSocketPath = join(tmpdir(), "aloft-state.sock");

/** Of a JSON body: a value of a megabyte as base64, and some. */
const bodyBytesMax = 8 * 1024 * 1024;

/** One request's way to the node. */
interface Asking {
  read(read: StateRead): Promise<ReadReply>;
  /** Throws 412 where the condition did not hold. */
  write(effect: Effect): Promise<unknown>;
  commit(seen: CommitSeen, effects: readonly Effect[]): Promise<CommitReply>;
}

type CommitSeen = ReturnType<typeof parseStateCommit>["seen"];

class Refused extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** `loopback`: where, and what every path begins with, so that nobody gets there by a URL that the program fetches for them. */
export async function serveStateApi(
  ask: LoadParts["ask"],
  loopback: { readonly port: number; readonly token: string } | null,
): Promise<void> {
  const { createServer } = process.getBuiltinModule("node:http");
  const prefix = loopback === null ? "" : `/${loopback.token}`;
  const server = createServer((request, response) => {
    const { url = "/" } = request;
    if (url.startsWith(`${prefix}/`)) {
      request.url = url.slice(prefix.length);
      void serve(ask, request, response);
      return;
    }
    request.resume();
    sendJson(response, 404, { code: "NOT_FOUND", message: "there is nothing here" });
  });
  rmSync(stateSocketPath, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    if (loopback === null) server.listen(stateSocketPath, resolve);
    else server.listen(loopback.port, "127.0.0.1", resolve);
  });
  server.unref();
}

async function serve(ask: LoadParts["ask"], request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    await answer(asking(ask, request), request, response);
  } catch (thrown) {
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const error = thrown as { message: string; code?: string; status?: number };
    const code = error.code ?? "REQUEST_INVALID";
    const status = error.status ?? statuses[code] ?? (error instanceof StateError || "code" in error ? 500 : 400);
    sendJson(response, status, { code, message: error.message });
  }
}

/** As in the platform's table of errors; what is not here is 500. */
const statuses: Readonly<Record<string, number>> = {
  REQUEST_INVALID: 400,
  KEY_INVALID: 400,
  INVOCATION_ENDED: 409,
  NOT_AN_INTEGER: 409,
  UPLOAD_EXPIRED: 409,
  DEDUPE_MISMATCH: 409,
  VALUE_TOO_LARGE: 413,
  EFFECTS_TOO_LARGE: 413,
  READ_SET_TOO_LARGE: 413,
  COMMIT_UNKNOWN: 503,
  KEYSPACE_BUSY: 503,
  DISK_FULL: 507,
};

function asking(ask: LoadParts["ask"], request: IncomingMessage): Asking {
  const header = request.headers["aloft-invocation"];
  const invocation = typeof header === "string" && header !== "" ? header : null;
  async function commit(seen: CommitSeen, effects: readonly Effect[]): Promise<CommitReply> {
    return (await ask({ op: "commit", seen, effects }, invocation)) as CommitReply;
  }
  return {
    read: async (read) => (await ask({ op: "read", ...read }, invocation)) as ReadReply,
    commit,
    async write(effect) {
      const reply = await commit([], [effect]);
      if (reply.kind === "conflict") throw new Refused(409, "STATE_CONFLICT", `${reply.where} has changed`);
      const [result] = reply.results;
      if (result === false) throw new Refused(412, "STATE_CONFLICT", "the condition does not hold");
      return result ?? null;
    },
  };
}

async function answer(ask: Asking, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://state");
  const [, resource = "", name, key, ...rest] = url.pathname.split("/").map((part) => decodeURIComponent(part));
  const method = request.method ?? "GET";
  if (rest.length === 0 && method === "POST" && name === undefined) {
    await answerPlain(ask, resource, await readJson(request), response);
    return;
  }
  if (rest.length > 0 || name === undefined || (resource !== "kv" && resource !== "blobs")) {
    throw new Refused(404, "NOT_FOUND", `there is nothing at ${method} ${url.pathname}`);
  }
  const kind: ResourceKind = resource === "kv" ? "kv" : "blob";
  const query = queryOf(url);
  if (key === undefined || key === "") {
    if (method !== "GET") throw new Refused(405, "METHOD_NOT_ALLOWED", "a store is only read");
    sendJson(response, 200, (await ask.read({ resource: kind, name, method: "list", args: query })).value);
    return;
  }
  const args = { ...query, key };
  switch (method) {
    case "GET":
    case "HEAD":
      await (kind === "kv" ? sendValue(ask, name, args, response) : sendBlob(ask, name, args, response));
      return;
    case "PUT":
      await (kind === "kv" ? putValue(ask, name, args, request) : putBlob(ask, name, args, request));
      break;
    case "POST":
      if (kind === "blob") {
        const link = { ...((await readJson(request)) as object | null), key };
        sendJson(response, 200, (await ask.read({ resource: kind, name, method: "link", args: link })).value);
        return;
      }
      await ask.write({ resource: kind, name, method: "increment", args: { key, by: query["by"] ?? 1 } });
      break;
    case "DELETE":
      await ask.write({ resource: kind, name, method: "delete", args });
      break;
    default:
      throw new Refused(405, "METHOD_NOT_ALLOWED", `${method} is not taken here`);
  }
  response.writeHead(204).end();
}

/** What every kind of state is asked with. */
async function answerPlain(ask: Asking, what: string, body: unknown, response: ServerResponse): Promise<void> {
  switch (what) {
    case "read":
      sendJson(response, 200, await ask.read(asJson(parseRead(body))));
      return;
    case "write":
      sendJson(response, 200, { result: await ask.write(parseEffect(body)) });
      return;
    case "commit": {
      const { seen, effects } = parseStateCommit(body);
      const reply = await ask.commit(seen, effects);
      sendJson(response, reply.kind === "committed" ? 200 : 409, reply);
      return;
    }
    default:
      throw new Refused(404, "NOT_FOUND", `there is nothing at POST /${what}`);
  }
}

async function sendValue(ask: Asking, name: string, args: StateRead["args"], response: ServerResponse): Promise<void> {
  const { value } = await ask.read({ resource: "kv", name, method: "get", args });
  const entry = value as KvEntry | null;
  if (entry === null) throw nothing(args);
  const headers = { "aloft-version": String(entry.version) };
  const { json, b64, big } = entry.value as { json?: unknown; b64?: string; big?: string };
  if (b64 === undefined) send(response, headers, "application/json", Buffer.from(big ?? JSON.stringify(json)));
  else send(response, headers, "application/octet-stream", Buffer.from(b64, "base64"));
}

async function putValue(ask: Asking, name: string, args: StateRead["args"], request: IncomingMessage): Promise<void> {
  const isJson = /\bjson\b/.test(request.headers["content-type"] ?? "");
  const value = isJson ? { json: await readJson(request) } : { b64: (await readBody(request)).toString("base64") };
  await ask.write({ resource: "kv", name, method: "set", args: { ...args, value } });
}

async function sendBlob(ask: Asking, name: string, args: StateRead["args"], response: ServerResponse): Promise<void> {
  const found = (await ask.read({ resource: "blob", name, method: "get", args })).value as BlobEntry | null;
  if (found === null) throw nothing(args);
  const { upload, hash } = found.value as BlobEntry["value"] & { upload?: string };
  const target = upload === undefined ? { key: args["key"] } : { upload, hash };
  const { value } = await ask.read({ resource: "blob", name, method: "open", args: { ...target, raw: true } });
  const opened = value as { transfer: string | null; bytes: Buffer; entry: BlobEntry | null } | null;
  if (opened === null) throw nothing(args);
  const { size, contentType } = (opened.entry ?? found).value;
  response.writeHead(200, { "content-type": contentType, "content-length": size, etag: `"${hash}"` });
  let piece = opened.bytes;
  for (let at = 0; at < size;) {
    at += piece.length;
    if (!response.write(piece)) await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
    if (response.destroyed || at >= size || opened.transfer === null) break;
    const more = { transfer: opened.transfer, raw: true, offset: at, length: Math.min(blobPieceBytes, size - at) };
    piece = ((await ask.read({ resource: "blob", name, method: "pull", args: more })).value as { bytes: Buffer }).bytes;
    if (piece.length === 0) throw new Error("the blob's content ends too early");
  }
  if (opened.transfer !== null)
    await ask.read({ resource: "blob", name, method: "end", args: { transfer: opened.transfer } });
  response.end();
}

async function putBlob(ask: Asking, name: string, args: StateRead["args"], request: IncomingMessage): Promise<void> {
  const call = async (method: string, more: StateRead["args"]): Promise<unknown> =>
    (await ask.read({ resource: "blob", name, method, args: more })).value;
  const { upload } = (await call("begin", {})) as { upload: string };
  for await (const chunk of request as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length; at += blobPieceBytes)
      await call("push", { upload, bytes: chunk.subarray(at, at + blobPieceBytes) });
  }
  const done = (await call("finish", { upload })) as { upload: string; hash: string; size: number };
  const contentType = request.headers["content-type"] ?? "application/octet-stream";
  const value = { ...done, contentType, metadata: {}, createdAtMs: Date.now() };
  await ask.write({ resource: "blob", name, method: "set", args: { ...args, value, upload: done.upload } });
}

/** Bytes as base64: what is answered here is JSON. */
function asJson(read: StateRead): StateRead {
  return { ...read, args: { ...read.args, raw: false } };
}

/** Numbers and truths as what they are. */
function queryOf(url: URL): Record<string, unknown> {
  const query: Record<string, unknown> = {};
  for (const [name, value] of url.searchParams) {
    const isTruth = ["reverse", "snapshot", "ifAbsent"].includes(name);
    const isNumber = ["limit", "ifVersion", "expiresInMs"].includes(name);
    query[name] = isTruth ? value !== "false" : isNumber ? Number(value) : value;
  }
  return query;
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  try {
    return JSON.parse((await readBody(request)).toString());
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Refused(400, "REQUEST_INVALID", "the body is not JSON");
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) throw new Refused(413, "VALUE_TOO_LARGE", "the body is too large for a value");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function nothing(args: StateRead["args"]): Refused {
  return new Refused(404, "NOT_FOUND", `there is nothing under the key "${String(args["key"]).slice(0, 200)}"`);
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.statusCode = status;
  send(response, {}, "application/json", Buffer.from(JSON.stringify(body)));
}

function send(response: ServerResponse, headers: Record<string, string>, contentType: string, body: Buffer): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader("content-type", contentType);
  response.setHeader("content-length", body.length);
  response.end(body);
}
