import { limits } from "../contract/limits.ts";

/**
 * How long a group that failed to start so many times in a row waits before the next try. The first failure is tried
 * again at once: it may have been the machine.
 */
export function crashBackoffMs(consecutiveFailures: number): number {
  if (consecutiveFailures <= 1) return 0;
  const doubled = limits.crashBackoffMinMs * 2 ** (consecutiveFailures - 2);
  return Math.min(doubled, limits.crashBackoffMaxMs);
}
