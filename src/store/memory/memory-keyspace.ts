/**
 * The keyspace in memory, for tests and for simulation. Without a simulation a commit is carried out when it is called. With one,
 * everything takes simulated time, completions overtake each other, commits are refused, or end in COMMIT_UNKNOWN and may have
 * happened or not, wake-ups get lost or come twice, and `crash()` decides about what was under way; all of it by the random
 * numbers handed in, so that a seed repeats it. There is no timer in here: time passes when the simulation's scheduler says so.
 */
import type { AloftError } from "../../contract/errors.ts";
import type {
  Commit,
  CommitOutcome,
  Entry,
  Key,
  Keyspace,
  RangePage,
  RangeQuery,
  StoreClock,
} from "../../contract/keyspace.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Standing } from "../judge.ts";
import { boundText, keyOfText, type KeyText, textOfKey } from "../key-text.ts";
import { measureCommit, type Order, orderOf } from "../order.ts";
import { cutPage } from "../page.ts";
import { assertGetKeys, busyError, conflictKey, refusalError, shuttingDown, unknownError } from "../refusals.ts";
import { StoreTime } from "../store-time.ts";
import { type DiskVerdict, MemoryDisk } from "./memory-disk.ts";

export interface Simulation {
  /** From 0 to below 1. */
  random(): number;
  /** Calls `work` once, after so much simulated time; works of the same time in any order. */
  schedule(delayMs: number, work: () => void): void;
  /** Longest way of a commit or a read to the store, and of its answer back. */
  readonly delayMsMax: number;
  /** How many of the commits end in COMMIT_UNKNOWN, from 0 to 1; half of these have happened. */
  readonly unknownShare: number;
  /** How many of the wake-ups are lost, from 0 to 1. */
  readonly lostWakeShare: number;
  /** How many of the wake-ups come twice, the second time later; none when left out. */
  readonly secondWakeShare?: number;
  /** How many of the commits are refused with KEYSPACE_BUSY and have not happened; none when left out. */
  readonly refusedShare?: number;
  /** How many of the commits take up to `stallMs` more, and those behind them too; none when left out. */
  readonly stallShare?: number;
  readonly stallMs?: number;
}

export interface MemoryKeyspaceOptions {
  readonly clock: Clock;
  /** What an earlier keyspace has left, or another one uses too; a new one by default. */
  readonly disk?: MemoryDisk;
  readonly simulation?: Simulation;
  readonly onWarning?: (text: string) => void;
}

export interface MemoryKeyspace extends Keyspace {
  readonly disk: MemoryDisk;
  /**
   * The process dies. Of the commits that had not reached the store, in the order they were made, some happen all the same
   * and the rest never does. Nothing that was pending settles, later calls never settle either; open another one on the disk.
   */
  crash(): void;
}

export function openMemoryKeyspace(options: MemoryKeyspaceOptions): MemoryKeyspace {
  return new Memory(options);
}

/** A wake-up that comes twice comes again within this. */
const secondWakeMs = 1_000;

interface OnItsWay {
  readonly commit: Commit;
  readonly order: Order;
  readonly resolve: (outcome: CommitOutcome) => void;
  readonly reject: (error: AloftError) => void;
}

class Memory implements MemoryKeyspace {
  readonly disk: MemoryDisk;
  readonly clock: StoreClock;
  readonly #time: StoreTime;
  readonly #simulation: Simulation | null;
  /** Commits that have not reached the store, in order: those handed over earlier are judged earlier. */
  readonly #onTheirWay: OnItsWay[] = [];
  readonly #unwatch = new Set<() => void>();
  #pending = 0;
  #onIdle: (() => void) | null = null;
  #state: "open" | "closed" | "dead" = "open";

  constructor(options: MemoryKeyspaceOptions) {
    this.disk = options.disk ?? new MemoryDisk();
    this.#time = new StoreTime(options.clock, this.disk.timeMs, options.onWarning ?? (() => {}));
    this.clock = this.#time;
    this.#simulation = options.simulation ?? null;
  }

  async get(keys: readonly Key[]): Promise<(Entry | null)[]> {
    assertGetKeys(keys);
    const texts = keys.map(textOfKey);
    return this.#read((nowMs) =>
      texts.map((text) => {
        const found = this.disk.find(text, nowMs);
        return found === null ? null : entryOf(text, found);
      }),
    );
  }

  async range(query: RangeQuery): Promise<RangePage> {
    const own = { ...query, start: new Uint8Array(query.start), end: new Uint8Array(query.end) };
    const isReverse = own.isReverse === true;
    return this.#read((nowMs) =>
      cutPage(own, entriesOf(this.disk.scan(boundText(own.start), boundText(own.end), nowMs, isReverse))),
    );
  }

  async commit(commit: Commit): Promise<CommitOutcome> {
    if (this.#state === "closed") throw shuttingDown();
    if (this.#state === "dead") return never();
    measureCommit(commit);
    const order = orderOf(commit);
    return this.#track(
      new Promise<CommitOutcome>((resolve, reject) => {
        const { refusedShare = 0, stallShare = 0, stallMs = 0 } = this.#simulation ?? {};
        if (this.#chance(refusedShare)) {
          this.#later(() => reject(busyError()));
          return;
        }
        this.#onTheirWay.push({ commit, order, resolve, reject });
        this.#later(() => this.#arrive(), this.#chance(stallShare) ? stallMs : 0);
      }),
    );
  }

  watch(prefix: Key, onWake: () => void): () => void {
    if (this.#state !== "open") return () => {};
    const remove = this.disk.watchers.add(textOfKey(prefix), () => {
      const { lostWakeShare = 0, secondWakeShare = 0 } = this.#simulation ?? {};
      if (this.#chance(lostWakeShare)) return;
      this.#later(() => queueMicrotask(onWake));
      if (this.#chance(secondWakeShare)) this.#later(() => queueMicrotask(onWake), secondWakeMs);
    });
    const unwatch = (): void => {
      remove();
      this.#unwatch.delete(unwatch);
    };
    this.#unwatch.add(unwatch);
    return unwatch;
  }

  async close(): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "closed";
    if (this.#pending > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    this.#endWatches();
  }

  crash(): void {
    this.#state = "dead";
    this.#endWatches();
    const random = this.#simulation?.random() ?? 0;
    const kept = Math.floor(random * (this.#onTheirWay.length + 1));
    const others = new Set<() => void>();
    for (const { order } of this.#onTheirWay.slice(0, kept)) this.disk.commit(order, this.#time.nowMs(), others);
    this.#onTheirWay.length = 0;
    for (const wake of others) wake();
  }

  /** The first of those on their way has come to the store. */
  #arrive(): void {
    const first = this.#onTheirWay.shift();
    if (first === undefined) return;
    const isUnknown = this.#chance(this.#simulation?.unknownShare ?? 0);
    if (isUnknown && this.#chance(0.5)) {
      this.#later(() => first.reject(unknownError()));
      return;
    }
    const watches = new Set<() => void>();
    const verdict = this.disk.commit(first.order, this.#time.nowMs(), watches);
    const version = this.disk.version;
    this.#later(() => {
      if (isUnknown) first.reject(unknownError());
      else settle(first, verdict, version);
    });
    for (const watch of watches) watch();
  }

  #read<T>(work: (nowMs: number) => T): Promise<T> {
    if (this.#state === "closed") return Promise.reject(shuttingDown());
    if (this.#state === "dead") return never();
    return this.#track(
      new Promise((resolve) => {
        this.#later(() => {
          const found = work(this.#time.nowMs());
          this.#later(() => resolve(found));
        });
      }),
    );
  }

  #chance(share: number): boolean {
    return share > 0 && this.#simulation !== null && this.#simulation.random() < share;
  }

  /** At once, or when the simulation says so; never after a crash. */
  #later(work: () => void, moreMsMax = 0): void {
    const simulation = this.#simulation;
    if (simulation === null) work();
    else {
      simulation.schedule(simulation.random() * (simulation.delayMsMax + moreMsMax), () => {
        if (this.#state !== "dead") work();
      });
    }
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#pending++;
    return work.finally(() => {
      this.#pending--;
      if (this.#pending === 0) this.#onIdle?.();
    });
  }

  #endWatches(): void {
    for (const unwatch of this.#unwatch) unwatch();
  }
}

function settle({ commit, resolve, reject }: OnItsWay, verdict: DiskVerdict, version: number): void {
  switch (verdict.kind) {
    case "accepted":
      resolve({ kind: "committed", version, isRepeat: false });
      return;
    case "repeat":
      resolve({ kind: "committed", version: verdict.version, isRepeat: true });
      return;
    case "conflict":
      resolve({ kind: "conflict", check: verdict.check, key: conflictKey(commit, verdict.check) });
      return;
    case "refused":
      reject(refusalError(verdict.code));
  }
}

function entryOf(key: KeyText, { version, expiresAtMs, value }: Standing): Entry {
  return { key: keyOfText(key), value, version, expiresAtMs: expiresAtMs === Infinity ? null : expiresAtMs };
}

function* entriesOf(found: Iterable<readonly [KeyText, Standing]>): Generator<Entry> {
  for (const [key, standing] of found) yield entryOf(key, standing);
}

function never(): Promise<never> {
  return new Promise(() => {});
}
