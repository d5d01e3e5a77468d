/**
 * Where a queue keeps what. All of it under (queue, environment, generation, shard, NAME):
 *
 *   (state)                    whether it is paused, and its own generation N, which a purge raises
 *   (dedupe, ID)               of a message that was sent with a deduplication id; expires
 *   (N, m, version, index)     messages in the order they were committed
 *   (N, h, 9 - priority, ...)  messages with a priority, the highest first
 *   (N, d, due time, ...)      messages that are not to be handled yet: delayed, or to be tried again
 *   (N, depth)                 how many messages there are, added to blindly
 *   (N, later)                 how many of them stand in d
 *   (N, mark)                  a position: before it there is nothing left in m
 *
 * A message's key is where it stands; it moves when it is delayed, and its id moves along in its value.
 */
import { type Environment, KeyClass, shardOf } from "../../contract/durable.ts";
import type { Key } from "../../contract/keyspace.ts";
import { decodeTuple, encodeTuple, type Tuple, tupleRange } from "../../contract/tuple.ts";
import { limits } from "../../contract/limits.ts";

/** Which of a queue's lists a message stands in. */
export type Lane = "m" | "h" | "d";

/** A queue of an environment; `kind` tells the queues of apps from those that the platform has for itself. */
export interface QueuePlace {
  readonly environment: Environment;
  readonly kind: "queue" | "async";
  readonly name: string;
  readonly shard: number;
  readonly base: Tuple;
  readonly stateKey: Key;
}

/** The keys of one generation of a queue. */
export interface QueueKeys {
  readonly generation: number;
  readonly lanes: Readonly<Record<Lane, { readonly prefix: Key; readonly start: Key; readonly end: Key }>>;
  readonly depth: Key;
  readonly later: Key;
  readonly mark: Key;
  /** Everything of the generation. */
  readonly all: { readonly start: Key; readonly end: Key };
}

export function queuePlace(environment: Environment, kind: "queue" | "async", name: string): QueuePlace {
  const shard = shardOf(environment, kind, name);
  const keyClass = kind === "queue" ? KeyClass.queue : KeyClass.async;
  const base = [keyClass, environment.id, environment.generation, shard, name];
  return { environment, kind, name, shard, base, stateKey: encodeTuple([...base, "state"]) };
}

export function queueKeys({ base }: QueuePlace, generation: number): QueueKeys {
  const lane = (name: Lane): QueueKeys["lanes"]["m"] => {
    const tuple = [...base, generation, name];
    return { prefix: encodeTuple(tuple), ...tupleRange(tuple) };
  };
  return {
    generation,
    lanes: { m: lane("m"), h: lane("h"), d: lane("d") },
    depth: encodeTuple([...base, generation, "depth"]),
    later: encodeTuple([...base, generation, "later"]),
    mark: encodeTuple([...base, generation, "mark"]),
    all: tupleRange([...base, generation]),
  };
}

/** Everything of a queue. */
export function queueRange({ base }: QueuePlace): { readonly start: Key; readonly end: Key } {
  return tupleRange(base);
}

/** Everything of all queues of an environment. */
export function queueClassRange({ id, generation }: Environment): { readonly start: Key; readonly end: Key } {
  return tupleRange([KeyClass.queue, id, generation]);
}

export function dedupeKey({ base }: QueuePlace, id: string): Key {
  return encodeTuple([...base, "dedupe", id]);
}

/** What a message is appended under. */
export function lanePrefix(place: QueuePlace, keys: QueueKeys, at: { dueMs?: number; priority?: number }): Key {
  const { base } = place;
  if (at.dueMs !== undefined) return encodeTuple([...base, keys.generation, "d", at.dueMs]);
  if (at.priority === undefined || at.priority === 0) return keys.lanes.m.prefix;
  return encodeTuple([...base, keys.generation, "h", limits.messagePriority - at.priority]);
}

const baseElements = 5;

/** Of a message of the lane `d`. */
export function dueMsOf(key: Key): number {
  return Number(decodeTuple(key)[baseElements + 2]);
}

/** The end of the part of `d` whose time has come by then. */
export function dueEnd({ base }: QueuePlace, keys: QueueKeys, nowMs: number): Key {
  return encodeTuple([...base, keys.generation, "d", nowMs + 1]);
}

/** The smallest key behind this one. */
export function keyAfter(key: Key): Key {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
