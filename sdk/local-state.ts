/**
 * State in the memory of the process, for code that runs outside Aloft: unit tests, scripts. It answers as the platform does;
 * nothing is durable, and nothing is shared with other processes.
 */
import type { StateHost, StateRequest } from "./runtime-host.ts";

interface Entry {
  readonly key: string;
  readonly value: unknown;
  readonly version: number;
  readonly expiresAtMs?: number;
}

type Args = StateRequest["args"];

const stores = new Map<string, Map<string, Entry>>();
/** Pieces of what is being uploaded, and contents by their hash. */
const uploads = new Map<string, Buffer[]>();
const contents = new Map<string, Buffer>();
const waiting = new Set<() => void>();
let version = 0;

export const localState: StateHost = {
  async read({ resource, name, method, args }) {
    if (resource !== "kv" && resource !== "blob") throw outside(resource);
    const store = storeOf(`${resource} ${name}`);
    switch (method) {
      case "get":
        return find(store, String(args["key"]));
      case "list":
        return { entries: list(store, args), next: null };
      case "watch":
        return await watch(store, args);
      case "open": {
        const entry = find(store, String(args["key"]));
        return entry === null ? null : openContent(entry, Number(args["offset"] ?? 0));
      }
      case "begin":
        return beginUpload();
      case "push":
        uploads.get(String(args["upload"]))?.push(Buffer.from(args["bytes"] as Uint8Array));
        return null;
      case "finish":
        return await finishUpload(String(args["upload"]));
      case "put": {
        const { upload } = beginUpload();
        uploads.get(upload)?.push(Buffer.from(args["bytes"] as Uint8Array));
        return await finishUpload(upload);
      }
      case "end":
        return null;
      case "link":
        return { url: unsignedLink(name, args) };
      default:
        throw outside(method);
    }
  },
  async write({ resource, name, method, args }) {
    if (resource !== "kv" && resource !== "blob") throw outside(resource);
    const store = storeOf(`${resource} ${name}`);
    const key = String(args["key"]);
    const former = find(store, key);
    if (args["ifAbsent"] === true && former !== null) return false;
    if (typeof args["ifVersion"] === "number" && args["ifVersion"] !== (former?.version ?? 0)) return false;
    if (method === "delete") store.delete(key);
    else {
      version += 1;
      const value = method === "increment" ? sum(former, args["by"] ?? 1) : args["value"];
      const expiresInMs = args["expiresInMs"];
      const kept = method === "increment" ? former?.expiresAtMs : undefined;
      const expiresAtMs = typeof expiresInMs === "number" ? Date.now() + expiresInMs : kept;
      store.set(key, { key, value, version, ...(expiresAtMs === undefined ? {} : { expiresAtMs }) });
    }
    for (const wake of waiting) wake();
    return method === "increment" ? null : true;
  },
  track() {},
  atomic: undoOnThrow,
  undoOnThrow,
};

async function undoOnThrow<T>(work: () => Promise<T>): Promise<T> {
  const before = new Map([...stores].map(([name, store]) => [name, new Map(store)]));
  try {
    return await work();
  } catch (error) {
    stores.clear();
    for (const [name, store] of before) stores.set(name, store);
    throw error;
  }
}

function beginUpload(): { upload: string } {
  const upload = crypto.randomUUID();
  uploads.set(upload, []);
  return { upload };
}

async function finishUpload(upload: string): Promise<{ upload: string; hash: string; size: number }> {
  const bytes = Buffer.concat(uploads.get(upload) ?? []);
  uploads.delete(upload);
  const hash = Buffer.from(await crypto.subtle.digest("SHA-256", bytes)).toString("hex");
  contents.set(hash, bytes);
  return { upload, hash, size: bytes.length };
}

function openContent(entry: Entry, offset: number): object {
  // Held writes name their upload; here nothing is held.
  const { upload: _, ...value } = entry.value as { hash: string; upload?: string };
  const bytes = contents.get(value.hash)?.subarray(offset) ?? Buffer.alloc(0);
  return { transfer: null, entry: { ...entry, value }, bytes };
}

/** To be looked at by a test; it leads nowhere. */
function unsignedLink(store: string, { key, method }: Args): string {
  const query = new URLSearchParams({ store, key: String(key) });
  return `http://localhost/.aloft/blob/${method === "PUT" ? "upload" : "download"}?${query.toString()}`;
}

function storeOf(name: string): Map<string, Entry> {
  let store = stores.get(name);
  if (store === undefined) {
    store = new Map();
    stores.set(name, store);
  }
  return store;
}

function find(store: Map<string, Entry>, key: string): Entry | null {
  const entry = store.get(key);
  return entry === undefined || (entry.expiresAtMs ?? Number.POSITIVE_INFINITY) <= Date.now() ? null : entry;
}

function list(store: Map<string, Entry>, args: Args): Entry[] {
  const { prefix, start, end, limit, reverse } = args as {
    prefix?: string;
    start?: string;
    end?: string;
    limit?: number;
    reverse?: boolean;
  };
  const keys = [...store.keys()].filter(
    (key) =>
      key.startsWith(prefix ?? "") &&
      (start === undefined || compare(key, start) >= 0) &&
      (end === undefined || compare(key, end) < 0),
  );
  keys.sort(compare);
  if (reverse === true) keys.reverse();
  const entries = keys.map((key) => find(store, key)).filter((entry) => entry !== null);
  return entries.slice(0, limit);
}

async function watch(store: Map<string, Entry>, args: Args): Promise<{ changed: boolean; at: string }> {
  const { key, prefix, after } = args as { key?: string; prefix?: string; after?: string };
  const look = (): string => {
    if (key !== undefined) return String(find(store, key)?.version ?? 0);
    const entries = list(store, { prefix });
    return `${entries.length} ${Math.max(0, ...entries.map((entry) => entry.version))}`;
  };
  while (look() === after) {
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.add(resolve);
    await promise;
    waiting.delete(resolve);
  }
  return { changed: true, at: look() };
}

function sum(former: Entry | null, by: unknown): unknown {
  const value = (former?.value ?? { json: 0 }) as { json?: unknown; big?: string };
  const isInteger = value.big !== undefined || Number.isSafeInteger(value.json);
  if (!isInteger) throw Object.assign(new Error("the value is no integer"), { code: "NOT_AN_INTEGER" });
  const integer = BigInt(value.big ?? Number(value.json)) + BigInt(by as number | string);
  return Number.isSafeInteger(Number(integer)) ? { json: Number(integer) } : { big: String(integer) };
}

/** Keys are in the order of their code points. */
function compare(a: string, b: string): number {
  const left = Array.from(a, (character) => character.codePointAt(0) ?? 0);
  const right = Array.from(b, (character) => character.codePointAt(0) ?? 0);
  const at = left.findIndex((point, index) => point !== right[index]);
  return at === -1 ? left.length - right.length : (left[at] ?? 0) - (right[at] ?? -1);
}

function outside(what: string): Error {
  return new Error(`${what} works inside Aloft only`);
}
