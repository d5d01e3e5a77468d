import type { Context } from "./context.ts";
import { type EventFunction, eventFunction, splitOptions } from "./event.ts";
import type { Duration, FunctionOptions } from "./options.ts";

/** One time of a schedule. */
export interface Tick {
  /** When it was due, in epoch milliseconds: the same for every attempt, whenever it runs. */
  readonly scheduledAt: number;
  /** The schedule as it was declared. */
  readonly schedule: string;
  /** True when somebody asked for it by hand. */
  readonly isManual: boolean;
}

export interface CronOptions extends FunctionOptions {
  /** Name of a time zone, such as "Europe/Berlin"; UTC when left out. */
  readonly timezone?: string | undefined;
  /** Ticks that came due while the server was down: none of them, the latest one (when left out), or all, one by one. */
  readonly missed?: "skip" | "once" | "all" | undefined;
  /** Ticks that come due while one runs: left out (when left out), run after it, or run beside it. */
  readonly overlap?: "skip" | "queue" | "allow" | undefined;
  /** Each tick is put off by some part of this, so that many schedules do not start in one moment. */
  readonly jitter?: Duration | undefined;
  /** Of one tick, the first included; 3 when left out. */
  readonly attempts?: number | undefined;
  /** Before the second attempt, doubling with each; 10 s when left out. */
  readonly backoff?: Duration | undefined;
}

export type TickHandler = (tick: Tick, context: Context) => unknown;

/**
 * Declares a function that is called at certain times: a cron pattern of five fields (minute, hour, day, month, weekday), six
 * with seconds in front, or a name such as `@daily`.
 *
 *     export const nightly = cron("0 3 * * *", { timezone: "Asia/Shanghai" }, async (tick) => { ... });
 *
 * What the handler writes commits together with the tick: each tick takes effect once. A pattern that never comes and a time
 * zone that does not exist are refused when the app is deployed.
 */
export function cron(schedule: string, handler: TickHandler): EventFunction<Tick>;
export function cron(schedule: string, options: CronOptions, handler: TickHandler): EventFunction<Tick>;
export function cron(schedule: string, ...rest: [TickHandler] | [CronOptions, TickHandler]): EventFunction<Tick> {
  if (typeof schedule !== "string" || schedule === "") throw new TypeError("cron(): the schedule is a text");
  const [options, handler] = rest.length === 1 ? [{}, rest[0]] : rest;
  const { limits, own } = splitOptions(options);
  return eventFunction({ trigger: { kind: "cron", name: schedule, options: own }, options: limits, handler });
}

/**
 * Declares a function that is called at an interval of at least a second, counted from the epoch: `every("10s", ...)` comes at
 * :00, :10, :20.
 */
export function every(interval: Duration, handler: TickHandler): EventFunction<Tick>;
export function every(interval: Duration, options: CronOptions, handler: TickHandler): EventFunction<Tick>;
export function every(interval: Duration, ...rest: [TickHandler] | [CronOptions, TickHandler]): EventFunction<Tick> {
  const text = typeof interval === "number" ? `${interval}ms` : interval;
  const [options, handler] = rest.length === 1 ? [{}, rest[0]] : rest;
  return cron(`every ${text}`, options, handler);
}
