/** Which ticks of a schedule are to run, when the clock says so: pure. */
import type { CronOptions } from "../../contract/cron-options.ts";
import { nextRun, type Recurrence } from "../../lib/recurrence.ts";
import { textHash } from "../../lib/text-hash.ts";

/** The latest ticks from one time to another, both included, at most so many; the earliest first. */
export function ticksBetween(schedule: Recurrence, fromMs: number, untilMs: number, most: number): number[] {
  // Looks back twice as far each time, so that a month of seconds is not walked through.
  for (let backMs = 1000; ; backMs *= 2) {
    const beginMs = Math.max(fromMs - 1, untilMs - backMs);
    const ticks: number[] = [];
    for (let at = nextRun(schedule, beginMs); at !== null && at <= untilMs; at = nextRun(schedule, at)) ticks.push(at);
    if (ticks.length >= most || beginMs === fromMs - 1) return ticks.slice(-most);
  }
}

export interface DueInput {
  readonly schedule: Recurrence;
  /** The tick that is next by what is stored. */
  readonly nextMs: number;
  readonly nowMs: number;
  readonly missed: CronOptions["missed"];
  readonly overlap: CronOptions["overlap"];
  /** A tick that is later than this was missed. */
  readonly graceMs: number;
  readonly most: number;
}

/** What is to run now of all that has come due, the earliest first. Nothing runs of the schedule at this moment. */
export function dueTicks({ schedule, nextMs, nowMs, missed, overlap, graceMs, most }: DueInput): number[] {
  if (nextMs > nowMs) return [];
  if (missed === "all") return ticksBetween(schedule, nextMs, nowMs, most);
  const punctual = ticksBetween(schedule, Math.max(nextMs, nowMs - graceMs), nowMs, overlap === "skip" ? 1 : most);
  if (punctual.length > 0 || missed === "skip") return punctual;
  return ticksBetween(schedule, nextMs, nowMs, 1);
}

/** By how much a tick is put off: the same whoever computes it. */
export function jitterOf(name: string, tickMs: number, jitterMs: number): number {
  return jitterMs === 0 ? 0 : textHash(`${name} ${tickMs}`) % (jitterMs + 1);
}
