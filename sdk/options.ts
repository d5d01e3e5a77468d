/** What a function's code may say about its limits, and the same in the platform's units. */

/** `"250ms"`, `"20s"`, `"10m"`, `"1h"`, `"7d"`; a number is milliseconds. */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`;

/** `"512MiB"`, `"2GiB"`. */
export type MemorySize = `${number}${"MiB" | "GiB"}`;

/**
 * Limits of one function. What is left out has the platform's default; what is out of range is refused when the app is
 * deployed. A function with limits of its own runs in instances of its own.
 */
export interface FunctionOptions {
  /** Memory of one instance: `"512MiB"`. 64 MiB to 16 GiB, 256 MiB when left out. */
  readonly memory?: MemorySize | undefined;
  /** The same as a number of MiB. Give one of the two. */
  readonly memoryMiB?: number | undefined;
  /** Until the response's head (http) or the result (`fn`). 100 ms to 15 min; 30 s for http and 60 s for `fn`. */
  readonly timeout?: Duration | undefined;
  /** Invocations at once in one instance. 1 to 1,000; 64 when left out. */
  readonly concurrency?: number | undefined;
  /** Instances that are kept running without any traffic. 0 to 1,000; 0 when left out. */
  readonly minInstances?: number | undefined;
  /** Instances at most. 1 to 1,000; 10 when left out. */
  readonly maxInstances?: number | undefined;
  /** How long an idle instance is kept. 0 to 1 h; 60 s when left out. */
  readonly keepAlive?: Duration | undefined;
}

/** The limits that were given, in the platform's units. Ranges are the platform's to check. */
export interface DeclaredLimits {
  memoryMiB?: number;
  timeoutMs?: number;
  concurrency?: number;
  minInstances?: number;
  maxInstances?: number;
  keepAliveMs?: number;
}

/** Throws an error that names the option and what it may be. */
export function limitsFrom(options: FunctionOptions): DeclaredLimits {
  const limits: DeclaredLimits = {};
  for (const [name, value] of Object.entries(options as Readonly<Record<string, unknown>>)) {
    if (value === undefined) continue;
    switch (name) {
      case "memory":
      case "memoryMiB": {
        if (limits.memoryMiB !== undefined) throw new Error("options: give memory or memoryMiB, not both");
        limits.memoryMiB = name === "memory" ? mebibytes(value) : wholeNumber(name, value);
        break;
      }
      case "timeout": {
        limits.timeoutMs = milliseconds(name, value);
        break;
      }
      case "keepAlive": {
        limits.keepAliveMs = milliseconds(name, value);
        break;
      }
      case "concurrency":
      case "minInstances":
      case "maxInstances": {
        limits[name] = wholeNumber(name, value);
        break;
      }
      default:
        throw new Error(`options: there is no option "${name}"; there are ${optionNames.join(", ")}`);
    }
  }
  return limits;
}

const optionNames = ["memory", "memoryMiB", "timeout", "concurrency", "minInstances", "maxInstances", "keepAlive"];

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Throws an error that names the option and what it may be. */
export function milliseconds(name: string, value: unknown): number {
  if (typeof value === "number") return wholeNumber(name, value);
  const match = typeof value === "string" ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(value) : null;
  const unit = unitMs[match?.[2] ?? ""];
  if (match === null || unit === undefined) {
    throw new Error(`options: ${name} is ${show(value)}; write a number of milliseconds, or text like "20s" or "1.5m"`);
  }
  return Math.round(Number(match[1]) * unit);
}

function mebibytes(value: unknown): number {
  const match = typeof value === "string" ? /^(\d+(?:\.\d+)?)(MiB|GiB)$/.exec(value) : null;
  if (match === null) throw new Error(`options: memory is ${show(value)}; write text like "512MiB" or "2GiB"`);
  const size = Number(match[1]) * (match[2] === "GiB" ? 1024 : 1);
  if (!Number.isSafeInteger(size))
    throw new Error(`options: memory is ${show(value)}; it must be a whole number of MiB`);
  return size;
}

function wholeNumber(name: string, value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`options: ${name} is ${show(value)}; it must be a whole number`);
}

function show(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
