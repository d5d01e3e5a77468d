/**
 * Keeps streams within their retention: by age, and by size where a stream says so. A partition's low-water mark rises and
 * what is below goes, a slice at a time, in one commit that checks the mark (rule 6 of docs/exactly-once.md). A stream is
 * looked at when something is appended to it and when its oldest record comes of age; an idle one costs a timer.
 */
import type { Environment } from "../../contract/durable.ts";
import type { Entry, Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import type { Schedule } from "../../lib/schedule.ts";
import { findLayouts, jsonBytes, type StreamLayouts } from "./layouts.ts";
import { decodeRecord } from "./record.ts";
import { type Place, streamDirectory, type StreamKeys, streamKeys } from "./stream-keys.ts";
import { decodeTuple } from "../../contract/tuple.ts";

export interface Retention {
  /** Something was appended, or somebody reads it from now on. */
  touch(environment: Environment, stream: string): void;
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
    const due = await trimPartition(keyspace, keys, partition, found.retention);
    if (due !== null) next = Math.min(next ?? due, due);
  }
  return next;
}

async function trimPartition(
  keyspace: Keyspace,
  keys: StreamKeys,
  partition: number,
  { retentionMs, retentionBytes }: StreamLayouts["retention"],
): Promise<number | null> {
  for (;;) {
    const [markEntry, bytesEntry] = await keyspace.get([keys.lowWater(partition), keys.bytes(partition)]);
    const mark = readLowWater(markEntry ?? null);
    const rest = keys.recordsAfter(partition, mark.place);
    const { entries } = await keyspace.range({ ...rest, limit: limits.streamTrimEntries });
    const surplus = retentionBytes === null ? 0 : readCounter(bytesEntry ?? null) - mark.bytes - retentionBytes;
    const nowMs = keyspace.clock.nowMs();
    let bytes = 0;
    let count = 0;
    let dueMs: number | null = null;
    for (const entry of entries) {
      const record = decodeRecord(entry);
      const isOld = record.appendedAtMs + retentionMs <= nowMs;
      if (!isOld && bytes >= surplus) {
        dueMs = record.appendedAtMs + retentionMs - nowMs;
        break;
      }
      bytes += entry.value.length;
      count += 1;
    }
    const last = entries[count - 1];
    if (last === undefined) return dueMs;
    const { place } = decodeRecord(last);
    await keyspace.commit({
      checks: [
        markEntry === null || markEntry === undefined
          ? { kind: "absent", key: keys.lowWater(partition) }
          : { kind: "version", key: keys.lowWater(partition), version: markEntry.version },
      ],
      writes: [
        { kind: "delete-range", start: rest.start, end: keys.recordsAfter(partition, place).start },
        {
          kind: "set",
          key: keys.lowWater(partition),
          value: jsonBytes({ place, records: mark.records + count, bytes: mark.bytes + bytes } satisfies LowWater),
        },
      ],
      isEssential: true,
    });
    if (dueMs !== null) return dueMs;
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
