/** A commit as the drivers hold it: keys as text, bounds checked. */
import { AloftError } from "../contract/errors.ts";
import type { Commit, Write } from "../contract/keyspace.ts";
import { limits } from "../contract/limits.ts";
import { assertBoundLength, assertKeyLength, boundText, type KeyText, textOfKey } from "./key-text.ts";
import { refusalError } from "./refusals.ts";

export type OrderCheck =
  | { readonly kind: "version"; readonly key: KeyText; readonly version: number }
  | { readonly kind: "absent"; readonly key: KeyText }
  | {
      readonly kind: "range";
      readonly start: KeyText;
      readonly end: KeyText;
      readonly count: number;
      readonly highestVersion: number;
    };

/** `expiresAtMs` Infinity: never. */
export type OrderWrite =
  | { readonly kind: "set"; readonly key: KeyText; readonly value: Uint8Array; readonly expiresAtMs: number }
  | { readonly kind: "delete"; readonly key: KeyText }
  | { readonly kind: "delete-range"; readonly start: KeyText; readonly end: KeyText }
  | { readonly kind: "add"; readonly key: KeyText; readonly amount: bigint }
  | { readonly kind: "append"; readonly prefix: KeyText; readonly value: Uint8Array; readonly expiresAtMs: number };

export interface Order {
  readonly once: KeyText | null;
  readonly isEssential: boolean;
  readonly checks: readonly OrderCheck[];
  readonly writes: readonly OrderWrite[];
}

/** Room behind a prefix for the longest stamp: two integers of 9 bytes. */
export const stampBytesMax = 18;

/**
 * The bytes of keys and values. Throws KEY_INVALID, VALUE_TOO_LARGE, COMMIT_TOO_LARGE; everything that can be told without
 * looking into the keyspace is refused here.
 */
export function measureCommit(commit: Commit): number {
  const { checks, writes, once } = commit;
  if (checks.length > limits.commitChecks) throw tooMany("checks", checks.length, limits.commitChecks);
  if (writes.length > limits.commitWrites) throw tooMany("writes", writes.length, limits.commitWrites);
  let bytes = once === undefined ? 0 : keyBytes(once);
  for (const check of checks) {
    if (check.kind === "range") {
      bytes += boundBytes(check.start) + boundBytes(check.end);
      if (check.count > limits.rangeCheckEntries)
        throw tooMany("entries in a check", check.count, limits.rangeCheckEntries);
    } else bytes += keyBytes(check.key);
  }
  for (const write of writes) {
    switch (write.kind) {
      case "set":
        bytes += keyBytes(write.key) + valueBytes(write.value);
        break;
      case "append":
        bytes += keyBytes(write.prefix, stampBytesMax) + valueBytes(write.value);
        break;
      case "delete-range":
        bytes += boundBytes(write.start) + boundBytes(write.end);
        break;
      case "add":
        if (BigInt.asIntN(64, write.amount) !== write.amount) throw refusalError("NOT_AN_INTEGER");
        bytes += keyBytes(write.key);
        break;
      case "delete":
        bytes += keyBytes(write.key);
    }
  }
  if (bytes > limits.commitBytes) throw tooMany("bytes", bytes, limits.commitBytes);
  return bytes;
}

function keyBytes(key: Uint8Array, more = 0): number {
  if (key.length + more > limits.keyBytes) {
    if (more === 0) assertKeyLength(key);
    throw new AloftError(
      "KEY_INVALID",
      `the prefix of an append has ${key.length} bytes, at most ${limits.keyBytes - more} are allowed`,
    );
  }
  return key.length;
}

function boundBytes(bound: Uint8Array): number {
  assertBoundLength(bound);
  return bound.length;
}

function valueBytes(value: Uint8Array): number {
  if (value.length <= limits.valueBytes) return value.length;
  throw new AloftError(
    "VALUE_TOO_LARGE",
    `the value has ${value.length} bytes, at most ${limits.valueBytes} are allowed`,
    { hint: "put larger content into a blob and keep its name" },
  );
}

function tooMany(what: string, found: number, most: number): AloftError {
  return new AloftError("COMMIT_TOO_LARGE", `the commit has ${found} ${what}, at most ${most} are allowed`, {
    hint: "write in several steps",
  });
}

/** What is handed in may change after the call: everything is copied. The commit has been measured. */
export function orderOf(commit: Commit): Order {
  return {
    once: commit.once === undefined ? null : textOfKey(commit.once),
    isEssential: commit.isEssential === true,
    checks: commit.checks.map((check) =>
      check.kind === "range"
        ? { ...check, start: boundText(check.start), end: boundText(check.end) }
        : { ...check, key: textOfKey(check.key) },
    ),
    writes: commit.writes.map(orderWriteOf),
  };
}

function orderWriteOf(write: Write): OrderWrite {
  switch (write.kind) {
    case "set":
      return {
        ...write,
        key: textOfKey(write.key),
        value: new Uint8Array(write.value),
        expiresAtMs: write.expiresAtMs ?? Infinity,
      };
    case "append":
      return {
        ...write,
        prefix: textOfKey(write.prefix),
        value: new Uint8Array(write.value),
        expiresAtMs: write.expiresAtMs ?? Infinity,
      };
    case "delete-range":
      return { ...write, start: boundText(write.start), end: boundText(write.end) };
    case "delete":
    case "add":
      return { ...write, key: textOfKey(write.key) };
  }
}
