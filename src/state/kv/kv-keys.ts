/** The keys of a kv store: (kv, ENVIRONMENT, GENERATION, SHARD, STORE, KEY). */
import { type Environment, KeyClass, shardOf } from "../../contract/durable.ts";
import type { Key } from "../../contract/keyspace.ts";
import { encodeTuple, type TupleElement, tupleRange } from "../../contract/tuple.ts";
import { BoundedMap } from "../../lib/bounded-map.ts";

/** Stores whose shard is known without hashing; 150 bytes each. */
const shardsKnown = new BoundedMap<string, number>(4096);

export function kvKey(environment: Environment, store: string, key: string): Key {
  return encodeTuple([...prefixOf(environment, store), key]);
}

/** From `start` (included) to `end` (not included); null: the store's own. */
export function kvRange(
  environment: Environment,
  store: string,
  start: string | null,
  end: string | null,
): { readonly start: Key; readonly end: Key } {
  const whole = tupleRange(prefixOf(environment, store));
  return {
    start: start === null || start === "" ? whole.start : kvKey(environment, store, start),
    end: end === null ? whole.end : kvKey(environment, store, end),
  };
}

/** All stores of an environment, in the order of their shards. */
export function kvAll({ id, generation }: Environment): { readonly start: Key; readonly end: Key } {
  return tupleRange([KeyClass.kv, id, generation]);
}

function prefixOf(environment: Environment, store: string): TupleElement[] {
  const { id, generation } = environment;
  const known = `${id} ${generation} ${store}`;
  let shard = shardsKnown.get(known);
  if (shard === undefined) {
    shard = shardOf(environment, "kv", store);
    shardsKnown.set(known, shard);
  }
  return [KeyClass.kv, id, generation, shard, store];
}
