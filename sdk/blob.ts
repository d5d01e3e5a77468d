import type {
  BlobBody,
  BlobDownloadUrlOptions,
  BlobEvent,
  BlobEventHandler,
  BlobEventOptions,
  BlobGetOptions,
  BlobInfo,
  BlobListOptions,
  BlobPutOptions,
  BlobStore,
  BlobUploadUrlOptions,
  StoredBlob,
} from "./blob-shapes.ts";
import type { Context } from "./context.ts";
import { type EventFunction, eventFunction, splitOptions } from "./event.ts";
import { milliseconds } from "./options.ts";
import { findRuntimeHost, type StateRequest } from "./runtime-host.ts";
import { readState, stateHost, writeState } from "./state-host.ts";

/**
 * A store of the app's own for contents of any size, by its name; each alias has its own. They are streamed both ways.
 *
 *     const photos = blob("photos");
 *     export const upload = http("PUT /photos/:id", async (request, { params }) => {
 *       await photos.put(params.id, request);
 *       return new Response(null, { status: 204 });
 *     });
 *     export const show = http("GET /photos/:id", async (_request, { params }) => {
 *       const photo = await photos.get(params.id);
 *       if (photo === null) return new Response("no such photo", { status: 404 });
 *       return new Response(photo.body, { headers: { "content-type": photo.contentType } });
 *     });
 */
export function blob(name: string): BlobStore {
  if (typeof name !== "string" || name === "") throw new TypeError("blob(): the name is a text");

  function request(method: string, args: StateRequest["args"]): StateRequest {
    return { resource: "blob", name, method, args };
  }

  async function ask<T>(method: string, args: StateRequest["args"]): Promise<T> {
    return (await readState(request(method, args))) as T;
  }

  async function upload(body: BlobBody): Promise<Uploaded> {
    const whole = await smallBody(body);
    if (whole !== null) return await ask("put", { bytes: whole });
    const { upload: transfer } = await ask<{ upload: string }>("begin", {});
    try {
      let last: Promise<unknown> = Promise.resolve();
      for await (const piece of piecesOf(body)) {
        // One piece is on its way while the next one is gathered.
        await last;
        last = ask("push", { upload: transfer, bytes: piece });
        last.catch(() => {});
      }
      await last;
      return await ask("finish", { upload: transfer });
    } catch (error) {
      await ask("end", { transfer }).catch(() => {});
      throw error;
    }
  }

  async function put(key: string, body: BlobBody, options: BlobPutOptions): Promise<boolean> {
    const contentType = options.contentType ?? typeOf(body);
    const { upload: id, hash, size } = await upload(body);
    const { metadata = {}, ifAbsent, ifVersion } = options;
    // What is held until an event's outcome is read back from here.
    const value = { hash, size, contentType, metadata, createdAtMs: Date.now(), upload: id };
    return (await writeState(request("set", { key, value, upload: id, ...plain({ ifAbsent, ifVersion }) }))) as boolean;
  }

  async function findEntry(key: string, snapshot: boolean | undefined): Promise<WireEntry | null> {
    return await ask("get", { key, ...plain({ snapshot }) });
  }

  async function get(key: string, { start = 0, end, snapshot }: BlobGetOptions): Promise<StoredBlob | null> {
    const found = await findEntry(key, snapshot);
    if (found === null) return null;
    const { upload: own, copyOf, hash } = found.value;
    const isLocal = findRuntimeHost() === null;
    const target = isLocal || own === undefined ? { key: isLocal ? key : (copyOf ?? key) } : { upload: own, hash };
    const opened = await ask<Opened | null>("open", { ...target, raw: true, offset: start, ...plain({ snapshot }) });
    if (opened === null) return null;
    const info = infoOf(opened.entry === null || copyOf !== undefined ? found : opened.entry);
    const stop = Math.min(end ?? info.size, info.size);
    const body = bodyOf(opened, start, stop, (at, length) =>
      ask("pull", { transfer: opened.transfer, raw: true, offset: at, length }),
    );
    const stream = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const { done, value } = await body.next();
          if (done === true) controller.close();
          else controller.enqueue(value);
        },
        async cancel() {
          if (opened.transfer !== null) await ask("end", { transfer: opened.transfer });
        },
      },
      { highWaterMark: 0 },
    );
    const response = new Response(stream);
    return {
      ...info,
      get body() {
        return response.body as ReadableStream<Uint8Array>;
      },
      bytes: async () => new Uint8Array(await response.arrayBuffer()),
      text: () => response.text(),
      json: () => response.json(),
    };
  }

  async function* list(options: BlobListOptions = {}): AsyncGenerator<BlobInfo> {
    let { start, end } = options;
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    const { prefix, reverse, snapshot } = options;
    while (left > 0) {
      const limit = Math.min(left, pageEntries);
      const page = await ask<{ entries: WireEntry[]; next: string | null }>("list", {
        ...plain({ prefix, reverse, snapshot, start, end }),
        limit,
      });
      for (const entry of page.entries) yield infoOf(entry);
      if (page.next === null) return;
      left -= page.entries.length;
      if (reverse === true) end = page.next;
      else start = page.next;
    }
  }

  async function link(
    method: "GET" | "PUT",
    { key, expiresIn, ...more }: BlobUploadUrlOptions & BlobDownloadUrlOptions & { readonly key: string },
  ): Promise<string> {
    const expiresInMs = expiresIn === undefined ? undefined : milliseconds("expiresIn", expiresIn);
    return (await ask<{ url: string }>("link", { key, method, ...plain({ expiresInMs, ...more }) })).url;
  }

  function listen(on: "created" | "deleted") {
    return (...more: [BlobEventHandler] | [BlobEventOptions, BlobEventHandler]): EventFunction<BlobEvent> => {
      const [options, handler] = more.length === 1 ? [{}, more[0]] : more;
      const { limits, own } = splitOptions(options);
      async function deliver(
        { messages }: { messages: readonly { body: WireEvent }[] },
        context: Context,
      ): Promise<void> {
        for (const { body } of messages) {
          const { createdAtMs, ...event } = body;
          await handler({ ...event, createdAt: new Date(createdAtMs) }, context);
        }
      }
      return eventFunction({
        trigger: { kind: "blob", name, options: { on, ...own } },
        options: limits,
        handler,
        deliver,
      });
    };
  }

  return {
    name,
    uploadUrl: (key, options = {}) => link("PUT", { ...options, key }),
    downloadUrl: (key, options = {}) => link("GET", { ...options, key }),
    onCreated: listen("created"),
    onDeleted: listen("deleted"),
    put: (key, body, options = {}) => tracked(put(key, body, options)),
    get: (key, options = {}) => get(key, options),
    head: async (key, { snapshot } = {}) => {
      const entry = await findEntry(key, snapshot);
      return entry === null ? null : infoOf(entry);
    },
    list,
    delete: (key, { ifVersion } = {}) =>
      writeState(request("delete", { key, ...plain({ ifVersion }) })) as Promise<boolean>,
    copy: (from, to) =>
      tracked(
        (async () => {
          const entry = await findEntry(from, false);
          if (entry === null) throw new Error(`there is no blob "${from}" to copy`);
          const source = entry.value.upload === undefined ? { from: { key: from } } : { upload: entry.value.upload };
          const value = { ...entry.value, ...(entry.value.upload === undefined ? { copyOf: from } : {}) };
          return (await writeState(request("set", { key: to, value, ...source }))) as boolean;
        })(),
      ),
  };
}

/** As many as the platform gives in one page. */
const pageEntries = 1000;
/** As the platform's limit of one piece. */
const pieceBytes = 512 * 1024;

type WireEvent = Omit<BlobEvent, "createdAt"> & { readonly createdAtMs: number };

interface Uploaded {
  readonly upload: string;
  readonly hash: string;
  readonly size: number;
}

interface WireEntry {
  readonly key: string;
  readonly value: {
    readonly hash: string;
    readonly size: number;
    readonly contentType: string;
    readonly metadata: Readonly<Record<string, string>>;
    readonly createdAtMs: number;
    /** Of an own write that is held. */
    readonly upload?: string;
    readonly copyOf?: string;
  };
  readonly version: number;
}

interface Opened {
  /** null: `b64` is all there is. */
  readonly transfer: string | null;
  readonly entry: WireEntry | null;
  /** The first piece. */
  readonly bytes: Uint8Array;
}

function infoOf({ key, value, version }: WireEntry): BlobInfo {
  const { size, hash, contentType, metadata, createdAtMs } = value;
  return { key, size, hash, contentType, metadata, createdAt: new Date(createdAtMs), version };
}

/** The next piece is on its way while the one before it is taken. */
async function* bodyOf(
  { transfer, bytes: first }: Opened,
  start: number,
  end: number,
  pull: (offset: number, length: number) => Promise<{ bytes: Uint8Array }>,
): AsyncGenerator<Uint8Array> {
  let at = start;
  for (let piece = first; at < end;) {
    const bytes = own(piece.subarray(0, end - at));
    at += bytes.length;
    const isLast = at >= end || transfer === null || bytes.length === 0;
    const next = isLast ? null : pull(at, Math.min(pieceBytes, end - at));
    next?.catch(() => {}); // said where it is taken
    if (bytes.length > 0) yield bytes;
    if (next === null) break;
    piece = (await next).bytes;
  }
  if (at < end) throw new Error("the blob's content ends too early");
  if (transfer !== null) await pull(end, 0);
}

/** With memory that holds nothing else: whoever takes it may hand it on, to a worker for one. */
function own(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

/** Bytes that are at hand and fit one piece. */
async function smallBody(body: BlobBody): Promise<Buffer | null> {
  if (typeof body === "string") return body.length > pieceBytes ? null : small(Buffer.from(body));
  if (body instanceof Uint8Array) return small(Buffer.from(body.buffer, body.byteOffset, body.byteLength));
  if (body instanceof ArrayBuffer) return small(Buffer.from(body));
  if (body instanceof Blob) return body.size > pieceBytes ? null : Buffer.from(await body.arrayBuffer());
  if (body instanceof ReadableStream) return null;
  return body.body === null ? Buffer.alloc(0) : null;
}

function small(bytes: Buffer): Buffer | null {
  return bytes.length > pieceBytes ? null : bytes;
}

async function* piecesOf(body: BlobBody): AsyncGenerator<Buffer> {
  let gathered: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of streamOf(body)) {
    for (let rest = chunk; rest.length > 0;) {
      const part = rest.subarray(0, pieceBytes - bytes);
      rest = rest.subarray(part.length);
      gathered.push(part);
      bytes += part.length;
      if (bytes < pieceBytes) continue;
      yield Buffer.concat(gathered);
      gathered = [];
      bytes = 0;
    }
  }
  if (bytes > 0) yield Buffer.concat(gathered);
}

function streamOf(body: BlobBody): AsyncIterable<Uint8Array> {
  if (typeof body === "string" || body instanceof Uint8Array || body instanceof ArrayBuffer)
    return new Blob([body as Uint8Array<ArrayBuffer> | string]).stream();
  if (body instanceof ReadableStream) return body;
  if (body instanceof Blob) return body.stream();
  return body.body ?? new ReadableStream();
}

function typeOf(body: BlobBody): string {
  if (typeof body === "string") return "text/plain; charset=utf-8";
  if (body instanceof Uint8Array || body instanceof ArrayBuffer || body instanceof ReadableStream) return fallbackType;
  const type = body instanceof Blob ? body.type : body.headers.get("content-type");
  return type === null || type === "" ? fallbackType : type;
}

const fallbackType = "application/octet-stream";

/** The answer of the handler waits for it, awaited or not. */
function tracked<T>(work: Promise<T>): Promise<T> {
  stateHost().track(work);
  return work.then((result) => result);
}

/** Without what was left out. */
function plain(options: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
