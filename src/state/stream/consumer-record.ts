/** What is kept of a consumer: what it reads by, how far each lane is, what it is asked to do. */
import type { Environment } from "../../contract/durable.ts";
import type { Entry, Keyspace } from "../../contract/keyspace.ts";
import { decodeTuple } from "../../contract/tuple.ts";
import { type ConsumerKeys, consumerKeys, type Place } from "./stream-keys.ts";

export interface ConsumerMeta {
  /** Index of the layout it reads by. */
  readonly layout: number;
  readonly lanes: number;
  /** By partition: where lanes without a cursor begin. */
  readonly starts: readonly (Place | null)[];
  /** By partition: records handled before the lanes had these cursors, those jumped over included. */
  readonly done: readonly number[];
  /** The watermark by which windows were ended. */
  readonly watermarkMs: number | null;
  /** The last request to go to another place that was carried out. */
  readonly seekId: string;
}

export interface Cursor {
  /** The last record that is done with; null: none yet. */
  readonly after: Place | null;
  /** Records handled since the lane has this cursor. */
  readonly done: number;
  /** Failed attempts at the record that is next, which was delivered alone. */
  readonly attempts: number;
  /** Latest event time, and the watermark that its last batch was judged by. */
  readonly maxMs: number | null;
  readonly watermarkMs: number | null;
  /** Of a Lambda function with tumbling windows: the latest one; absent when there was none yet. */
  readonly tumbling?: TumblingWindow;
}

/** `state` absent: it has ended. */
export interface TumblingWindow {
  readonly startMs: number;
  readonly endMs: number;
  readonly state?: unknown;
}

export interface ConsumerRequest {
  readonly isPaused: boolean;
  readonly seek: { readonly id: string; readonly from: string } | null;
  /** Changes when what was read ahead is to be forgotten, for the stream was purged; absent: never. */
  readonly purgeId?: string;
  /** Changes when something parked was sent back; absent: never. */
  readonly redriveId?: string;
}

export interface StoredCursor {
  readonly partition: number;
  readonly lane: number;
  readonly cursor: Cursor;
  readonly version: number;
}

export interface StoredConsumer {
  readonly meta: ConsumerMeta;
  readonly metaVersion: number;
  readonly cursors: readonly StoredCursor[];
}

export function freshCursor(after: Place | null): Cursor {
  return { after, done: 0, attempts: 0, maxMs: null, watermarkMs: null };
}

/** null when it has not begun yet. */
export async function findConsumer(
  keyspace: Keyspace,
  environment: Environment,
  stream: string,
  consumer: string,
): Promise<StoredConsumer | null> {
  const keys = consumerKeys(environment, stream, consumer);
  const [meta] = await keyspace.get([keys.meta]);
  if (meta === null || meta === undefined) return null;
  const { entries } = await keyspace.range(keys.cursors);
  return { meta: jsonOf<ConsumerMeta>(meta), metaVersion: meta.version, cursors: entries.map(cursorOf) };
}

export async function findRequest(keyspace: Keyspace, keys: ConsumerKeys): Promise<ConsumerRequest> {
  const [entry] = await keyspace.get([keys.request]);
  return entry === null || entry === undefined ? { isPaused: false, seek: null } : jsonOf<ConsumerRequest>(entry);
}

function cursorOf(entry: Entry): StoredCursor {
  const [partition, lane] = decodeTuple(entry.key).slice(-2) as [number, number];
  return { partition, lane, cursor: jsonOf<Cursor>(entry), version: entry.version };
}

export function jsonOf<T>({ value }: Entry): T {
  return JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.length).toString()) as T;
}
