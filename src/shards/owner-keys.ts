/**
 * The keys of ownership:
 *
 *   (owner, shard, NUMBER)   the id of the node that owns it, "" when it was given up; its version is the epoch
 *   (owner, node, ID)        a node's lease: what is in it does not count, that it changes does
 */
import { KeyClass } from "../contract/durable.ts";
import type { Key } from "../contract/keyspace.ts";
import { decodeTuple, encodeTuple, tupleRange } from "../contract/tuple.ts";

export const shardRange = tupleRange([KeyClass.owner, "shard"]);
export const nodeRange = tupleRange([KeyClass.owner, "node"]);

export function shardKey(shard: number): Key {
  return encodeTuple([KeyClass.owner, "shard", shard]);
}

export function nodeKey(node: string): Key {
  return encodeTuple([KeyClass.owner, "node", node]);
}

/** The number of the shard, or the id of the node. */
export function lastOf(key: Key): string | number {
  return decodeTuple(key)[2] as string | number;
}
