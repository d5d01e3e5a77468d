/**
 * The keys of blobs. Contents are kept for each environment by their hash; who names them stands beside them:
 *
 *   (blob, ENVIRONMENT, GENERATION, "key", SHARD, STORE, KEY)   the entry: what content, and what is said of it
 *   (blob, ENVIRONMENT, GENERATION, "ref", HASH, STORE, KEY)    that entry names this content
 *   (blob, ENVIRONMENT, GENERATION, "pending", HASH, UPLOAD)    it has been uploaded and waits for an entry; expires
 *   (blob, ENVIRONMENT, GENERATION, "condemned", HASH)          nothing names it: its file is being removed
 */
import { type Environment, KeyClass, shardOf } from "../../contract/durable.ts";
import type { Key } from "../../contract/keyspace.ts";
import { encodeTuple, type TupleElement, tupleRange } from "../../contract/tuple.ts";

/** What of an environment says where its contents are. */
export type Place = Pick<Environment, "id" | "generation">;

export interface KeyRange {
  readonly start: Key;
  readonly end: Key;
}

export function blobKey(environment: Environment, store: string, key: string): Key {
  return encodeTuple([...storePrefix(environment, store), key]);
}

export function blobRange(environment: Environment, store: string, start: string | null, end: string | null): KeyRange {
  const whole = tupleRange(storePrefix(environment, store));
  return {
    start: start === null || start === "" ? whole.start : blobKey(environment, store, start),
    end: end === null ? whole.end : blobKey(environment, store, end),
  };
}

export function blobEntries({ id, generation }: Environment): KeyRange {
  return tupleRange([KeyClass.blob, id, generation, "key"]);
}

export function refKey(environment: Place, hash: string, store: string, key: string): Key {
  return encodeTuple([...contentPrefix(environment, "ref", hash), store, key]);
}

export function refsOf(environment: Place, hash: string): KeyRange {
  return tupleRange(contentPrefix(environment, "ref", hash));
}

export function pendingKey(environment: Place, hash: string, upload: string): Key {
  return encodeTuple([...contentPrefix(environment, "pending", hash), upload]);
}

export function pendingOf(environment: Place, hash: string): KeyRange {
  return tupleRange(contentPrefix(environment, "pending", hash));
}

export function condemnedKey(environment: Place, hash: string): Key {
  return encodeTuple(contentPrefix(environment, "condemned", hash));
}

export function condemnedOf({ id, generation }: Place): KeyRange {
  return tupleRange([KeyClass.blob, id, generation, "condemned"]);
}

function storePrefix(environment: Environment, store: string): TupleElement[] {
  const { id, generation } = environment;
  return [KeyClass.blob, id, generation, "key", shardOf(environment, "blob", store), store];
}

function contentPrefix({ id, generation }: Place, what: string, hash: string): TupleElement[] {
  return [KeyClass.blob, id, generation, what, Buffer.from(hash, "hex")];
}
