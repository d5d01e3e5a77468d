/**
 * Where asynchronous calls stand: a queue of the environment's own (`queue/queue-keys.ts`, kind "async", no name) holds what is
 * to be run; beside it, under the same beginning:
 *
 *   ("call", ID)        what has become of the call; ids sort by the time they were made; expires after the end
 *   ("cancelled", ID)   it is not wanted any more; gone with its message
 *   ("dedupe", ...)     of calls with an idempotency key
 *
 * and (subscription, environment id, generation, "async") says that the environment has calls at all.
 */
import { type Environment, KeyClass } from "../../contract/durable.ts";
import type { Key } from "../../contract/keyspace.ts";
import { decodeTuple, encodeTuple, tupleRange } from "../../contract/tuple.ts";
import { type QueuePlace, queuePlace } from "../queue/queue-keys.ts";

export function asyncPlace(environment: Environment): QueuePlace {
  return queuePlace(environment, "async", "");
}

export function callKey({ base }: QueuePlace, id: string): Key {
  return encodeTuple([...base, "call", id]);
}

export function callRange({ base }: QueuePlace): { readonly start: Key; readonly end: Key } {
  return tupleRange([...base, "call"]);
}

export function cancelKey({ base }: QueuePlace, id: string): Key {
  return encodeTuple([...base, "cancelled", id]);
}

export function cancelPrefix({ base }: QueuePlace): Key {
  return encodeTuple([...base, "cancelled"]);
}

export function cancelRange({ base }: QueuePlace): { readonly start: Key; readonly end: Key } {
  return tupleRange([...base, "cancelled"]);
}

/** Of a call's key, and of the mark that it was cancelled. */
export function idOfCall(key: Key): string {
  return String(decodeTuple(key).at(-1));
}

export function asyncSubscriptionKey({ id, generation }: Environment): Key {
  return encodeTuple([KeyClass.subscription, id, generation, "async"]);
}

export function encodeAsyncSubscription({ app, alias }: Environment): Uint8Array {
  return Buffer.from(JSON.stringify({ app, alias }));
}
