/**
 * Where a stream and its consumers are kept. All keys go on from (class, environment, generation):
 *
 *   (directory, stream)                            that there is such a stream
 *   (consumer directory, stream, consumer)         that it has begun
 *   (shard of the stream, stream, ...)
 *     "l", -1                                      retention
 *     "l", n                                       n-th layout: from this entry's version on there are so many partitions
 *     "r", partition, version, index               records: appended, in the order of commits (rule 1)
 *     "n" | "b", partition                         counters: records and bytes ever appended
 *     "w", partition                               low-water mark: what is below it has been removed
 *     "p", producer                                the last sequence number
 *   (shard of the consumer, stream, "c", consumer, ...)
 *     "m"                                          layout and lanes it reads by, the watermark of ended windows
 *     "c", partition, lane                         cursors
 *     "s", end, start, key, partition, lane        states of windows, those that end first in front
 *     "x", partition, version, index               parked records; parked windows as (-1, end, start, key)
 *     "y", partition, version, index               parked records that are to be tried again
 *     "q"                                          what it is asked to do: pause, go to another place, look again
 *     "t", name                                    counters
 */
import type { Environment } from "../../contract/durable.ts";
import { KeyClass, shardOf } from "../../contract/durable.ts";
import type { Key } from "../../contract/keyspace.ts";
import { encodeTuple, type Tuple, tupleRange } from "../../contract/tuple.ts";

/** In the place of a shard: after all of them. */
const directory = 256;
const consumerDirectory = 257;

export interface KeyRange {
  readonly start: Key;
  readonly end: Key;
}

export interface StreamKeys {
  readonly directory: Key;
  readonly layouts: KeyRange;
  readonly retention: Key;
  layout(index: number): Key;
  /** What records of a partition are appended under. */
  records(partition: number): Key;
  /** Records after this place, all when null. */
  recordsAfter(partition: number, place: Place | null): KeyRange;
  count(partition: number): Key;
  bytes(partition: number): Key;
  lowWater(partition: number): Key;
  producer(id: string): Key;
  readonly producers: KeyRange;
  /** Of all partitions. */
  readonly allRecords: KeyRange;
  /** Counters and low-water marks. */
  readonly counters: readonly KeyRange[];
}

/** Of a record: the version of its commit, and which write of it. */
export interface Place {
  readonly version: number;
  readonly index: number;
}

export interface ConsumerKeys {
  readonly directory: Key;
  /** Everything but the directory. */
  readonly all: KeyRange;
  readonly meta: Key;
  readonly request: Key;
  /** All that a request is written under, to watch it. */
  readonly cursors: KeyRange;
  cursor(partition: number, lane: number): Key;
  readonly states: KeyRange;
  /** Of windows that end at or before this time. */
  statesUntil(endMs: number): KeyRange;
  state(end: number, start: number, key: string, partition: number, lane: number): Key;
  /** Of one window of one key, in whatever lanes. */
  statesOf(end: number, start: number, key: string): KeyRange;
  readonly parked: KeyRange;
  parkedRecord(partition: number, place: Place): Key;
  parkedWindow(key: string, place: Place): Key;
  /** Parked records that are to be tried again. */
  readonly redriven: KeyRange;
  redrivenRecord(partition: number, place: Place): Key;
  counter(name: string): Key;
}

export function streamDirectory({ id, generation }: Environment): KeyRange {
  return tupleRange([KeyClass.stream, id, generation, directory]);
}

export function streamKeys(environment: Environment, name: string): StreamKeys {
  const { id, generation } = environment;
  const base: Tuple = [KeyClass.stream, id, generation, shardOf(environment, "stream", name), name];
  return {
    directory: encodeTuple([KeyClass.stream, id, generation, directory, name]),
    layouts: tupleRange([...base, "l"]),
    retention: encodeTuple([...base, "l", -1]),
    layout: (index) => encodeTuple([...base, "l", index]),
    records: (partition) => encodeTuple([...base, "r", partition]),
    recordsAfter(partition, place) {
      const whole = tupleRange([...base, "r", partition]);
      if (place === null) return whole;
      return { start: encodeTuple([...base, "r", partition, place.version, place.index + 1]), end: whole.end };
    },
    count: (partition) => encodeTuple([...base, "n", partition]),
    bytes: (partition) => encodeTuple([...base, "b", partition]),
    lowWater: (partition) => encodeTuple([...base, "w", partition]),
    producer: (producer) => encodeTuple([...base, "p", producer]),
    producers: tupleRange([...base, "p"]),
    allRecords: tupleRange([...base, "r"]),
    counters: ["n", "b", "w"].map((what) => tupleRange([...base, what])),
  };
}

export function consumersOf({ id, generation }: Environment, stream: string): KeyRange {
  return tupleRange([KeyClass.stream, id, generation, consumerDirectory, stream]);
}

/** One shard for all lanes of a consumer: its owner alone knows how far each of them is. */
export function consumerShard(environment: Environment, stream: string, consumer: string): number {
  return shardOf(environment, "stream consumer", `${stream} ${consumer}`);
}

export function consumerKeys(environment: Environment, stream: string, consumer: string): ConsumerKeys {
  const { id, generation } = environment;
  const shard = consumerShard(environment, stream, consumer);
  const base: Tuple = [KeyClass.stream, id, generation, shard, stream, "c", consumer];
  return {
    directory: encodeTuple([KeyClass.stream, id, generation, consumerDirectory, stream, consumer]),
    all: tupleRange(base),
    meta: encodeTuple([...base, "m"]),
    request: encodeTuple([...base, "q"]),
    cursors: tupleRange([...base, "c"]),
    cursor: (partition, lane) => encodeTuple([...base, "c", partition, lane]),
    states: tupleRange([...base, "s"]),
    statesUntil: (endMs) => ({
      start: tupleRange([...base, "s"]).start,
      end: encodeTuple([...base, "s", endMs + 1]),
    }),
    state: (end, start, key, partition, lane) => encodeTuple([...base, "s", end, start, key, partition, lane]),
    statesOf: (end, start, key) => tupleRange([...base, "s", end, start, key]),
    parked: tupleRange([...base, "x"]),
    parkedRecord: (partition, { version, index }) => encodeTuple([...base, "x", partition, version, index]),
    parkedWindow: (key, { version, index }) => encodeTuple([...base, "x", -1, version, index, key]),
    redriven: tupleRange([...base, "y"]),
    redrivenRecord: (partition, { version, index }) => encodeTuple([...base, "y", partition, version, index]),
    counter: (counterName) => encodeTuple([...base, "t", counterName]),
  };
}
