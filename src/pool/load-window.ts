/**
 * What a group's load was over the last minute: a ring of one-second buckets, each holding load x time, for two
 * signals side by side (requests at once, event-loop utilisation). An average over any window up to a minute is then the
 * true time-weighted one, however irregular the ticks were.
 *
 * One typed array a group (488 bytes) and no allocation after creation. Seconds without a sample count as zero, and a
 * window longer than the data that exists is averaged over the data alone, as Knative does it
 * (`pkg/autoscaler/aggregation/bucketing.go`): that is what lets the first second of a burst count in full.
 */
const bucketMs = 1000;
/** One more than the longest window, because the oldest bucket still counts in part. */
const buckets = 61;

export const longestWindowMs = 60_000;

export interface LoadWindow {
  /** [0, 61): load x seconds; [61, 122): event-loop utilisation x seconds. */
  readonly areas: Float32Array;
  /** Start of the first sample's span; averages never reach behind it. */
  firstMs: number;
  /** End of the last sample's span; -1 before the first one. */
  lastMs: number;
}

export type Signal = "load" | "loopUse";

export function createLoadWindow(): LoadWindow {
  return { areas: new Float32Array(2 * buckets), firstMs: -1, lastMs: -1 };
}

/** The levels held from the last call until now; at the very first call, for `firstSpanMs` before it. */
export function addToWindow(
  window: LoadWindow,
  load: number,
  loopUse: number,
  nowMs: number,
  firstSpanMs: number,
): void {
  let fromMs = window.lastMs;
  if (fromMs < 0 || nowMs - fromMs >= longestWindowMs || nowMs < fromMs) {
    window.areas.fill(0);
    fromMs = nowMs - firstSpanMs;
    window.firstMs = fromMs;
  }
  let second = Math.floor(fromMs / bucketMs);
  const last = Math.floor(nowMs / bucketMs);
  let atMs = fromMs;
  for (;;) {
    const endMs = second === last ? nowMs : (second + 1) * bucketMs;
    const seconds = (endMs - atMs) / 1000;
    const at = slot(second);
    window.areas[at] = (window.areas[at] ?? 0) + load * seconds;
    window.areas[at + buckets] = (window.areas[at + buckets] ?? 0) + loopUse * seconds;
    if (second === last) break;
    second += 1;
    atMs = endMs;
    clearBucket(window, second);
  }
  window.lastMs = nowMs;
}

/** Time-weighted average over the `windowMs` that end at the last sample. */
export function windowAverage(window: LoadWindow, signal: Signal, windowMs: number): number {
  const spanMs = Math.min(windowMs, window.lastMs - window.firstMs);
  if (window.lastMs < 0 || spanMs <= 0) return 0;
  const offset = signal === "load" ? 0 : buckets;
  const fromMs = window.lastMs - spanMs;
  const first = Math.floor(fromMs / bucketMs);
  const last = Math.floor(window.lastMs / bucketMs);
  let area = 0;
  for (let second = first; second <= last; second += 1) {
    const value = window.areas[slot(second) + offset] ?? 0;
    if (value === 0) continue;
    area += second === first ? value * insideShare(window, first, fromMs) : value;
  }
  return (area * 1000) / spanMs;
}

/** The part of the oldest bucket that the window covers. The level within one bucket is taken as even. */
function insideShare(window: LoadWindow, second: number, fromMs: number): number {
  const startMs = Math.max(second * bucketMs, window.firstMs);
  const endMs = Math.min((second + 1) * bucketMs, window.lastMs);
  return endMs <= startMs ? 1 : (endMs - Math.max(fromMs, startMs)) / (endMs - startMs);
}

function clearBucket(window: LoadWindow, second: number): void {
  const at = slot(second);
  window.areas[at] = 0;
  window.areas[at + buckets] = 0;
}

function slot(second: number): number {
  return ((second % buckets) + buckets) % buckets;
}
