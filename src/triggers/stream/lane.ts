/**
 * One lane of a consumer: a slice of the keys of one partition. Its records are delivered in order, one delivery at a time.
 *
 *   idle      nothing buffered
 *   waiting   records are buffered, and the batch is not full or the time of the next attempt has not come
 *   busy      a delivery or its commit is under way
 *
 * A batch that fails comes again in halves until the record that fails is alone; only then it costs an attempt (rule 11).
 */
import type { Cursor } from "../../state/stream/consumer-record.ts";
import type { StreamRecord } from "../../state/stream/record.ts";

export interface LaneOptions {
  readonly partition: number;
  readonly number: number;
  /** Among all lanes of the consumer. */
  readonly index: number;
  readonly cursor: Cursor;
  /** Of the stored cursor; 0 when it is not stored yet. */
  readonly version: number;
}

export class Lane {
  readonly partition: number;
  readonly number: number;
  readonly index: number;
  cursor: Cursor;
  version: number;
  isBusy = false;
  /** Of the batch under way: what it is judged by. undefined: none is under way. */
  watermarkMs: number | null | undefined;
  /** Records of one delivery at most; halved when one fails, doubled when one does well. */
  batchMax = Number.POSITIVE_INFINITY;
  /** Monotonic; no delivery before. */
  notBeforeMs = 0;
  /** `recordsRead` of its reader when the cursor was stored last. */
  recordsReadAtCursor = 0;
  /** Deliveries refused in a row. */
  refusals = 0;
  /** Calls in a row that could not end its tumbling window. */
  failedEndings = 0;
  cancelTimer: (() => void) | null = null;
  #buffer: StreamRecord[] = [];
  #bytes = 0;
  /** Monotonic, when the first of the buffer was taken note of; null when it was not. */
  #sinceMs: number | null = null;

  constructor({ partition, number, index, cursor, version }: LaneOptions) {
    this.partition = partition;
    this.number = number;
    this.index = index;
    this.cursor = cursor;
    this.version = version;
  }

  get buffered(): number {
    return this.#buffer.length;
  }

  get bufferedBytes(): number {
    return this.#bytes;
  }

  get isIdle(): boolean {
    return !this.isBusy && this.#buffer.length === 0;
  }

  push(record: StreamRecord): void {
    this.#buffer.push(record);
    this.#bytes += record.bytes;
  }

  /** The next batch: at most so many records and bytes, at least one record. */
  peek(recordsMax: number, bytesMax: number): readonly StreamRecord[] {
    let bytes = 0;
    let count = 0;
    for (const record of this.#buffer) {
      bytes += record.bytes;
      if (count > 0 && (count >= Math.min(recordsMax, this.batchMax) || bytes > bytesMax)) break;
      count += 1;
    }
    return this.#buffer.slice(0, count);
  }

  /** When a batch that is not full goes all the same. Monotonic. */
  dueMs(waitMs: number, nowMs: number): number {
    this.#sinceMs ??= nowMs;
    return this.#sinceMs + waitMs;
  }

  drop(count: number): void {
    for (const { bytes } of this.#buffer.slice(0, count)) this.#bytes -= bytes;
    this.#buffer = this.#buffer.slice(count);
    this.#sinceMs = null;
  }

  succeeded(recordsMax: number): void {
    this.batchMax = Math.min(recordsMax, this.batchMax * 2);
    this.refusals = 0;
  }
}
