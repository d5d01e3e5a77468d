/** From where a consumer may be asked to begin to a place in each partition. */
import type { Keyspace } from "../../contract/keyspace.ts";
import { isOffset } from "../../contract/stream-options.ts";
import { limits } from "../../contract/limits.ts";
import type { Layout } from "./layouts.ts";
import { decodeRecord, placeOfOffset, type StreamRecord } from "./record.ts";
import type { Place, StreamKeys } from "./stream-keys.ts";

export interface Starts {
  readonly layout: number;
  /** By partition of that layout: the last place that is not read. */
  readonly starts: readonly (Place | null)[];
}

/** `from` as `parseFrom` leaves it. */
export async function startsFrom(
  keyspace: Keyspace,
  keys: StreamKeys,
  layouts: readonly Layout[],
  from: string,
): Promise<Starts> {
  const last = layouts.at(-1);
  if (last === undefined) throw new Error("a stream without a layout");
  if (from === "earliest")
    return { layout: 0, starts: Array.from({ length: layouts[0]?.partitions ?? 1 }, () => null) };
  const places: (Place | null)[] = [];
  for (let partition = 0; partition < last.partitions; partition++) {
    places.push(await placeBefore(keyspace, keys, partition, from));
  }
  if (from === "latest") return { layout: last.index, starts: places };
  // The layout under which the first of these records was appended; later ones follow by themselves.
  const version = Math.min(...places.map((place) => place?.version ?? 0));
  const layout = layouts.findLast(({ sinceVersion }) => sinceVersion <= version + 1) ?? layouts[0] ?? last;
  return { layout: layout.index, starts: places.slice(0, layout.partitions) };
}

/** The last place before what `from` names. */
async function placeBefore(
  keyspace: Keyspace,
  keys: StreamKeys,
  partition: number,
  from: string,
): Promise<Place | null> {
  if (from === "latest") return (await lastRecord(keyspace, keys, partition))?.place ?? null;
  if (isOffset(from)) return justBefore(placeOfOffset(from));
  return await placeBeforeTime(keyspace, keys, partition, Date.parse(from));
}

/** Times of records rise with their versions, so halving finds the first one that is not before the time. */
async function placeBeforeTime(
  keyspace: Keyspace,
  keys: StreamKeys,
  partition: number,
  atMs: number,
): Promise<Place | null> {
  const last = await lastRecord(keyspace, keys, partition);
  if (last === null) return null;
  if (last.appendedAtMs < atMs) return last.place;
  let low = 0; // everything at or below this version is before the time
  let high = last.place.version; // the first record at or above this version is not
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const found = await firstRecord(keyspace, keys, partition, { version: middle, index: -1 });
    if (found !== null && found.appendedAtMs < atMs) low = middle;
    else high = middle;
  }
  return justBefore({ version: high, index: 0 });
}

export async function lastRecord(
  keyspace: Keyspace,
  keys: StreamKeys,
  partition: number,
): Promise<StreamRecord | null> {
  const { entries } = await keyspace.range({ ...keys.recordsAfter(partition, null), limit: 1, isReverse: true });
  return entries[0] === undefined ? null : decodeRecord(entries[0]);
}

export async function firstRecord(
  keyspace: Keyspace,
  keys: StreamKeys,
  partition: number,
  after: Place | null,
): Promise<StreamRecord | null> {
  const { entries } = await keyspace.range({ ...keys.recordsAfter(partition, after), limit: 1 });
  return entries[0] === undefined ? null : decodeRecord(entries[0]);
}

export function justBefore({ version, index }: Place): Place {
  return index > 0 ? { version, index: index - 1 } : { version: version - 1, index: limits.commitWrites - 1 };
}
