/**
 * Many due times, one timeout: it is armed for the earliest. Due times are the store's (rule 4), so an alarm never rings before
 * the store would say that its time has come, whatever the wall clock does. What is in here is bounded by who uses it: one alarm
 * for an index of due times, not one for each of its entries.
 */
import type { StoreClock } from "../contract/keyspace.ts";
import type { Schedule } from "../lib/schedule.ts";

/** A wall clock that steps forward moves the store's with it: what is armed looks again after this long. */
const armedMsMax = 10_000;

export interface Alarm {
  /** null: not at all. A later call replaces an earlier one. */
  set(atMs: number | null): void;
}

export interface Alarms {
  create(ring: () => void): Alarm;
  close(): void;
}

interface Standing {
  readonly ring: () => void;
  atMs: number | null;
}

interface Due {
  readonly atMs: number;
  readonly standing: Standing;
}

export function createAlarms(clock: StoreClock, schedule: Schedule): Alarms {
  /** A binary heap, the earliest first. Entries whose alarm was set to another time are left behind and skipped. */
  const heap: Due[] = [];
  let disarm: (() => void) | null = null;
  let armedForMs = Infinity;
  let isClosed = false;

  function arm(): void {
    while (heap[0] !== undefined && heap[0].standing.atMs !== heap[0].atMs) pop(heap);
    const atMs = heap[0]?.atMs ?? Infinity;
    if (disarm !== null && atMs === armedForMs) return;
    disarm?.();
    disarm = null;
    armedForMs = atMs;
    if (atMs === Infinity || isClosed) return;
    disarm = schedule(Math.min(Math.max(0, atMs - clock.nowMs()), armedMsMax), ring);
  }

  function ring(): void {
    disarm = null;
    const nowMs = clock.nowMs();
    const due: Standing[] = [];
    for (let first = heap[0]; first !== undefined && first.atMs <= nowMs; first = heap[0]) {
      pop(heap);
      if (first.standing.atMs !== first.atMs) continue;
      first.standing.atMs = null;
      due.push(first.standing);
    }
    for (const standing of due) if (!isClosed) standing.ring();
    arm();
  }

  return {
    create(work) {
      const standing: Standing = { ring: work, atMs: null };
      return {
        set(atMs) {
          if (standing.atMs === atMs || isClosed) return;
          standing.atMs = atMs;
          if (atMs !== null) push(heap, { atMs, standing });
          arm();
        },
      };
    },
    close() {
      isClosed = true;
      heap.length = 0;
      arm();
    },
  };
}

function push(heap: Due[], due: Due): void {
  let at = heap.push(due) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] as Due;
    if (above.atMs <= due.atMs) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = due;
}

function pop(heap: Due[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = at * 2 + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && (heap[child + 1] as Due).atMs < (heap[child] as Due).atMs) child += 1;
    if ((heap[child] as Due).atMs >= last.atMs) break;
    heap[at] = heap[child] as Due;
    at = child;
  }
  heap[at] = last;
}
