/** Hits summed up: counts, and times in buckets of two leading digits, from which percentiles are read. */
import type { Hit } from "./access-log.ts";

export interface Sums {
  readonly hits: number;
  readonly errors: number;
  readonly bytes: number;
  /** Bucket (its largest time, in milliseconds) -> hits. */
  readonly times: Readonly<Record<string, number>>;
}

export interface Summary {
  readonly hits: number;
  readonly errors: number;
  readonly bytes: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export const noHits: Sums = { hits: 0, errors: 0, bytes: 0, times: {} };

export function addHit(sums: Sums, { status, bytes, ms }: Hit): Sums {
  const bucket = String(bucketOf(ms));
  return {
    hits: sums.hits + 1,
    errors: sums.errors + (status >= 500 ? 1 : 0),
    bytes: sums.bytes + bytes,
    times: { ...sums.times, [bucket]: (sums.times[bucket] ?? 0) + 1 },
  };
}

export function summaryOf({ hits, errors, bytes, times }: Sums): Summary {
  const buckets = Object.entries(times)
    .map(([ms, count]) => ({ ms: Number(ms), count }))
    .toSorted((a, b) => a.ms - b.ms);
  const percentile = (share: number): number => {
    let left = Math.ceil(hits * share);
    for (const { ms, count } of buckets) {
      left -= count;
      if (left <= 0) return ms;
    }
    return 0;
  };
  return { hits, errors, bytes, p50: percentile(0.5), p95: percentile(0.95), p99: percentile(0.99) };
}

/** 7, 42, 120, 1300: rounded up to two leading digits. */
function bucketOf(ms: number): number {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, ms))) - 1);
  return Math.ceil(ms / step) * step;
}
