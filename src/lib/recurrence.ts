/**
 * When something is due that happens again and again: a cron pattern in a time zone, or an interval.
 *
 * A pattern has five fields, or six with seconds in front. Where clocks change, a time that is named (`30 2 * * *`, lists and
 * ranges too) comes once a day: a time that the spring leaves out comes at the first moment after the gap, and one that the
 * autumn has twice comes the first time. A pattern with `*` or a step in its time (`*\/30 * * * *`) goes on in real time: it
 * leaves the gap out and runs through both hours, as Vixie cron does.
 *
 * An interval is counted from the epoch, so that it has the same times whoever computes them: `every("10s")` is due at :00,
 * :10, :20.
 */
import { Cron } from "croner";
import { formatDuration } from "./durations.ts";

export type Recurrence =
  | { readonly kind: "cron"; readonly pattern: string; readonly timezone: string }
  | { readonly kind: "every"; readonly everyMs: number };

const everyMsMin = 1000;
const everyMsMax = 366 * 86_400_000;
/** A pattern that has no run within the Gregorian calendar's 400 years would search them all; croner gives up before. */
const searchFrom = new Date(Date.UTC(2000, 0, 1));
const nicknames = /^@(?:yearly|annually|monthly|weekly|daily|midnight|hourly)$/i;

/** Throws an Error whose message says what is wrong with it. */
export function parseCron(pattern: string, timezone = "UTC"): Recurrence {
  const text = pattern.trim().replace(/\s+/g, " ");
  assertTimezone(timezone);
  const fields = text === "" ? 0 : text.split(" ").length;
  if (fields !== 5 && fields !== 6 && !nicknames.test(text)) {
    throw new Error(
      `the schedule "${shown(pattern)}" has ${fields} fields; a cron pattern has five (minute, hour, day, month, weekday), or six with seconds in front`,
    );
  }
  let first: Date | null;
  try {
    first = cronOf(text, timezone).nextRun(searchFrom);
  } catch (error) {
    const message = (error as Error).message.replace(/^CronPattern: /, "");
    throw new Error(`the schedule "${shown(pattern)}" is no cron pattern: ${message}`, { cause: error });
  }
  if (first === null) throw new Error(`the schedule "${shown(pattern)}" never comes: no date of any year matches it`);
  return { kind: "cron", pattern: text, timezone };
}

/** Throws an Error whose message says what is wrong with it. */
export function parseEvery(everyMs: number): Recurrence {
  if (!Number.isSafeInteger(everyMs) || everyMs < everyMsMin || everyMs > everyMsMax) {
    const range = `${formatDuration(everyMsMin)} to ${formatDuration(everyMsMax)}`;
    throw new Error(`an interval of ${everyMs} ms is not allowed; it is ${range}`);
  }
  return { kind: "every", everyMs };
}

/** The first time after `afterMs`, in epoch milliseconds; null when there is none any more. */
export function nextRun(schedule: Recurrence, afterMs: number): number | null {
  if (schedule.kind === "every") return (Math.floor(afterMs / schedule.everyMs) + 1) * schedule.everyMs;
  return cronOf(schedule.pattern, schedule.timezone).nextRun(new Date(afterMs))?.getTime() ?? null;
}

/** `0 3 * * * (Asia/Shanghai)`, `every 10s`. */
export function formatSchedule(schedule: Recurrence): string {
  if (schedule.kind === "every") return `every ${formatDuration(schedule.everyMs)}`;
  return schedule.timezone === "UTC" ? schedule.pattern : `${schedule.pattern} (${schedule.timezone})`;
}

function cronOf(pattern: string, timezone: string): Cron {
  return new Cron(pattern, { timezone, paused: true, mode: "5-or-6-parts", fixedTimeRule: "no-wildcard" });
}

function assertTimezone(timezone: string): void {
  if (isTimezone(timezone)) return;
  throw new Error(`there is no time zone "${shown(timezone)}"; write a name such as "Europe/Berlin" or "UTC"`);
}

function isTimezone(timezone: string): boolean {
  try {
    return timezone !== "" && new Intl.DateTimeFormat("en", { timeZone: timezone }).format(0) !== "";
  } catch {
    return false;
  }
}

function shown(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}
