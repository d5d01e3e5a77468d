/**
 * Keeps streams within their retention: by age, and by size where a stream says so. A partition's low-water mark rises and
 * what is below goes, a slice at a time, in one commit that checks the mark (rule 6 of docs/exactly-once.md). A stream is
 * looked at when something is appended to it, when its oldest record comes of age, and once after a start, whether anybody
 * reads it or not; an idle one costs a timer.
 */
import type { Environment } from "../../contract/durable.ts";
import type { Entry, Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import type { Schedule } from "../../lib/schedule.ts";
import { findLayouts, jsonBytes, type StreamLayouts } from "./layouts.ts";
import { comparePlaces, decodeRecord } from "./record.ts";
import { type Place, streamDirectory, type StreamKeys, streamKeys } from "./stream-keys.ts";
import { decodeTuple } from "../../contract/tuple.ts";

export interface Retention {
  /** Something was appended, or somebody reads it from now on. */
  touch(environment: Environment, stream: string): void;
  /** Takes on every stream there is: what was waited for before a restart is forgotten. */
  resume(environments: AsyncIterable<Environment>): Promise<void>;
  close(): Promise<void>;
}

export interface RetentionOptions {
  readonly keyspace: Keyspace;
  readonly schedule: Schedule;
  readonly onError: (error: unknown) => void;
}

export interface LowWater {
  /** The last record removed. */
  readonly place: Place | null;
  /** Ever removed. */
  readonly records: number;
  readonly bytes: number;
}

export function openRetention({ keyspace, schedule, onError }: RetentionOptions): Retention {
  const waiting = new Map<string, () => void>();
  const running = new Set<Promise<void>>();
  let isClosed = false;

  function later(environment: Environment, stream: string, delayMs: number): void {
    const id = `${environment.id} ${environment.generation} ${stream}`;
    if (isClosed || waiting.has(id)) return;
    const cancel = schedule(delayMs, () => {
      waiting.delete(id);
      const work = trimStream(keyspace, environment, stream)
        .then((nextMs) => {
          if (nextMs !== null) later(environment, stream, Math.max(limits.streamTrimMs, nextMs));
        })
        .catch(onError)
        .finally(() => running.delete(work));
      running.add(work);
    });
    waiting.set(id, cancel);
  }

  return {
    touch: (environment, stream) => later(environment, stream, limits.streamTrimMs),
    async resume(environments) {
      for await (const environment of environments) {
        if (isClosed) return;
        for (const name of await listStreams(keyspace, environment)) later(environment, name, limits.streamTrimMs);
      }
    },
    async close() {
      isClosed = true;
      for (const cancel of waiting.values()) cancel();
      waiting.clear();
      await Promise.all(running);
    },
  };
}

export async function listStreams(keyspace: Keyspace, environment: Environment): Promise<string[]> {
  const names: string[] = [];
  for (let query = { ...streamDirectory(environment) } as Parameters<Keyspace["range"]>[0] | null; query !== null;) {
    const page = await keyspace.range(query);
    for (const { key } of page.entries) names.push(String(decodeTuple(key).at(-1)));
    query = page.next;
  }
  return names;
}

/** Removes what is beyond the retention. Answers after how many milliseconds to look again; null when nothing is left. */
export async function trimStream(keyspace: Keyspace, environment: Environment, stream: string): Promise<number | null> {
  const keys = streamKeys(environment, stream);
  const found = await findLayouts(keyspace, keys);
  if (found === null) return null;
  let next: number | null = null;
  for (let partition = 0; partition < (found.layouts.at(-1)?.partitions ?? 0); partition++) {
    const { dueMs } = await trimPartition(keyspace, keys, partition, found.retention);
    if (dueMs !== null) next = Math.min(next ?? dueMs, dueMs);
  }
  return next;
}

/** What may stay in a partition: all that is younger, as long as it is not too much. */
export type Bounds = StreamLayouts["retention"];

/** `dueMs`: when the oldest that is left comes of age; null when nothing is left. */
export async function trimPartition(
  keyspace: Keyspace,
  keys: StreamKeys,
  partition: number,
  { retentionMs, retentionBytes }: Bounds,
  /** Everything up to here goes, however young. */
  until: Place | null = null,
): Promise<{ readonly removed: number; readonly dueMs: number | null }> {
  let removed = 0;
  for (;;) {
    const [markEntry = null, bytesEntry = null] = await keyspace.get([keys.lowWater(partition), keys.bytes(partition)]);
    const mark = readLowWater(markEntry);
    const rest = keys.recordsAfter(partition, mark.place);
    const { entries } = await keyspace.range({ ...rest, limit: limits.streamTrimEntries });
    const surplus = retentionBytes === null ? 0 : readCounter(bytesEntry) - mark.bytes - retentionBytes;
    const nowMs = keyspace.clock.nowMs();
    let bytes = 0;
    let count = 0;
    let dueMs: number | null = null;
    for (const entry of entries) {
      const record = decodeRecord(entry);
      const isOver = record.appendedAtMs + retentionMs <= nowMs || bytes < surplus;
      if (!isOver && (until === null || comparePlaces(record.place, until) > 0)) {
        dueMs = record.appendedAtMs + retentionMs - nowMs;
        break;
      }
      bytes += entry.value.length;
      count += 1;
    }
    const last = entries[count - 1];
    if (last === undefined) return { removed, dueMs };
    const { place } = decodeRecord(last);
    const key = keys.lowWater(partition);
    const outcome = await keyspace.commit({
      checks: [markEntry === null ? { kind: "absent", key } : { kind: "version", key, version: markEntry.version }],
      writes: [
        { kind: "delete-range", start: rest.start, end: keys.recordsAfter(partition, place).start },
        {
          kind: "set",
          key,
          value: jsonBytes({ place, records: mark.records + count, bytes: mark.bytes + bytes } satisfies LowWater),
        },
      ],
      isEssential: true,
    });
    if (outcome.kind === "committed") removed += count;
    if (dueMs !== null) return { removed, dueMs };
  }
}

export function readLowWater(entry: Entry | null): LowWater {
  return entry === null
    ? { place: null, records: 0, bytes: 0 }
    : (JSON.parse(Buffer.from(entry.value).toString()) as LowWater);
}

export function readCounter(entry: Entry | null): number {
  return entry === null ? 0 : Number(Buffer.from(entry.value).readBigInt64BE());
}
