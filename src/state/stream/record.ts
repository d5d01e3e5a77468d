/** Records of a stream as they are kept, their places as offsets, and which partition and lane a key belongs to. */
import type { Entry } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { decodeTuple } from "../../contract/tuple.ts";
import { textHash } from "../../lib/text-hash.ts";
import type { Place } from "./stream-keys.ts";

export interface StreamRecord {
  readonly place: Place;
  readonly key: string | null;
  readonly value: unknown;
  /** Epoch milliseconds by the store's clock. */
  readonly appendedAtMs: number;
  readonly bytes: number;
}

/** Short names, for they stand in every record. */
interface Kept {
  readonly k?: string;
  readonly t: number;
  readonly v: unknown;
}

export function encodeRecord(value: unknown, key: string | null, appendedAtMs: number): Uint8Array {
  const kept: Kept = key === null ? { t: appendedAtMs, v: value } : { k: key, t: appendedAtMs, v: value };
  return Buffer.from(JSON.stringify(kept));
}

export function decodeRecord({ key, value }: Entry): StreamRecord {
  const { k, t, v } = JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.length).toString()) as Kept;
  return { place: placeOfKey(key), key: k ?? null, value: v, appendedAtMs: t, bytes: value.length };
}

function placeOfKey(key: Uint8Array): Place {
  const [version, index] = decodeTuple(key).slice(-2);
  return { version: Number(version), index: Number(index) };
}

/** 19 digits: version and index as one number, so that offsets are in the order of places, as text and as numbers. */
export function offsetOf({ version, index }: Place): string {
  return String(BigInt(version) * BigInt(limits.commitWrites) + BigInt(index)).padStart(19, "0");
}

export function placeOfOffset(offset: string): Place {
  const number = BigInt(offset);
  const writes = BigInt(limits.commitWrites);
  return { version: Number(number / writes), index: Number(number % writes) };
}

export function comparePlaces(a: Place | null, b: Place | null): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? -1 : 1;
  return a.version - b.version || a.index - b.index;
}

export function partitionOf(key: string, partitions: number): number {
  return textHash(key) % partitions;
}

/** Independent of the partition, so that the keys of one partition spread over all its lanes. */
export function laneOf(record: Pick<StreamRecord, "key" | "place">, lanes: number): number {
  if (lanes === 1) return 0;
  const hash = textHash(record.key ?? offsetOf(record.place));
  return (Math.imul(hash, 0x9e3779b1) >>> 8) % lanes;
}
