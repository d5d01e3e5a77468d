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
import type { Keyspace } from "../../contract/keyspace.ts";
import type { Effect, ReadReply, StateRead } from "../../wire/effects.ts";
import { type Args, assertResourceName, invalidArg, optionalInteger, unknownMethod } from "../arguments.ts";
import { checkOfVersion, conditionOf, createKeyed, keyArg, type Layout } from "../keyed.ts";
import { kvAll, kvKey, kvRange } from "./kv-keys.ts";
import { decodeKvValue, encodeKvValue } from "./kv-values.ts";
import { watchKv } from "./kv-watch.ts";

/** Longer than that is for ever: some 31 years. */
const expiresInMsMax = 1e12;

const layout: Layout = {
  kind: "kv",
  key: kvKey,
  range: kvRange,
  all: kvAll,
  nameAt: 4,
  keyAt: 5,
  value: decodeKvValue,
};

export function createKv(keyspace: Keyspace): Resource {
  const keyed = createKeyed(keyspace, layout);

  async function read(environment: Environment, { name, method, args }: StateRead): Promise<ReadReply> {
    if (method === "stores") return { value: await keyed.listStores(environment), seen: [] };
    assertResourceName("kv", name);
    switch (method) {
      case "get":
        return await keyed.get(environment, name, args);
      case "list":
        return await keyed.list(environment, name, args);
      case "watch":
        return { value: await watchKv(keyspace, environment, name, args), seen: [] };
      default:
        throw unknownMethod("kv", method);
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

  return { kind: "kv", read, plan, checkOf: keyed.checkOf };
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
