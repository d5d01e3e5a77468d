/** What stores with keys have in common: reading an entry or a page of them, and the check of what was read. */
import type { Environment } from "../contract/durable.ts";
import type { Check, Entry, Key, Keyspace } from "../contract/keyspace.ts";
import { limits } from "../contract/limits.ts";
import { decodeTuple } from "../contract/tuple.ts";
import type { ReadReply, ResourceKind, Seen } from "../wire/effects.ts";
import { cutBounds, nextKey } from "../wire/kv-shapes.ts";
import { type Args, invalidArg, optionalInteger, optionalText, optionalTruth, textArg } from "./arguments.ts";

export interface Layout {
  readonly kind: ResourceKind;
  key(environment: Environment, store: string, key: string): Key;
  /** From `start` (included) to `end` (not included); null: the store's own. */
  range(environment: Environment, store: string, start: string | null, end: string | null): { start: Key; end: Key };
  /** All stores of the environment. */
  all(environment: Environment): { start: Key; end: Key };
  /** Where the store's name and the entry's key stand in the tuple. */
  readonly nameAt: number;
  readonly keyAt: number;
  value(stored: Uint8Array): unknown;
}

export interface Keyed {
  get(environment: Environment, name: string, args: Args): Promise<ReadReply>;
  list(environment: Environment, name: string, args: Args): Promise<ReadReply>;
  listStores(environment: Environment): Promise<string[]>;
  checkOf(environment: Environment, seen: Seen): Check;
}

export function createKeyed(keyspace: Keyspace, layout: Layout): Keyed {
  const { kind } = layout;

  async function get(environment: Environment, name: string, args: Args): Promise<ReadReply> {
    const key = keyArg(args);
    const [entry = null] = await keyspace.get([layout.key(environment, name, key)]);
    const value = entry === null ? null : shown(key, entry);
    const seen: Seen = { resource: kind, name, key, version: entry?.version ?? 0 };
    return { value, seen: optionalTruth(args, "snapshot") ? [] : [seen] };
  }

  async function list(environment: Environment, name: string, args: Args): Promise<ReadReply> {
    const isReverse = optionalTruth(args, "reverse");
    const limit = optionalInteger(args, "limit", 1, limits.kvPageEntries) ?? limits.kvPageEntries;
    const { start, end } = boundsOf(args);
    const { entries, next } = await keyspace.range({
      ...layout.range(environment, name, start, end),
      limit,
      isReverse,
    });
    const last = entries.at(-1);
    const lastKey = last === undefined || next === null ? null : textOf(last);
    const page = {
      entries: entries.map((entry) => shown(textOf(entry), entry)),
      next: lastKey === null || isReverse ? lastKey : nextKey(lastKey),
    };
    if (optionalTruth(args, "snapshot")) return { value: page, seen: [] };
    const seen: Seen = {
      resource: kind,
      name,
      start: isReverse && lastKey !== null ? lastKey : start,
      end: !isReverse && lastKey !== null ? nextKey(lastKey) : end,
      count: entries.length,
      highest: entries.reduce((most, { version }) => Math.max(most, version), 0),
    };
    return { value: page, seen: [seen] };
  }

  /** From one store to the next, however much is in them. */
  async function listStores(environment: Environment): Promise<string[]> {
    const names: string[] = [];
    const { start, end } = layout.all(environment);
    for (let from = start; ;) {
      const { entries } = await keyspace.range({ start: from, end, limit: 1 });
      const [first] = entries;
      if (first === undefined) return names.sort();
      const name = String(decodeTuple(first.key)[layout.nameAt]);
      names.push(name);
      from = layout.range(environment, name, null, null).end;
    }
  }

  function checkOf(environment: Environment, seen: Seen): Check {
    if ("key" in seen) return checkOfVersion(layout.key(environment, seen.name, seen.key), seen.version);
    const range = layout.range(environment, seen.name, seen.start, seen.end);
    return { kind: "range", ...range, count: seen.count, highestVersion: seen.highest };
  }

  function shown(key: string, { value, version, expiresAtMs }: Entry): object {
    return { key, value: layout.value(value), version, ...(expiresAtMs === null ? {} : { expiresAtMs }) };
  }

  function textOf({ key }: Entry): string {
    return String(decodeTuple(key)[layout.keyAt]);
  }

  return { get, list, listStores, checkOf };
}

/** `version` 0: nothing is there. */
export function checkOfVersion(key: Key, version: number): Check {
  return version === 0 ? { kind: "absent", key } : { kind: "version", key, version };
}

export function keyArg(args: Args): string {
  const key = textArg(args, "key");
  if (key === "") throw invalidArg("key", "must not be empty");
  return key;
}

/** The version that must stand there, 0 for none; null: no matter. */
export function conditionOf(args: Args): number | null {
  const isIfAbsent = optionalTruth(args, "ifAbsent");
  const ifVersion = optionalInteger(args, "ifVersion", 0, Number.MAX_SAFE_INTEGER);
  if (!isIfAbsent) return ifVersion;
  if (ifVersion !== null && ifVersion !== 0) throw invalidArg("ifVersion", 'cannot be given together with "ifAbsent"');
  return 0;
}

/** What a list asks for: everything with the prefix, cut to [start, end). */
function boundsOf(args: Args): { start: string; end: string | null } {
  const prefix = optionalText(args, "prefix") ?? "";
  return cutBounds(prefix, optionalText(args, "start") ?? "", optionalText(args, "end"));
}
