import type { AsJson } from "./json.ts";
import { type Duration, milliseconds } from "./options.ts";
import type { StateRequest } from "./runtime-host.ts";
import { readState, writeState } from "./state-host.ts";

/** What comes back of a value that was set: bytes as bytes, anything else as JSON makes it. */
export type Stored<T> = T extends Uint8Array ? Uint8Array : AsJson<T>;

export interface KvEntry<T> {
  readonly key: string;
  readonly value: T;
  /** Of the commit that wrote it last: for `ifVersion`. */
  readonly version: number;
  /** Absent: never. */
  readonly expiresAt?: Date;
}

export interface KvReadOptions {
  /** The handler does not depend on it: what has changed since does not make it run again. */
  readonly snapshot?: boolean | undefined;
}

export interface KvSetOptions {
  /** The entry is gone after this long; a later `set` without it keeps it for ever. */
  readonly expiresIn?: Duration | undefined;
  /** Only when there is no entry. */
  readonly ifAbsent?: boolean | undefined;
  /** Only when the entry has this version; 0: only when there is none. */
  readonly ifVersion?: number | undefined;
}

export interface KvListOptions extends KvReadOptions {
  readonly prefix?: string | undefined;
  /** First key, included. */
  readonly start?: string | undefined;
  /** Not included. */
  readonly end?: string | undefined;
  /** Entries at most; all of them when left out. */
  readonly limit?: number | undefined;
  /** From the last key to the first. */
  readonly reverse?: boolean | undefined;
}

/** A change that a watch tells of; `value` null: the entry is gone. */
export interface KvChange<T> {
  readonly key: string;
  readonly value: T | null;
  readonly version: number;
}

/** Durable keys and values of an app. Keys are in the order of their code points. */
export interface Kv<T> {
  readonly name: string;
  /** null when there is none. */
  get(key: string, options?: KvReadOptions): Promise<Stored<T> | null>;
  getEntry(key: string, options?: KvReadOptions): Promise<KvEntry<Stored<T>> | null>;
  /** Whether its condition held; without one always true. A value is a Uint8Array or what JSON has, at most 1 MiB. */
  set(key: string, value: T, options?: KvSetOptions): Promise<boolean>;
  /** Whether its condition held; without one always true. */
  delete(key: string, options?: { readonly ifVersion?: number | undefined }): Promise<boolean>;
  /** Read in pages as they are asked for, each as it is at that moment. */
  list(options?: KvListOptions): AsyncIterable<KvEntry<Stored<T>>>;
  /**
   * Adds to a whole number, 0 where there is none, without reading it: it never conflicts with others, and so it does not tell
   * the sum. Rejects with the code `NOT_AN_INTEGER` where there is something else.
   */
  increment(key: string, by?: number | bigint): Promise<void>;
  /**
   * The entry now and after each change, or those with the prefix that have changed (all of them first, at most 10,000). Changes
   * that follow each other fast may come as one. Ends with the invocation; for handlers of requests, such as one that
   * answers with a stream.
   */
  watch(target: string | { readonly prefix: string }): AsyncIterable<KvChange<Stored<T>>>;
}

/**
 * A store of the app's own, by its name; each alias has its own. In an event's handler what is written commits with the
 * acknowledgement of the event, and what is read is checked then: the handler runs again when it has changed. Elsewhere a
 * write is durable when its promise resolves; see `atomic`. Outside Aloft it is a store in memory.
 *
 *     const links = kv<string>("links");
 *     await links.set("a1", "https://example.com", { expiresIn: "30d" });
 *     for await (const { key, value } of links.list({ prefix: "a" })) console.log(key, value);
 */
export function kv<T = unknown>(name: string): Kv<T> {
  if (typeof name !== "string" || name === "") throw new TypeError("kv(): the name is a text");

  function request(method: string, args: StateRequest["args"]): StateRequest {
    return { resource: "kv", name, method, args };
  }

  async function getEntry(key: string, options: KvReadOptions = {}): Promise<KvEntry<Stored<T>> | null> {
    const entry = (await readState(request("get", { key, ...plain(options) }))) as WireEntry | null;
    return entry === null ? null : entryOf<Stored<T>>(entry);
  }

  async function* list(options: KvListOptions = {}): AsyncGenerator<KvEntry<Stored<T>>> {
    let { start, end } = options;
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    const more = plain({ prefix: options.prefix, reverse: options.reverse, snapshot: options.snapshot });
    while (left > 0) {
      const limit = Math.min(left, pageEntries);
      const page = (await readState(request("list", { ...more, ...plain({ start, end }), limit }))) as {
        entries: WireEntry[];
        next: string | null;
      };
      for (const entry of page.entries) yield entryOf<Stored<T>>(entry);
      if (page.next === null) return;
      left -= page.entries.length;
      if (options.reverse === true) end = page.next;
      else start = page.next;
    }
  }

  async function* watchKey(key: string): AsyncGenerator<KvChange<Stored<T>>> {
    for await (const _ of changes({ key })) {
      const entry = await getEntry(key, { snapshot: true });
      yield { key, value: entry?.value ?? null, version: entry?.version ?? 0 };
    }
  }

  async function* watchPrefix(prefix: string): AsyncGenerator<KvChange<Stored<T>>> {
    const versions = new Map<string, number>();
    for await (const _ of changes({ prefix })) {
      const gone = new Set(versions.keys());
      for await (const { key, value, version } of list({ prefix, limit: watchEntriesMax, snapshot: true })) {
        gone.delete(key);
        if (versions.get(key) === version) continue;
        versions.set(key, version);
        yield { key, value, version };
      }
      for (const key of gone) {
        versions.delete(key);
        yield { key, value: null, version: 0 };
      }
    }
  }

  /** Once at the beginning, then after each change. */
  async function* changes(target: { key: string } | { prefix: string }): AsyncGenerator<void> {
    let after: string | undefined;
    for (;;) {
      let reply: { changed: boolean; at: string };
      try {
        reply = (await readState(request("watch", { ...target, ...plain({ after }) }))) as typeof reply;
      } catch (error) {
        if ((error as { code?: unknown }).code === "INVOCATION_ENDED") return;
        throw error;
      }
      after = reply.at;
      if (reply.changed) yield;
    }
  }

  return {
    name,
    getEntry,
    get: async (key, options) => (await getEntry(key, options))?.value ?? null,
    set: (key, value, { expiresIn, ifAbsent, ifVersion } = {}) => {
      const expiresInMs = expiresIn === undefined ? undefined : milliseconds("expiresIn", expiresIn);
      const args = { key, value: wireValue(value), ...plain({ expiresInMs, ifAbsent, ifVersion }) };
      return writeState(request("set", args)) as Promise<boolean>;
    },
    delete: (key, { ifVersion } = {}) =>
      writeState(request("delete", { key, ...plain({ ifVersion }) })) as Promise<boolean>,
    list,
    increment: (key, by = 1) =>
      writeState(request("increment", { key, by: typeof by === "bigint" ? String(by) : by })) as Promise<void>,
    watch: (target) => (typeof target === "string" ? watchKey(target) : watchPrefix(target.prefix)),
  };
}

/** As many as the platform gives in one page. */
const pageEntries = 1000;
const watchEntriesMax = 10_000;

interface WireEntry {
  readonly key: string;
  readonly value: { readonly json?: unknown; readonly b64?: string; readonly big?: string };
  readonly version: number;
  readonly expiresAtMs?: number;
}

function wireValue(value: unknown): object {
  if (value instanceof Uint8Array) return { b64: base64Of(value) };
  if (typeof value === "bigint") return { big: String(value) };
  if (value === undefined) throw new TypeError("the value is undefined; it must be bytes or something that JSON has");
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError("the value is neither bytes nor something that JSON has");
  return { json: JSON.parse(text) as unknown };
}

function entryOf<S>({ key, value, version, expiresAtMs }: WireEntry): KvEntry<S> {
  const { json, b64, big } = value;
  const plainValue = b64 === undefined ? (big === undefined ? json : BigInt(big)) : bytesOf(b64);
  const expiry = expiresAtMs === undefined ? {} : { expiresAt: new Date(expiresAtMs) };
  return { key, value: plainValue as S, version, ...expiry };
}

function base64Of(bytes: Uint8Array): string {
  return (bytes as Uint8Array & { toBase64?(): string }).toBase64?.() ?? Buffer.from(bytes).toString("base64");
}

function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"));
}

/** Without what was left out. */
function plain(options: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
