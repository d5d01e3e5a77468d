/**
 * One function that reads one stream. Its owner alone knows how far each lane is, so what is under way is in memory; what is
 * done is stored, a cursor for each lane, in the commit that holds the effects of what was done (rule 12 of
 * docs/exactly-once.md). After a crash it goes on from there.
 *
 *   opening      reads what is stored, or begins where the options say
 *   running      readers give records to lanes, lanes deliver
 *   draining     no further reading: lanes finish what they have, for the number of lanes or the layout is to change
 *   moving       it is asked to go to another place: what is under way ends, what is buffered is forgotten
 *   replacing    the commit of such a change is under way
 *   reopening    everything is to be read again when nothing is under way
 *   paused, lost
 */
import type { OwnedShard } from "../../contract/durable.ts";
import type { Check, Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import type { ConsumerOptions } from "../../contract/stream-options.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Schedule } from "../../lib/schedule.ts";
import {
  type ConsumerMeta,
  type ConsumerRequest,
  findConsumer,
  findRequest,
  freshCursor,
  type StoredConsumer,
} from "../../state/stream/consumer-record.ts";
import { ensureStream, jsonBytes, type StreamLayouts } from "../../state/stream/layouts.ts";
import { startsFrom } from "../../state/stream/places.ts";
import { comparePlaces } from "../../state/stream/record.ts";
import {
  consumerKeys,
  type ConsumerKeys,
  type Place,
  type StreamKeys,
  streamKeys,
} from "../../state/stream/stream-keys.ts";
import type { Binding } from "../binding.ts";
import type { EventRunner } from "../event-run.ts";
import { Lane } from "./lane.ts";
import { deliverBatch } from "./lane-delivery.ts";
import { PartitionReader } from "./partition-reader.ts";
import { RedrivenRecords } from "./redriven.ts";
import { endsInMs, endTumbling, inOneWindow } from "./tumbling.ts";
import { Watermark } from "./watermark.ts";
import { closeWindows } from "./window-closing.ts";

export interface StreamConsumerOptions {
  readonly binding: Binding;
  readonly owned: OwnedShard;
  readonly keyspace: Keyspace;
  readonly runner: EventRunner;
  readonly clock: Clock;
  readonly schedule: Schedule;
  /** Looks for what a lost wake-up has not told, so often; null where none can get lost. */
  readonly safetyScanMs: number | null;
  readonly tuning: StreamTuning;
  readonly onError: (error: unknown) => void;
}

/** How much is read ahead and how far apart things are done; each as the limit of its name. */
export interface StreamTuning {
  readonly bumpRecords: number;
  readonly pageRecords: number;
  readonly bufferRecords: number;
  readonly windowsPerClose: number;
}

export const standardTuning: StreamTuning = {
  bumpRecords: limits.streamBumpRecords,
  pageRecords: limits.streamPageRecords,
  bufferRecords: limits.streamBufferRecords,
  windowsPerClose: limits.windowsPerClose,
};

export interface Lagging {
  readonly lanes: readonly Lane[];
  /** They have done everything up to here: later records may be waiting in them by the time that this is committed. */
  readonly after: Place | null;
  /** By the reader of the partition, up to there. */
  readonly recordsRead: number;
}

type State = "opening" | "running" | "draining" | "moving" | "replacing" | "reopening" | "paused" | "lost";

/** After something went wrong that nobody can be blamed for. */
const retryMs = 1000;

export class StreamConsumer {
  readonly keyspace: Keyspace;
  readonly runner: EventRunner;
  readonly owned: OwnedShard;
  readonly clock: Clock;
  readonly schedule: Schedule;
  readonly keys: ConsumerKeys;
  readonly tuning: StreamTuning;
  readonly onError: (error: unknown) => void;
  binding: Binding;
  watermark: Watermark | null = null;
  meta: ConsumerMeta | null = null;
  metaVersion = 0;
  readonly #streamKeys: StreamKeys;
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  readonly #unwatch: (() => void)[] = [];
  #state: State = "opening";
  #layouts: StreamLayouts | null = null;
  #readers: PartitionReader[] = [];
  #request: ConsumerRequest = { isPaused: false, seek: null };
  /** That of the request when it was opened. */
  #purgeId: string | undefined;
  #redriven = new RedrivenRecords();
  /** Monotonic, when they are looked at by themselves. */
  #lookDueMs = Number.POSITIVE_INFINITY;
  #isClosing = false;
  #isOpening = false;
  #isEndingWindows = false;
  #cancelIdle: (() => void) | null = null;
  #idleDueMs = 0;
  #lastRecordMs = 0;
  /** Every window up to here has been ended, and no batch has come since; null: look again. */
  #endedUntilMs: number | null = null;
  readonly #opened: Promise<void>;

  constructor(options: StreamConsumerOptions) {
    this.binding = options.binding;
    this.owned = options.owned;
    this.keyspace = options.keyspace;
    this.runner = options.runner;
    this.clock = options.clock;
    this.schedule = options.schedule;
    this.tuning = options.tuning;
    this.onError = options.onError;
    const { environment, name, functionName } = options.binding;
    this.keys = consumerKeys(environment, name, functionName);
    this.#streamKeys = streamKeys(environment, name);
    this.owned.signal.addEventListener("abort", () => this.#lose(), { once: true });
    this.#unwatch.push(this.keyspace.watch(this.keys.request, () => this.#look()));
    this.#unwatch.push(this.keyspace.watch(this.#streamKeys.layouts.start.slice(0, -1), () => this.#look()));
    this.#opened = this.#open();
    this.#track(this.#opened);
    this.#scanForSafety(options.safetyScanMs);
  }

  /** Resolves when it has begun, or could not. */
  async opened(): Promise<void> {
    await this.#opened.catch(() => {});
  }

  get options(): ConsumerOptions {
    return this.binding.options as unknown as ConsumerOptions;
  }

  /** null: the function has no tumbling windows of Lambda's kind. */
  get tumblingMs(): number | null {
    return this.options.tumblingMs ?? null; // rows of earlier servers do not say
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get state(): State {
    return this.#state;
  }

  /** A new deployment of the same function: what is under way ends on the old one. */
  rebind(binding: Binding): void {
    this.binding = binding;
    this.#look();
  }

  /** Stops deliveries at once; resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.#lose();
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  /** Resolves when nothing of it is under way: for tests and for moves. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  /** What every commit of this consumer checks. */
  checks(): Check[] {
    return [this.owned.epochCheck];
  }

  cursorCheck(lane: Lane): Check {
    const key = this.keys.cursor(lane.partition, lane.number);
    return lane.version === 0 ? { kind: "absent", key } : { kind: "version", key, version: lane.version };
  }

  /** Lanes of the same partition that are far behind without a record of their own, and where they stand at this moment. */
  lagging(lane: Lane): Lagging {
    const reader = this.#readers[lane.partition];
    if (reader === undefined) return { lanes: [], after: null, recordsRead: 0 };
    const { readAfter: after, recordsRead } = reader;
    const lanes = reader.lanes.filter(
      (other) =>
        other !== lane &&
        other.isIdle &&
        recordsRead - other.recordsReadAtCursor >= this.tuning.bumpRecords &&
        // After a restart it may be ahead of what was read.
        comparePlaces(other.cursor.after, after) < 0,
    );
    return { lanes, after, recordsRead };
  }

  /**
   * Somebody else has written what was to be acknowledged, or it is not known: everything is read again, as soon as no
   * delivery is under way, so that no record is delivered while its first delivery runs.
   */
  reopen(): void {
    if (this.#isClosing) return;
    this.#state = "reopening";
    this.#steer();
  }

  /** Something that was sent back is to be tried after so long. */
  lookAgain(afterMs: number): void {
    const dueMs = this.clock.monotonicMs() + afterMs;
    if (dueMs >= this.#lookDueMs) return;
    this.#lookDueMs = dueMs;
    this.schedule(Math.max(1, afterMs), () => {
      if (this.#lookDueMs === dueMs) this.#lookDueMs = Number.POSITIVE_INFINITY;
      this.#redriven.markStale();
      if (!this.#isClosing) this.pump();
    });
  }

  /** Does whatever can be done now. Cheap when there is nothing. */
  pump(): void {
    this.#steer();
    if (this.#state === "running") {
      if (this.#redriven.wantsToLoad) this.#track(this.#loadRedriven(this.#redriven));
      for (const reader of this.#readers) {
        if (reader.wantsToRead) this.#track(this.#read(reader));
        for (const lane of reader.lanes) {
          this.#tryRedriven(lane);
          this.#tryDeliver(lane, reader);
        }
      }
      this.#watchTime();
      this.#endWindows();
    } else if (this.#state === "draining") {
      for (const reader of this.#readers) {
        if (reader.isBehind && reader.wantsToRead) this.#track(this.#read(reader));
        for (const lane of reader.lanes) this.#tryDeliver(lane, reader);
      }
    }
  }

  #track<T>(work: Promise<T>): void {
    const tracked: Promise<unknown> = work
      .catch((error: unknown) => {
        if (this.#isClosing) return;
        this.onError(error);
        this.schedule(retryMs, () => {
          if (this.#isClosing) return;
          if (this.#state === "opening") this.#openAgain();
          else if (this.#state === "reopening") this.#steer();
          else this.#look();
        });
      })
      .finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  /** Never two at once: each would make lanes of its own. */
  async #open(): Promise<void> {
    this.#isOpening = true;
    try {
      await this.#openNow();
    } finally {
      this.#isOpening = false;
    }
    this.pump();
  }

  #openAgain(): void {
    if (!this.#isOpening) this.#track(this.#open());
  }

  async #openNow(): Promise<void> {
    const { environment, name, functionName } = this.binding;
    const layouts = await ensureStream(this.keyspace, environment, name, this.options.shape);
    this.#request = await findRequest(this.keyspace, this.keys);
    let stored = await findConsumer(this.keyspace, environment, name, functionName);
    while (stored === null && !this.#isClosing) {
      await this.#begin(layouts);
      stored = await findConsumer(this.keyspace, environment, name, functionName);
    }
    if (stored === null || this.#isClosing || this.#state !== "opening") return;
    this.#layouts = layouts;
    this.#purgeId = this.#request.purgeId;
    this.#build(stored);
    this.#state = this.#request.isPaused ? "paused" : "running";
  }

  async #begin({ layouts }: StreamLayouts): Promise<void> {
    const { layout, starts } = await startsFrom(this.keyspace, this.#streamKeys, layouts, this.options.from);
    const done = await Promise.all(starts.map(async (_, partition) => await this.#countBefore(partition, starts)));
    const meta: ConsumerMeta = {
      layout,
      lanes: this.#lanesWanted(starts.length),
      starts,
      done,
      watermarkMs: null,
      seekId: "",
    };
    await this.keyspace.commit({
      checks: [...this.checks(), { kind: "absent", key: this.keys.meta }],
      writes: [
        { kind: "set", key: this.keys.meta, value: jsonBytes(meta) },
        { kind: "set", key: this.keys.directory, value: new Uint8Array(0) },
      ],
    });
  }

  /** Of records that will not be handled: all that were ever appended, where it begins at the end. */
  async #countBefore(partition: number, starts: readonly (Place | null)[]): Promise<number> {
    if (starts[partition] === null || this.options.from !== "latest") return 0;
    const [entry] = await this.keyspace.get([this.#streamKeys.count(partition)]);
    return entry === null || entry === undefined ? 0 : Number(Buffer.from(entry.value).readBigInt64BE());
  }

  #lanesWanted(partitions: number): number {
    return Math.max(1, Math.min(this.options.parallel, Math.floor(limits.streamLanesPerConsumer / partitions)));
  }

  #build({ meta, metaVersion, cursors }: StoredConsumer): void {
    this.#forget();
    this.meta = meta;
    this.metaVersion = metaVersion;
    const nowMs = this.clock.monotonicMs();
    this.#lastRecordMs = nowMs;
    const floors = [meta.watermarkMs, ...cursors.map(({ cursor }) => cursor.watermarkMs)].filter((ms) => ms !== null);
    this.watermark =
      this.options.window === null
        ? null
        : new Watermark({
            lanes: meta.starts.length * meta.lanes,
            idleMs: this.options.window.idleMs,
            floorMs: floors.length === 0 ? null : Math.max(...floors),
            nowMs,
          });
    this.#readers = meta.starts.map((start, partition) => {
      const lanes = Array.from({ length: meta.lanes }, (_, number) => {
        const stored = cursors.find((one) => one.partition === partition && one.lane === number);
        const index = partition * meta.lanes + number;
        const cursor = stored?.cursor ?? freshCursor(start);
        this.watermark?.observe(index, cursor.maxMs, nowMs);
        return new Lane({ partition, number, index, cursor, version: stored?.version ?? 0 });
      });
      const { keyspace } = this;
      const reader = new PartitionReader({
        keyspace,
        keys: this.#streamKeys,
        partition,
        lanes,
        layout: meta.layout,
        tuning: this.tuning,
        onNextLayout: () => this.#look(),
      });
      this.#unwatch.push(
        keyspace.watch(this.#streamKeys.records(partition), () => {
          reader.wake();
          this.pump();
        }),
      );
      return reader;
    });
  }

  /** What is under way ends by itself; its lanes are no longer those of this consumer. */
  #forget(): void {
    for (const reader of this.#readers) for (const lane of reader.lanes) lane.cancelTimer?.();
    this.#readers = [];
    this.#redriven = new RedrivenRecords();
    this.#cancelIdle?.();
    this.#cancelIdle = null;
    // The first two watch the request and the layouts.
    for (const end of this.#unwatch.splice(2)) end();
  }

  async #read(reader: PartitionReader): Promise<void> {
    await reader.read();
    if (this.#readers.includes(reader)) this.pump();
  }

  async #loadRedriven(redriven: RedrivenRecords): Promise<void> {
    const dueMs = await redriven.load(this.keyspace, this.keys.redriven, this.#readers);
    if (redriven !== this.#redriven) return;
    if (dueMs !== null) this.lookAgain(dueMs);
    this.pump();
  }

  #tryRedriven(lane: Lane): void {
    if (lane.isBusy || !this.#redriven.has(lane)) return;
    const restMs = lane.refusals === 0 ? 0 : lane.notBeforeMs - this.clock.monotonicMs();
    if (restMs > 0) this.lookAgain(restMs);
    else this.#occupy(lane, this.#redriven.deliverNext(this, lane));
  }

  /** Until the work has ended, the lane does nothing else. */
  #occupy(lane: Lane, work: Promise<void>): void {
    lane.isBusy = true;
    this.#lastRecordMs = this.clock.monotonicMs();
    this.#endedUntilMs = null;
    this.#track(
      work.finally(() => {
        lane.isBusy = false;
        lane.watermarkMs = undefined;
        if (!this.#isClosing) this.pump();
      }),
    );
  }

  #tryDeliver(lane: Lane, reader: PartitionReader): void {
    const isCaughtUp = lane.isIdle && reader.isAtEnd;
    const nowMs = this.clock.monotonicMs();
    this.watermark?.setCaughtUp(lane.index, isCaughtUp, nowMs);
    if (lane.isBusy || this.#tryEndTumbling(lane, reader) || lane.buffered === 0) return;
    const peeked = lane.peek(this.options.batch, limits.streamBufferBytes / 2);
    const batch = this.tumblingMs === null ? peeked : inOneWindow(lane.cursor, peeked, this.tumblingMs);
    const isFull = batch.length >= Math.min(this.options.batch, lane.batchMax) || batch.length < lane.buffered;
    const dueMs = Math.max(
      lane.notBeforeMs,
      isFull || this.#state === "draining" ? 0 : lane.dueMs(this.options.waitMs, nowMs),
    );
    lane.cancelTimer?.();
    lane.cancelTimer = null;
    if (dueMs > nowMs) {
      lane.cancelTimer = this.schedule(dueMs - nowMs, () => this.pump());
      return;
    }
    this.#occupy(lane, deliverBatch(this, lane, batch));
  }

  /** Whether the lane has its open window to end before anything else. */
  #tryEndTumbling(lane: Lane, reader: PartitionReader): boolean {
    if (this.tumblingMs === null) return false; // a former deployment had them
    const [next] = lane.peek(1, 0);
    const endsMs = endsInMs(lane.cursor, next, {
      isAtEnd: reader.isAtEnd,
      isDraining: this.#state === "draining",
      nowMs: this.keyspace.clock.nowMs(),
    });
    if (endsMs === null) return false;
    const waitMs = Math.max(endsMs, lane.notBeforeMs - this.clock.monotonicMs());
    lane.cancelTimer?.();
    lane.cancelTimer = waitMs > 0 ? this.schedule(waitMs, () => this.pump()) : null;
    if (waitMs <= 0) this.#occupy(lane, endTumbling(this, lane));
    return true;
  }

  /** Idle lanes let the watermark rise by time alone. */
  #watchTime(): void {
    const window = this.options.window;
    if (this.watermark === null || window === null) return;
    const nowMs = this.clock.monotonicMs();
    const nextMs = this.watermark.nextIdleMs(nowMs);
    const closeMs =
      window.closeAfterMs === null || this.#isQuiet(nowMs) ? null : this.#lastRecordMs + window.closeAfterMs;
    const dueMs = nextMs === null ? closeMs : Math.min(nextMs, closeMs ?? nextMs);
    if (dueMs === null || (this.#cancelIdle !== null && this.#idleDueMs <= dueMs)) return;
    this.#cancelIdle?.();
    this.#idleDueMs = dueMs;
    this.#cancelIdle = this.schedule(Math.max(1, dueMs - nowMs), () => {
      this.#cancelIdle = null;
      this.pump();
    });
  }

  /** The whole stream has been silent for as long as open windows wait. */
  #isQuiet(nowMs: number): boolean {
    const closeAfterMs = this.options.window?.closeAfterMs ?? null;
    if (closeAfterMs === null || nowMs - this.#lastRecordMs < closeAfterMs) return false;
    return this.#readers.every((reader) => reader.isAtEnd && reader.isDrained);
  }

  /** Up to where windows may be ended now: no batch that is under way may still belong to one of them. */
  endsUntilMs(): number | null {
    if (this.#isQuiet(this.clock.monotonicMs())) return Number.MAX_SAFE_INTEGER;
    return this.watermarkUnderWayMs();
  }

  /** The watermark, or less where a batch is under way that was judged by less. */
  watermarkUnderWayMs(): number | null {
    const nowMs = this.clock.monotonicMs();
    let least = this.watermark?.valueMs(nowMs) ?? null;
    for (const reader of this.#readers) {
      for (const { watermarkMs } of reader.lanes) {
        if (watermarkMs === undefined || least === null) continue;
        least = watermarkMs === null ? null : Math.min(least, watermarkMs);
      }
    }
    return least;
  }

  #endWindows(): void {
    if (this.watermark === null || this.#isEndingWindows) return;
    const untilMs = this.endsUntilMs();
    if (untilMs === null || untilMs === this.#endedUntilMs) return;
    this.#isEndingWindows = true;
    this.#track(
      closeWindows(this, untilMs)
        .then(() => {
          this.#endedUntilMs = untilMs;
        })
        .finally(() => {
          this.#isEndingWindows = false;
          if (!this.#isClosing) this.pump();
        }),
    );
  }

  /** Requests, layouts and options may have changed. */
  #look(): void {
    if (this.#isClosing || this.#state === "opening" || this.#state === "reopening") return;
    this.#track(
      (async () => {
        const { environment, name } = this.binding;
        this.#request = await findRequest(this.keyspace, this.keys);
        this.#layouts = await ensureStream(this.keyspace, environment, name, this.options.shape);
        this.#redriven.markStale();
        this.#endedUntilMs = null;
        const isLast = this.#layouts.layouts[(this.meta?.layout ?? 0) + 1] === undefined;
        for (const reader of this.#readers) if (!isLast && reader.untilVersion === null) reader.wake();
        this.pump();
      })(),
    );
  }

  #scanForSafety(everyMs: number | null): void {
    if (everyMs === null || this.#isClosing) return;
    this.schedule(everyMs, () => {
      for (const reader of this.#readers) reader.wake();
      this.#look();
      this.#scanForSafety(everyMs);
    });
  }

  /** From state to state, as soon as what is under way allows it. */
  #steer(): void {
    const { meta } = this;
    if (this.#isClosing || this.#state === "opening" || this.#state === "replacing") return;
    if (this.#state === "reopening") {
      if (this.#isUnderWay || this.#isOpening) return;
      this.#state = "opening";
      this.#forget();
      this.#openAgain();
      return;
    }
    if (meta === null) return;
    const { seek, isPaused, purgeId } = this.#request;
    if (seek !== null && seek.id !== meta.seekId) {
      this.#state = "moving";
      if (!this.#isUnderWay) this.#replacing(this.#move(seek));
    } else if (isPaused) {
      this.#state = "paused";
    } else if (this.#state === "paused" || this.#state === "moving" || purgeId !== this.#purgeId) {
      this.reopen();
    } else {
      if (meta.lanes !== this.#lanesWanted(meta.starts.length) || this.#isLayoutDone()) this.#state = "draining";
      // It may have nothing to do: then nothing that ends would come back here.
      const isDone = this.#readers.every((reader) => reader.isDrained) && !this.#isUnderWay && !this.#hasOpenTumbling;
      if (this.#state === "draining" && isDone) this.#replacing(this.#relayout());
    }
  }

  #replacing(work: Promise<void>): void {
    this.#state = "replacing";
    this.#track(
      work.catch((error: unknown) => {
        this.#state = "reopening";
        throw error;
      }),
    );
  }

  get #isUnderWay(): boolean {
    return this.#isEndingWindows || this.#readers.some((reader) => reader.lanes.some((lane) => lane.isBusy));
  }

  get #hasOpenTumbling(): boolean {
    if (this.tumblingMs === null) return false;
    return this.#readers.some(({ lanes }) => lanes.some(({ cursor }) => cursor.tumbling?.state !== undefined));
  }

  /** All that was appended under this layout was read, and there is a next one. */
  #isLayoutDone(): boolean {
    const isLast = this.#layouts?.layouts[(this.meta?.layout ?? 0) + 1] === undefined;
    return !isLast && this.#readers.every((reader) => reader.isAtEnd && reader.untilVersion !== null);
  }

  /** All lanes of each partition stand at one place: their number may change, and so may the layout. */
  async #relayout(): Promise<void> {
    const { meta } = this;
    if (meta === null) return;
    const next = this.#isLayoutDone() ? this.#layouts?.layouts[meta.layout + 1] : undefined;
    const boundary = next === undefined ? null : { version: next.sinceVersion - 1, index: limits.commitWrites - 1 };
    const partitions = next?.partitions ?? meta.starts.length;
    const places = Array.from({ length: partitions }, (_, partition) => {
      const place = this.#readers[partition]?.place ?? null;
      return comparePlaces(place, boundary) < 0 ? boundary : place;
    });
    const done = places.map((_, partition) => {
      const lanes = this.#readers[partition]?.lanes ?? [];
      return lanes.reduce((sum, { cursor }) => sum + cursor.done, meta.done[partition] ?? 0);
    });
    const watermarkMs = this.watermark?.valueMs(this.clock.monotonicMs()) ?? meta.watermarkMs;
    const changed = {
      ...meta,
      layout: next?.index ?? meta.layout,
      lanes: this.#lanesWanted(partitions),
      starts: places,
      done,
      watermarkMs,
    };
    await this.#replace(changed);
  }

  async #move({ id, from }: { readonly id: string; readonly from: string }): Promise<void> {
    const layouts = this.#layouts?.layouts ?? [];
    const { layout, starts } = await startsFrom(this.keyspace, this.#streamKeys, layouts, from);
    await this.#dropStates();
    const done = await Promise.all(
      starts.map(async (_, partition) => (from === "latest" ? await this.#countAll(partition) : 0)),
    );
    await this.#replace({
      layout,
      lanes: this.#lanesWanted(starts.length),
      starts,
      done,
      watermarkMs: null,
      seekId: id,
    });
  }

  async #countAll(partition: number): Promise<number> {
    const [entry] = await this.keyspace.get([this.#streamKeys.count(partition)]);
    return entry === null || entry === undefined ? 0 : Number(Buffer.from(entry.value).readBigInt64BE());
  }

  /** States of windows belong to records that will be read again. */
  async #dropStates(): Promise<void> {
    for (;;) {
      const { entries } = await this.keyspace.range({ ...this.keys.states, limit: limits.deleteRangeEntries });
      if (entries.length === 0) return;
      await this.keyspace.commit({
        checks: this.checks(),
        writes: entries.map(({ key }) => ({ kind: "delete", key })),
      });
    }
  }

  async #replace(meta: ConsumerMeta): Promise<void> {
    const outcome = await this.keyspace.commit({
      checks: [...this.checks(), { kind: "version", key: this.keys.meta, version: this.metaVersion }],
      writes: [
        { kind: "set", key: this.keys.meta, value: jsonBytes(meta) },
        { kind: "delete-range", ...this.keys.cursors },
      ],
    });
    if (outcome.kind === "conflict" && outcome.check === 0) this.#lose();
    else this.reopen();
  }

  #lose(): void {
    this.#state = "lost";
    this.#isClosing = true;
    this.#abort.abort();
    this.#forget();
    for (const end of this.#unwatch.splice(0)) end();
  }
}
