/** The query of a request, parsed strictly: a name that is not known or is there twice is a mistake worth telling. */
import { AloftError } from "../contract/errors.ts";
import { assertAliasName, productionAlias } from "../contract/names.ts";
import type { Clock } from "../lib/clock.ts";
import { parseDurationMs } from "../lib/durations.ts";

export class Query {
  readonly #values = new Map<string, string>();

  /** Throws REQUEST_INVALID for a name that is not among those allowed. */
  constructor(search: URLSearchParams, allowed: readonly string[]) {
    for (const [name, value] of search) {
      if (!allowed.includes(name)) {
        throw invalid(`there is no query parameter "${name}" here`, `allowed: ${allowed.join(", ") || "none"}`);
      }
      if (this.#values.has(name)) throw invalid(`the query parameter "${name}" is there twice`);
      this.#values.set(name, value);
    }
  }

  /** undefined: not given, or given empty. */
  text(name: string): string | undefined {
    return this.#values.get(name) || undefined;
  }

  alias(): string {
    const alias = this.text("alias") ?? productionAlias;
    assertAliasName(alias);
    return alias;
  }

  flag(name: string): boolean {
    return this.choice(name, ["true", "false"]) === "true";
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const choice = choices.find((each) => each === value);
    if (choice === undefined) throw invalid(`${name} is "${value}"`, `allowed: ${choices.join(", ")}`);
    return choice;
  }

  wholeNumber(name: string, min: number, max: number): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    if (number >= min && number <= max) return number;
    throw invalid(`${name} is "${value}"`, `a whole number from ${min} to ${max}`);
  }

  /** Epoch milliseconds, from themselves, from an ISO 8601 time, or from a duration before now. */
  timeMs(name: string, clock: Clock): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    if (/^\d{1,15}$/.test(value)) return Number(value);
    const durationMs = parseDurationMs(value);
    if (durationMs !== null) return clock.nowMs() - durationMs;
    const timeMs = isoTime.test(value) ? Date.parse(value) : Number.NaN;
    if (!Number.isNaN(timeMs)) return timeMs;
    throw invalid(
      `${name} is "${value}"`,
      "a duration before now (10m), a time (2030-01-31T12:00:00Z) or epoch milliseconds",
    );
  }
}

/** With its zone: a time without one would be a guess. */
const isoTime = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d))?$/;

function invalid(message: string, hint?: string): AloftError {
  return new AloftError("REQUEST_INVALID", message, { hint });
}
