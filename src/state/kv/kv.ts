/**
 * The resource `kv`: named stores of keys and values.
 *
 * Reads
 *   get     {key, snapshot?}                                            a KvEntry or null
 *   list    {prefix?, start?, end?, limit?, reverse?, snapshot?}        a KvPage
 *   stores  {}                                                          names
 *   watch   {key | prefix, after, waitMs}                               whether it has changed since (`kv-watch.ts`)
 * Effects
 *   set        {key, value, expiresInMs?, ifAbsent?, ifVersion?}        whether it was done
 *   delete     {key, ifVersion?}                                        whether it was done
 *   increment  {key, by}                                                null; the number is not read, so it never conflicts
 */
import type { CommitPlan, Environment, Resource } from "../../contract/durable.ts";
import type { Check, Entry, Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import type { Effect, ReadReply, Seen, StateRead } from "../../wire/effects.ts";
import { cutBounds, type KvEntry, type KvPage, nextKey } from "../../wire/kv-shapes.ts";
import {
  type Args,
  assertResourceName,
  invalidArg,
  optionalInteger,
  optionalText,
  optionalTruth,
  textArg,
  unknownMethod,
} from "../arguments.ts";
import { keyOfKv, kvAll, kvKey, kvRange, storeOfKv } from "./kv-keys.ts";
import { decodeKvValue, encodeKvValue } from "./kv-values.ts";
import { watchKv } from "./kv-watch.ts";

/** Longer than that is for ever: some 31 years. */
const expiresInMsMax = 1e12;

export function createKv(keyspace: Keyspace): Resource {
  async function read(environment: Environment, { name, method, args }: StateRead): Promise<ReadReply> {
    if (method === "stores") return { value: await listStores(environment), seen: [] };
    assertResourceName("kv", name);
    switch (method) {
      case "get":
        return await get(environment, name, args);
      case "list":
        return await list(environment, name, args);
      case "watch":
        return { value: await watchKv(keyspace, environment, name, args), seen: [] };
      default:
        throw unknownMethod("kv", method);
    }
  }

  async function get(environment: Environment, name: string, args: Args): Promise<ReadReply> {
    const key = keyArg(args);
    const [entry = null] = await keyspace.get([kvKey(environment, name, key)]);
    const value = entry === null ? null : entryOf(key, entry);
    const seen: Seen = { resource: "kv", name, key, version: entry?.version ?? 0 };
    return { value, seen: optionalTruth(args, "snapshot") ? [] : [seen] };
  }

  async function list(environment: Environment, name: string, args: Args): Promise<ReadReply> {
    const isReverse = optionalTruth(args, "reverse");
    const limit = optionalInteger(args, "limit", 1, limits.kvPageEntries) ?? limits.kvPageEntries;
    const { start, end } = boundsOf(args);
    const { entries, next } = await keyspace.range({ ...kvRange(environment, name, start, end), limit, isReverse });
    const last = entries.at(-1);
    const lastKey = last === undefined || next === null ? null : keyOfKv(last.key);
    const page: KvPage = {
      entries: entries.map((entry) => entryOf(keyOfKv(entry.key), entry)),
      next: lastKey === null || isReverse ? lastKey : nextKey(lastKey),
    };
    if (optionalTruth(args, "snapshot")) return { value: page, seen: [] };
    const seen: Seen = {
      resource: "kv",
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
    const { start, end } = kvAll(environment);
    for (let from = start; ;) {
      const { entries } = await keyspace.range({ start: from, end, limit: 1 });
      const [first] = entries;
      if (first === undefined) return names.sort();
      const { store } = storeOfKv(first.key);
      names.push(store);
      from = kvRange(environment, store, null, null).end;
    }
  }

  function plan({ name, method, args }: Effect, into: CommitPlan): unknown {
    assertResourceName("kv", name);
    const key = kvKey(into.environment, name, keyArg(args));
    switch (method) {
      case "set": {
        const value = encodeKvValue(args["value"]);
        const expiresInMs = optionalInteger(args, "expiresInMs", 1, expiresInMsMax);
        const expiry = expiresInMs === null ? {} : { expiresAtMs: into.nowMs + expiresInMs };
        const condition = conditionOf(args);
        const write = (): void => into.write({ kind: "set", key, value, ...expiry });
        return condition === null ? (write(), true) : writeIf(key, condition, into, write);
      }
      case "delete": {
        const condition = conditionOf(args);
        const write = (): void => into.write({ kind: "delete", key });
        return condition === null ? (write(), true) : writeIf(key, condition, into, write);
      }
      case "increment": {
        into.write({ kind: "add", key, amount: amountArg(args) });
        return null;
      }
      default:
        throw unknownMethod("kv", method);
    }
  }

  /** `version` 0: nothing is there. A check that fails later has the whole commit planned anew, and this answer with it. */
  async function writeIf(key: Uint8Array, version: number, into: CommitPlan, write: () => void): Promise<boolean> {
    const [entry = null] = await keyspace.get([key]);
    into.check(checkOfVersion(key, entry?.version ?? 0));
    if ((entry?.version ?? 0) !== version) return false;
    write();
    return true;
  }

  function checkOf(environment: Environment, seen: Seen): Check | null {
    if ("key" in seen) return checkOfVersion(kvKey(environment, seen.name, seen.key), seen.version);
    const range = kvRange(environment, seen.name, seen.start, seen.end);
    return { kind: "range", ...range, count: seen.count, highestVersion: seen.highest };
  }

  return { kind: "kv", read, plan, checkOf };
}

function entryOf(key: string, { value, version, expiresAtMs }: Entry): KvEntry {
  return { key, value: decodeKvValue(value), version, ...(expiresAtMs === null ? {} : { expiresAtMs }) };
}

function checkOfVersion(key: Uint8Array, version: number): Check {
  return version === 0 ? { kind: "absent", key } : { kind: "version", key, version };
}

function keyArg(args: Args): string {
  const key = textArg(args, "key");
  if (key === "") throw invalidArg("key", "must not be empty");
  return key;
}

/** What a list asks for: everything with the prefix, cut to [start, end). */
function boundsOf(args: Args): { start: string; end: string | null } {
  const prefix = optionalText(args, "prefix") ?? "";
  const start = optionalText(args, "start") ?? "";
  const end = optionalText(args, "end");
  return cutBounds(prefix, start, end);
}

/** The version that must stand there, 0 for none; null: no matter. */
function conditionOf(args: Args): number | null {
  const isIfAbsent = optionalTruth(args, "ifAbsent");
  const ifVersion = optionalInteger(args, "ifVersion", 0, Number.MAX_SAFE_INTEGER);
  if (!isIfAbsent) return ifVersion;
  if (ifVersion !== null && ifVersion !== 0) throw invalidArg("ifVersion", 'cannot be given together with "ifAbsent"');
  return 0;
}

/** A whole number, or one in decimal text beyond those that JSON's readers keep exact. */
function amountArg(args: Args): bigint {
  const by = args["by"] ?? 1;
  if (typeof by === "number" && Number.isSafeInteger(by)) return BigInt(by);
  if (typeof by === "string" && /^-?\d{1,19}$/.test(by)) {
    const amount = BigInt(by);
    if (BigInt.asIntN(64, amount) === amount) return amount;
  }
  throw invalidArg("by", "must be an integer of 64 bits");
}
