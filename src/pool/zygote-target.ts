/**
 * How many zygotes wait, ready, for each memory class, and what to start next. A zygote costs some 17 MB while it waits
 * and 60 to 150 ms of CPU to make; without one a cold start takes that long.
 *
 * The target follows the busiest second of the last ten minutes: while a zygote is being replaced about a second's worth
 * of others is taken, and bursts come back. The standard class (256 MiB) is never below its minimum; a class nobody asked
 * for in ten minutes has none.
 */
import { functionLimits } from "../contract/limits.ts";

export const standardClassMiB = functionLimits.memoryMiB.standard;

export interface ZygotePolicy {
  /** Ready zygotes of the standard class when nothing happens. */
  readonly least: number;
  /** Ready zygotes of all classes together. */
  readonly most: number;
  /** What one takes while it waits, as measured; and what all may take. */
  readonly bytesEach: number;
  readonly budgetBytes: number;
  /** Zygotes made at the same time. */
  readonly startsAtOnce: number;
}

const bucketMs = 10_000;
const buckets = 60; // ten minutes
const secondMs = 1_000;

/** Cold starts of one memory class, whether a zygote was there or not; kept by the pool, changed by `countStart`. */
export interface ZygoteDemand {
  readonly memoryMiB: number;
  /** The busiest second of each ten seconds. */
  readonly peaks: Uint16Array;
  bucket: number;
  second: number;
  inSecond: number;
}

export function createZygoteDemand(memoryMiB: number): ZygoteDemand {
  return { memoryMiB, peaks: new Uint16Array(buckets), bucket: -1, second: -1, inSecond: 0 };
}

/** To be called at each start of an instance of the class. */
export function countStart(demand: ZygoteDemand, nowMs: number): void {
  moveTo(demand, nowMs);
  const second = Math.floor(nowMs / secondMs);
  demand.inSecond = second === demand.second ? demand.inSecond + 1 : 1;
  demand.second = second;
  const at = demand.bucket % buckets;
  demand.peaks[at] = Math.min(0xffff, Math.max(demand.peaks[at] ?? 0, demand.inSecond));
}

/** Most starts within one second of the last ten minutes. */
export function peakStarts(demand: ZygoteDemand, nowMs: number): number {
  moveTo(demand, nowMs);
  let peak = 0;
  for (const each of demand.peaks) peak = Math.max(peak, each);
  return peak;
}

export interface ZygoteTarget {
  readonly memoryMiB: number;
  readonly target: number;
}

/**
 * The standard class's minimum is served first, then one for each class that is asked for, then one after the other to
 * whichever is furthest below its peak, until `most` or the memory is used up. Ordered by class.
 */
export function decideZygotes(
  demands: readonly { readonly memoryMiB: number; readonly peak: number }[],
  policy: ZygotePolicy,
): ZygoteTarget[] {
  const room = Math.min(policy.most, Math.floor(policy.budgetBytes / Math.max(1, policy.bytesEach)));
  const wants = new Map<number, number>([[standardClassMiB, policy.least]]);
  for (const { memoryMiB, peak } of demands) wants.set(memoryMiB, Math.max(wants.get(memoryMiB) ?? 0, peak));
  const classes = [...wants].toSorted(([a], [b]) => a - b);
  const given = new Map<number, number>([[standardClassMiB, Math.min(room, policy.least)]]);
  let left = room - (given.get(standardClassMiB) ?? 0);
  while (left > 0) {
    const next = neediest(classes, given);
    if (next === null) break;
    given.set(next, (given.get(next) ?? 0) + 1);
    left -= 1;
  }
  return classes.map(([memoryMiB]) => ({ memoryMiB, target: given.get(memoryMiB) ?? 0 }));
}

/** The class with the smallest part of what it wants; the larger want first among equals. */
function neediest(classes: readonly (readonly [number, number])[], given: ReadonlyMap<number, number>): number | null {
  let best: number | null = null;
  let bestPart = 1;
  let bestWant = 0;
  for (const [memoryMiB, want] of classes) {
    if (want <= 0) continue;
    const part = (given.get(memoryMiB) ?? 0) / want;
    if (part >= 1 || part > bestPart || (part === bestPart && want <= bestWant)) continue;
    best = memoryMiB;
    bestPart = part;
    bestWant = want;
  }
  return best;
}

export interface ZygoteStock {
  readonly memoryMiB: number;
  readonly target: number;
  readonly ready: number;
  readonly starting: number;
}

export interface RefillMoment {
  /** Instances on their way from hand-over to their first answer. */
  readonly coldStarts: number;
  /** When the last of them ended. */
  readonly lastColdEndMs: number;
  /** Since when a zygote has been missing; -1 when none is. */
  readonly missingSinceMs: number;
}

/** After a cold start: its response is still being written, and another request of the same page may follow. */
export const quietMs = 20;
/** With cold starts without end refilling cannot wait for a pause. */
const patienceMs = 250;

export type ZygoteStep = { readonly kind: "start" | "end"; readonly memoryMiB: number };

/**
 * The next thing to do about the stock, null for nothing now. Making a zygote takes a core for as long as twenty cold
 * starts, so it waits until none is under way, but not for ever. An empty class comes first, then the one with the
 * smallest part of its target. What is over its target ends, one at a time, when nothing is missing.
 */
export function nextZygoteStep(
  stock: readonly ZygoteStock[],
  moment: RefillMoment,
  policy: Pick<ZygotePolicy, "startsAtOnce">,
  nowMs: number,
): ZygoteStep | null {
  let starting = 0;
  let missing: ZygoteStock | null = null;
  let surplus: ZygoteStock | null = null;
  for (const each of stock) {
    starting += each.starting;
    if (each.ready > each.target) surplus ??= each;
    if (each.ready + each.starting >= each.target) continue;
    if (missing === null || partOf(each) < partOf(missing)) missing = each;
  }
  if (missing === null) return surplus === null ? null : { kind: "end", memoryMiB: surplus.memoryMiB };
  if (starting >= policy.startsAtOnce) return null;
  const isQuiet = moment.coldStarts === 0 && nowMs - moment.lastColdEndMs >= quietMs;
  const isOverdue = moment.missingSinceMs >= 0 && nowMs - moment.missingSinceMs >= patienceMs;
  return isQuiet || isOverdue ? { kind: "start", memoryMiB: missing.memoryMiB } : null;
}

function partOf(stock: ZygoteStock): number {
  return (stock.ready + stock.starting) / stock.target;
}

function moveTo(demand: ZygoteDemand, nowMs: number): void {
  const bucket = Math.floor(nowMs / bucketMs);
  if (bucket === demand.bucket) return;
  const passed = demand.bucket < 0 ? buckets : Math.min(buckets, Math.max(0, bucket - demand.bucket));
  for (let step = 0; step < passed; step += 1) demand.peaks[(bucket - step) % buckets] = 0;
  demand.bucket = bucket;
}
