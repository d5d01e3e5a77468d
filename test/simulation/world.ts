/**
 * A world in simulated time: one clock, one list of what happens next, one stream of random numbers, all of it out of a seed, so
 * that a run can be repeated. Code under test gets its time, its timers and its store from here; promises settle between two
 * events, and nothing else moves.
 */
import type { Clock } from "../../src/lib/clock.ts";
import { MemoryDisk } from "../../src/store/memory/memory-disk.ts";
import { type MemoryKeyspace, openMemoryKeyspace, type Simulation } from "../../src/store/memory/memory-keyspace.ts";

/** What goes wrong with a store. */
export type Faults = Omit<Simulation, "random" | "schedule">;

/** Quick and sound: for whoever looks at what has become of it. */
export const noFaults: Faults = { delayMsMax: 1, unknownShare: 0, lostWakeShare: 0 };

/** Each seed has its own mixture. */
export function someFaults(world: World): Faults {
  return {
    delayMsMax: world.one([1, 5, 40]),
    unknownShare: world.one([0, 0.05, 0.2]),
    lostWakeShare: world.one([0, 0.3, 1]),
    secondWakeShare: world.one([0, 0.3]),
    refusedShare: world.one([0, 0, 0.05, 0.2]),
    stallShare: world.one([0, 0, 0.02]),
    stallMs: world.one([500, 5_000, 20_000]),
  };
}

const startMs = 1_700_000_000_000;
/** More than any sound run needs: one that goes on for ever is a fault, not a test that hangs. */
const eventsMax = 400_000;

interface Due {
  readonly atMs: number;
  /** Works of one time happen in any order. */
  readonly order: number;
  readonly work: () => void;
  isCancelled: boolean;
}

export class World {
  readonly seed: number;
  readonly disk = new MemoryDisk();
  /** Of the wall clock against simulated time: tests make it step. */
  wallOffsetMs = 0;
  /** The latest that the wall clock has ever shown: no store is ahead of it. */
  latestMs = 0;
  #nowMs = 0;
  #random: number;
  readonly #due: Due[] = [];
  /** What happens before the event of that number, the latest first. */
  readonly #interruptions: { readonly event: number; readonly work: () => void }[] = [];
  readonly #simulations: Simulation[] = [];
  readonly #failures: unknown[] = [];
  #events = 0;
  #ids = 0;

  constructor(seed: number) {
    this.seed = seed;
    this.#random = (seed ^ 0x9e3779b9) >>> 0;
    for (let warm = 0; warm < 8; warm += 1) this.random();
  }

  readonly clock: Clock = {
    nowMs: () => {
      const nowMs = Math.floor(startMs + this.#nowMs + this.wallOffsetMs);
      this.latestMs = Math.max(this.latestMs, nowMs);
      return nowMs;
    },
    monotonicMs: () => this.#nowMs,
  };

  /** From 0 to below 1 (mulberry32). */
  readonly random = (): number => {
    this.#random = (this.#random + 0x6d2b79f5) >>> 0;
    let mixed = this.#random;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };

  /** A whole number from 0 to below `most`. */
  pick(most: number): number {
    return Math.floor(this.random() * most);
  }

  one<T>(among: readonly T[]): T {
    return among[this.pick(among.length)] as T;
  }

  chance(share: number): boolean {
    return this.random() < share;
  }

  /** The answer takes it back. */
  readonly schedule = (delayMs: number, work: () => void): (() => void) => {
    const due: Due = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.random(), work, isCancelled: false };
    push(this.#due, due);
    return () => {
      due.isCancelled = true;
    };
  };

  /** Unlike any other of this world, and the same when the seed is repeated. */
  readonly newId = (): string => String((this.#ids += 1)).padStart(6, "0");

  /** Calls `work` when so many events more have happened, wherever that is: between any two of them, at every await. */
  afterEvents(count: number, work: () => void): void {
    this.#interruptions.push({ event: this.#events + count, work });
    this.#interruptions.sort((a, b) => b.event - a.event);
  }

  /** From here on nothing goes wrong with any store that is open. */
  calm(): void {
    const { delayMsMax, unknownShare, lostWakeShare } = noFaults;
    const never = { secondWakeShare: 0, refusedShare: 0, stallShare: 0 };
    for (const simulation of this.#simulations) {
      Object.assign(simulation, { delayMsMax, unknownShare, lostWakeShare, ...never });
    }
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.schedule(delayMs, resolve));
  }

  openKeyspace(faults: Faults): MemoryKeyspace {
    const simulation = { random: this.random, schedule: this.schedule, ...faults };
    this.#simulations.push(simulation);
    return openMemoryKeyspace({ clock: this.clock, disk: this.disk, simulation });
  }

  /** Ends the run with this error at the next event, whoever would swallow what is thrown here. */
  fail(error: unknown): void {
    this.#failures.push(error);
  }

  /** Lets time pass until `work` has settled; throws what it throws, or that it never will. */
  async run<T>(work: Promise<T>): Promise<T> {
    const end: { settled: { value: T } | { error: unknown } | null } = { settled: null };
    work.then(
      (value) => (end.settled = { value }),
      (error: unknown) => (end.settled = { error }),
    );
    for (;;) {
      await settlePromises();
      if (this.#failures.length > 0) throw this.#failures[0];
      const { settled } = end;
      if (settled !== null) {
        if ("error" in settled) throw settled.error;
        return settled.value;
      }
      if (!this.#step()) throw new Error("nothing is left to happen, and what was waited for has not come");
    }
  }

  async runFor(ms: number): Promise<void> {
    await this.run(this.sleep(ms));
  }

  #step(): boolean {
    for (;;) {
      const due = pop(this.#due);
      if (due === undefined) return false;
      if (due.isCancelled) continue;
      this.#events += 1;
      const next = this.#interruptions.at(-1);
      if (next !== undefined && next.event <= this.#events) {
        this.#interruptions.pop();
        push(this.#due, due);
        next.work();
        return true;
      }
      if (this.#events > eventsMax) throw new Error(`more than ${eventsMax} events: something goes round in circles`);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.work();
      return true;
    }
  }
}

/** Every promise that can settle without time passing does: the next tick comes when no microtask is left. */
async function settlePromises(): Promise<void> {
  await new Promise<void>((resolve) => process.nextTick(resolve));
}

function isBefore(a: Due, b: Due): boolean {
  return a.atMs === b.atMs ? a.order < b.order : a.atMs < b.atMs;
}

/** A binary heap, the earliest first. */
function push(heap: Due[], due: Due): void {
  let at = heap.push(due) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!isBefore(due, heap[parent] as Due)) break;
    heap[at] = heap[parent] as Due;
    at = parent;
  }
  heap[at] = due;
}

function pop(heap: Due[]): Due | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (first === undefined || last === undefined || heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let child = at * 2 + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1] as Due, heap[child] as Due)) child += 1;
    if (!isBefore(heap[child] as Due, last)) break;
    heap[at] = heap[child] as Due;
    at = child;
  }
  heap[at] = last;
  return first;
}
