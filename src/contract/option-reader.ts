/**
 * Reads the options of a trigger, which are unknown input whether they come from code or from `aloft.json`. Durations and
 * sizes may be written as people write them ("10s", "1GiB"); what comes out has numbers. Every fault is an Error whose
 * message names the option, its value and what it may be.
 */
import { formatDuration, parseDurationMs } from "../lib/durations.ts";
import { nearestWord } from "../lib/edit-distance.ts";
import { parseBytes } from "../lib/sizes.ts";

export interface OptionReader {
  durationMs(name: string, standardMs: number, minMs: number, maxMs: number): number;
  bytes(name: string, min: number, max: number): number | null;
  count(name: string, standard: number, min: number, max: number): number;
  oneOf<T extends string>(name: string, standard: T, allowed: readonly T[]): T;
  text(name: string, charsMax: number): string | null;
  flag(name: string, standard: boolean): boolean;
  /** Throws for options that nobody has read. */
  end(): void;
}

export function readOptions(what: string, options: Readonly<Record<string, unknown>>): OptionReader {
  const known = new Set<string>();

  function take(name: string): unknown {
    known.add(name);
    return options[name] ?? undefined;
  }

  function wrong(name: string, value: unknown, allowed: string): Error {
    const shown = (JSON.stringify(value) ?? String(value)).slice(0, 80);
    return new Error(`${what}: ${name} is ${shown}; allowed is ${allowed}`);
  }

  return {
    durationMs(name, standardMs, minMs, maxMs) {
      const value = take(name);
      if (value === undefined) return standardMs;
      const ms = typeof value === "string" ? parseDurationMs(value) : value;
      if (typeof ms === "number" && Number.isSafeInteger(ms) && ms >= minMs && ms <= maxMs) return ms;
      throw wrong(name, value, `a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}, such as "10s"`);
    },
    bytes(name, min, max) {
      const value = take(name);
      if (value === undefined) return null;
      const bytes = typeof value === "string" ? parseBytes(value) : value;
      if (typeof bytes === "number" && Number.isSafeInteger(bytes) && bytes >= min && bytes <= max) return bytes;
      throw wrong(name, value, `a size from ${min} to ${max} bytes, such as "1GiB"`);
    },
    count(name, standard, min, max) {
      const value = take(name);
      if (value === undefined) return standard;
      if (typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max) return value;
      throw wrong(name, value, `a whole number from ${min} to ${max}`);
    },
    oneOf(name, standard, allowed) {
      const value = take(name);
      if (value === undefined) return standard;
      const found = allowed.find((one) => one === value);
      if (found !== undefined) return found;
      throw wrong(name, value, allowed.map((one) => `"${one}"`).join(", "));
    },
    text(name, charsMax) {
      const value = take(name);
      if (value === undefined) return null;
      if (typeof value === "string" && value !== "" && value.length <= charsMax && value.isWellFormed()) return value;
      throw wrong(name, value, `a text of 1 to ${charsMax} characters`);
    },
    flag(name, standard) {
      const value = take(name);
      if (value === undefined) return standard;
      if (typeof value === "boolean") return value;
      throw wrong(name, value, "true or false");
    },
    end() {
      for (const name of Object.keys(options)) {
        if (known.has(name) || options[name] === undefined) continue;
        const near = nearestWord(name, [...known]);
        const hint =
          near === null || near === undefined ? `there are ${[...known].join(", ")}` : `did you mean "${near}"?`;
        throw new Error(`${what}: there is no option "${name.slice(0, 60)}"; ${hint}`);
      }
    },
  };
}
