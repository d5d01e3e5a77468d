/** What may be said of a queue by the function that consumes it: unknown input, of the code or of `aloft.json`. */
import { formatDuration, parseDurationMs } from "../lib/durations.ts";
import { limits, queueLimits, type Range } from "./limits.ts";

export interface RetryPolicy {
  /** Deliveries in all before a message goes to the dead-letter queue. */
  readonly attempts: number;
  /** Before the second attempt; grows by `factor` with each one, up to `maxDelayMs`. */
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
  readonly factor: number;
  /** How much of a delay is left to chance, from 0 (none) to 1 (all of it). */
  readonly jitter: number;
}

export interface QueueOptions {
  /** Messages of one delivery at most. */
  readonly batch: number;
  /** How long a delivery waits for its batch to fill. */
  readonly batchWindowMs: number;
  /** Deliveries at once. */
  readonly concurrency: number;
  /** Messages of one group that are handled at once. Above 1 only their beginnings are in order. */
  readonly groupConcurrency: number;
  /** Messages begun per so many milliseconds; null: as fast as they come. */
  readonly rate: { readonly messages: number; readonly perMs: number } | null;
  /** A message that has waited longer goes to the dead-letter queue without being handled; null: it waits for ever. */
  readonly maxAgeMs: number | null;
  readonly retry: RetryPolicy;
  /** Name of the queue that takes what could not be handled. */
  readonly deadLetter: string;
}

type Given = Readonly<Record<string, unknown>>;

const known = ["batch", "batchWindow", "concurrency", "groupConcurrency", "rate", "maxAge", "retry", "deadLetter"];
const knownOfRetry = ["attempts", "minDelay", "maxDelay", "factor", "jitter"];

/** Throws an Error whose message says which option is wrong and what it may be. Parsing what it has answered gives the same. */
export function parseQueueOptions(name: string, given: Given): QueueOptions {
  assertKnown(name, given, known);
  const retry = recordOf(name, given, "retry");
  assertKnown(`${name}.retry`, retry, knownOfRetry);
  const minDelayMs = duration(name, retry, "minDelay", queueLimits.retryMinDelayMs);
  const maxDelayMs = duration(name, retry, "maxDelay", queueLimits.retryMaxDelayMs);
  if (maxDelayMs < minDelayMs) throw invalid(name, "retry.maxDelay", "must not be shorter than retry.minDelay");
  return {
    batch: whole(name, given, "batch", queueLimits.batch),
    batchWindowMs: duration(name, given, "batchWindow", queueLimits.batchWindowMs),
    concurrency: whole(name, given, "concurrency", queueLimits.concurrency),
    groupConcurrency: whole(name, given, "groupConcurrency", queueLimits.groupConcurrency),
    rate: rateOf(name, given),
    maxAgeMs: given["maxAge"] === undefined ? null : duration(name, given, "maxAge", queueLimits.maxAgeMs),
    retry: {
      attempts: whole(name, retry, "attempts", queueLimits.attempts),
      minDelayMs,
      maxDelayMs,
      factor: numberOf(name, retry, "factor", queueLimits.retryFactor),
      jitter: numberOf(name, retry, "jitter", queueLimits.retryJitter),
    },
    deadLetter: deadLetterOf(name, given),
  };
}

/** The same as what was given, for the manifest: only what was said, so that defaults stay the platform's. */
export function checkQueueOptions(name: string, given: Given): Given {
  parseQueueOptions(name, given);
  return given;
}

export function defaultDeadLetter(name: string): string {
  return `${name.slice(0, limits.resourceNameChars - 5)}-dead`;
}

function deadLetterOf(name: string, given: Given): string {
  const value = given["deadLetter"];
  if (value === undefined) return defaultDeadLetter(name);
  if (typeof value !== "string" || value === "" || value.length > limits.resourceNameChars || !value.isWellFormed()) {
    throw invalid(name, "deadLetter", `is the name of a queue, 1 to ${limits.resourceNameChars} characters`);
  }
  if (value === name) throw invalid(name, "deadLetter", "must be another queue");
  return value;
}

function rateOf(name: string, given: Given): QueueOptions["rate"] {
  if (given["rate"] === undefined) return null;
  const rate = recordOf(name, given, "rate");
  assertKnown(`${name}.rate`, rate, ["messages", "per"]);
  const messages = whole(name, rate, "messages", queueLimits.rateMessages);
  return { messages, perMs: duration(name, rate, "per", queueLimits.ratePerMs) };
}

function recordOf(name: string, given: Given, option: string): Given {
  const value = given[option] ?? {};
  if (typeof value === "object" && !Array.isArray(value)) return value as Given;
  throw invalid(name, option, "must be an object");
}

function assertKnown(name: string, given: Given, names: readonly string[]): void {
  for (const option of Object.keys(given)) {
    if (!names.includes(option)) throw invalid(name, option, `is no option; there are ${names.join(", ")}`);
  }
}

function whole(name: string, given: Given, option: string, range: Range): number {
  const value = given[option] ?? range.standard;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= range.min && value <= range.max)
    return value;
  throw invalid(name, option, `must be a whole number from ${range.min} to ${range.max}`);
}

function numberOf(name: string, given: Given, option: string, range: Range): number {
  const value = given[option] ?? range.standard;
  if (typeof value === "number" && value >= range.min && value <= range.max) return value;
  throw invalid(name, option, `must be a number from ${range.min} to ${range.max}`);
}

/** A number is milliseconds, a text has its unit. */
function duration(name: string, given: Given, option: string, range: Range): number {
  const value = given[option] ?? range.standard;
  const ms = typeof value === "string" ? parseDurationMs(value) : value;
  if (typeof ms === "number" && Number.isSafeInteger(ms) && ms >= range.min && ms <= range.max) return ms;
  throw invalid(
    name,
    option,
    `must be a duration such as "20s", from ${formatDuration(range.min)} to ${formatDuration(range.max)}`,
  );
}

function invalid(name: string, option: string, must: string): Error {
  return new Error(`queue ${name}: ${option} ${must}`);
}
