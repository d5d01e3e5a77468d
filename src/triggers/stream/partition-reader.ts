/**
 * Reads one partition of a stream ahead of its lanes and gives each record to the lane of its key. There is one reader for all
 * lanes, so that every record is read once; it stops while a buffer is full.
 */
import type { Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { comparePlaces, decodeRecord, laneOf } from "../../state/stream/record.ts";
import type { Place, StreamKeys } from "../../state/stream/stream-keys.ts";
import type { StreamTuning } from "./consumer.ts";
import type { Lane } from "./lane.ts";

export interface PartitionReaderOptions {
  readonly keyspace: Keyspace;
  readonly keys: StreamKeys;
  readonly partition: number;
  readonly lanes: readonly Lane[];
  /** Index of the layout that it reads; records of the next one are left to its readers. */
  readonly layout: number;
  readonly tuning: Pick<StreamTuning, "pageRecords" | "bufferRecords">;
  /** Told once when there is a next layout. */
  readonly onNextLayout: () => void;
}

export class PartitionReader {
  readonly partition: number;
  readonly lanes: readonly Lane[];
  /** Records from this version on belong to the next layout; null: none is known. */
  untilVersion: number | null = null;
  /** The last record that was given to its lane, or is behind all of them. */
  readAfter: Place | null;
  /** Records given out since the reader began. */
  recordsRead = 0;
  /** Nothing is stored beyond `readAfter`, as far as is known. */
  isAtEnd = false;
  readonly #keyspace: Keyspace;
  readonly #keys: StreamKeys;
  readonly #layout: number;
  readonly #tuning: PartitionReaderOptions["tuning"];
  readonly #onNextLayout: () => void;
  #isReading = false;
  #isStale = false;

  constructor({ keyspace, keys, partition, lanes, layout, tuning, onNextLayout }: PartitionReaderOptions) {
    this.#keyspace = keyspace;
    this.#keys = keys;
    this.partition = partition;
    this.lanes = lanes;
    this.#layout = layout;
    this.#tuning = tuning;
    this.#onNextLayout = onNextLayout;
    this.readAfter = leastPlace(lanes);
  }

  /** Something was appended, perhaps. */
  wake(): void {
    this.isAtEnd = false;
    this.#isStale = true;
  }

  get wantsToRead(): boolean {
    return !this.#isReading && !this.isAtEnd && this.#hasRoom();
  }

  /** Every lane has done all that was read, and nothing beyond it: they stand at one place. */
  get isDrained(): boolean {
    return !this.#isReading && !this.isBehind && this.lanes.every((lane) => lane.isIdle);
  }

  /** Some lane has done records that were not read yet, since the reader began at the least of their places. */
  get isBehind(): boolean {
    return !this.isAtEnd && comparePlaces(this.#furthest, this.readAfter) > 0;
  }

  /** Where all lanes stand when they are drained. Records of the last ones may have been removed since they were done. */
  get place(): Place | null {
    const furthest = this.#furthest;
    return comparePlaces(furthest, this.readAfter) > 0 ? furthest : this.readAfter;
  }

  get #furthest(): Place | null {
    let furthest: Place | null = null;
    for (const { cursor } of this.lanes) if (comparePlaces(cursor.after, furthest) > 0) furthest = cursor.after;
    return furthest;
  }

  async read(): Promise<void> {
    this.#isReading = true;
    this.#isStale = false;
    try {
      const range = this.#keys.recordsAfter(this.partition, this.readAfter);
      const end = this.untilVersion === null ? range.end : this.#startOf(this.untilVersion);
      const page = await this.#keyspace.range({ start: range.start, end, limit: this.#tuning.pageRecords });
      if (this.untilVersion === null) await this.#lookForNextLayout();
      for (const entry of page.entries) {
        const record = decodeRecord(entry);
        if (this.untilVersion !== null && record.place.version >= this.untilVersion) break;
        this.readAfter = record.place;
        this.recordsRead += 1;
        const lane = this.lanes[laneOf(record, this.lanes.length)];
        if (lane !== undefined && comparePlaces(record.place, lane.cursor.after) > 0) lane.push(record);
      }
      // What was appended while the page was under way may not be in it.
      this.isAtEnd = page.next === null && !this.#isStale;
    } finally {
      this.#isReading = false;
    }
  }

  /** After the page: a record of the next layout is never in it before the layout can be seen. */
  async #lookForNextLayout(): Promise<void> {
    const [next] = await this.#keyspace.get([this.#keys.layout(this.#layout + 1)]);
    if (next === null || next === undefined) return;
    this.untilVersion = next.version;
    this.#onNextLayout();
  }

  #startOf(version: number): Uint8Array {
    return this.#keys.recordsAfter(this.partition, { version, index: -1 }).start;
  }

  #hasRoom(): boolean {
    let records = 0;
    let bytes = 0;
    for (const lane of this.lanes) {
      records += lane.buffered;
      bytes += lane.bufferedBytes;
    }
    return records < this.#tuning.bufferRecords && bytes < limits.streamBufferBytes;
  }
}

function leastPlace(lanes: readonly Lane[]): Place | null {
  let least = lanes[0]?.cursor.after ?? null;
  for (const { cursor } of lanes) if (comparePlaces(cursor.after, least) < 0) least = cursor.after;
  return least;
}
