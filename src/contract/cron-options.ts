/**
 * What may be said of a cron trigger. Its name is the schedule: a cron pattern, `@daily` and its like, or `every 10s`;
 * `rate(5 minutes)` as EventBridge writes it is an interval too.
 */
import { parseDurationMs } from "../lib/durations.ts";
import { parseCron, parseEvery, type Recurrence } from "../lib/recurrence.ts";
import { limits } from "./limits.ts";
import { readOptions } from "./option-reader.ts";

export interface CronOptions {
  readonly timezone: string;
  /** Ticks that came due while nothing could run them (late by more than limits.cronGraceMs). */
  readonly missed: "skip" | "once" | "all";
  /** Ticks that come due while an earlier one runs. */
  readonly overlap: "skip" | "queue" | "allow";
  /** A tick is put off by up to this, by a hash of its name and time: the same whenever it is computed. */
  readonly jitterMs: number;
  /** Of one tick, the first included. */
  readonly attempts: number;
  /** Before the second attempt; doubles with each, up to an hour. */
  readonly backoffMs: number;
}

const second = 1000;
const hour = 3_600_000;

/** Throws an Error that says what is wrong. */
export function parseCronOptions(name: string, options: Readonly<Record<string, unknown>>): CronOptions {
  const read = readOptions(`cron ${name}`, options);
  const parsed: CronOptions = {
    timezone: read.text("timezone", 64) ?? "UTC",
    missed: read.oneOf("missed", "once", ["skip", "once", "all"]),
    overlap: read.oneOf("overlap", "skip", ["skip", "queue", "allow"]),
    jitterMs: read.durationMs("jitter", 0, 0, 24 * hour),
    attempts: read.count("attempts", 3, 1, limits.triggerAttempts),
    backoffMs: read.durationMs("backoff", 10 * second, 0, hour),
  };
  read.end();
  scheduleOf(name, parsed.timezone);
  return parsed;
}

/** Throws an Error when the text is no schedule, its time zone is unknown, or it never comes. */
export function scheduleOf(name: string, timezone: string): Recurrence {
  const interval = /^every\s+(.*)$/.exec(name);
  if (interval !== null) return parseEvery(durationOf(name, interval[1] ?? ""));
  const rate = /^rate\((\d+) (minute|hour|day)s?\)$/.exec(name);
  if (rate !== null) return parseEvery(Number(rate[1]) * { minute: 60_000, hour, day: 24 * hour }[rate[2] as "hour"]);
  return parseCron(name, timezone);
}

function durationOf(name: string, text: string): number {
  const ms = parseDurationMs(text);
  if (ms === null) throw new Error(`the schedule "${name}" has no duration after "every"; write "every 10s"`);
  return ms;
}
