/** Words and flags that several commands share: `APP/FUNCTION`, `--alias`, `--since 10m`, `--limit`. */
import { AloftError } from "../contract/errors.ts";
import { assertAliasName, assertAppName, assertFunctionName, productionAlias } from "../contract/names.ts";
import { parseDurationMs } from "../lib/durations.ts";
import type { Flags } from "./arguments.ts";

export function aliasOf(flags: Flags): string {
  const alias = flags.text("alias") ?? productionAlias;
  assertAliasName(alias);
  return alias;
}

export function appOf(word: string | undefined): string {
  const app = word ?? "";
  assertAppName(app);
  return app;
}

/** `APP` or `APP/FUNCTION`. */
export function targetOf(word: string | undefined): { readonly app: string; readonly function: string | null } {
  const [app, ...rest] = (word ?? "").split("/");
  const name = rest.length === 0 ? null : rest.join("/");
  if (name !== null) assertFunctionName(name);
  return { app: appOf(app), function: name };
}

/** A moment, given as how long ago (`10m`) or as a date (`2030-01-31T12:00Z`). Epoch milliseconds. */
export function momentOf(flags: Flags, name: string, nowMs: number): number | undefined {
  const text = flags.text(name);
  if (text === undefined) return undefined;
  const agoMs = parseDurationMs(text);
  if (agoMs !== null) return nowMs - agoMs;
  // A year first: Date.parse would also take a bare "10" for a month.
  const dateMs = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(dateMs)) return dateMs;
  throw new AloftError(
    "USAGE",
    `--${name} "${text}" is neither a duration such as 10m nor a date such as 2030-01-31T12:00Z`,
  );
}

export function limitOf(flags: Flags, max: number): number | undefined {
  const text = flags.text("limit");
  if (text === undefined) return undefined;
  const limit = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (limit >= 1 && limit <= max) return limit;
  throw new AloftError("USAGE", `--limit "${text}" is not a whole number from 1 to ${max}`);
}

export function choiceOf<const Choice extends string>(
  flags: Flags,
  name: string,
  choices: readonly Choice[],
): Choice | undefined {
  const text = flags.text(name);
  const found = choices.find((choice) => choice === text);
  if (text === undefined || found !== undefined) return found;
  throw new AloftError("USAGE", `--${name} "${text}" is not one of ${choices.join(", ")}`);
}

/** The members that have a value: a filter's are absent or set, never undefined. */
export function withoutUndefined<T extends object>(members: { readonly [Key in keyof T]: T[Key] | undefined }): T {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as T;
}
