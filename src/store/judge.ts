/**
 * Whether a commit may happen, and what it changes: the one meaning of checks and writes, for every driver. Pure; the driver
 * shows it what is there, writes down what it answers, and judges commits one after the other, each seeing the former ones.
 */
import type { ErrorCode } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import type { KeyText } from "./key-text.ts";
import { textOfKey } from "./key-text.ts";
import type { Order, OrderCheck } from "./order.ts";
import { encodeStamp } from "../contract/tuple.ts";

/** What stands under a key. */
export interface Standing {
  readonly version: number;
  /** Infinity: never. */
  readonly expiresAtMs: number;
  /** The value when it has 8 bytes, else whatever is at hand: nothing longer is looked at. */
  readonly value: Uint8Array;
}

/** The keyspace as it stands before the commit. Nothing that has expired at `nowMs` is in it. */
export interface View {
  find(key: KeyText, nowMs: number): Standing | null;
  /** How many there are, counted to `most` at the least, and the highest of their versions, 0 for none. */
  measure(start: KeyText, end: KeyText, nowMs: number, most: number): { count: number; highestVersion: number };
  /** The first keys, at most so many. */
  listKeys(start: KeyText, end: KeyText, nowMs: number, most: number): readonly KeyText[];
}

export interface Change {
  /** null: the entry is gone. */
  readonly value: Uint8Array | null;
  readonly expiresAtMs: number;
}

/** Each key once. */
export type Changes = Iterable<readonly [KeyText, Change]>;

export type Refusal = Extract<ErrorCode, "COMMIT_TOO_LARGE" | "NOT_AN_INTEGER">;

export type Verdict =
  /** All of them get the version that was given to judge. */
  | { readonly kind: "accepted"; readonly changes: Changes }
  | { readonly kind: "repeat"; readonly version: number }
  | { readonly kind: "conflict"; readonly check: number }
  | { readonly kind: "refused"; readonly code: Refusal };

const integerMin = -(2n ** 63n);
const integerMax = 2n ** 63n - 1n;
const nothing: Changes = [];
const empty = new Uint8Array(0);

/** `version` is the one that the commit gets when it is accepted and has writes. */
export function judge(order: Order, view: View, version: number, nowMs: number): Verdict {
  if (order.once !== null) {
    const former = view.find(order.once, nowMs);
    if (former !== null) return { kind: "repeat", version: former.version };
  }
  const failed = order.checks.findIndex((check) => !holds(check, view, nowMs));
  if (failed !== -1) return { kind: "conflict", check: failed };
  if (order.once === null) {
    const [first, second] = order.writes;
    if (first === undefined) return { kind: "accepted", changes: nothing };
    // The commonest of all commits is spared the Map.
    if (second === undefined && first.kind === "set") return { kind: "accepted", changes: [[first.key, first]] };
  }
  return changesOf(order, view, version, nowMs);
}

/** Whether it can be told beforehand that the commit only makes room: such ones go on while the disk is full. */
export function onlyDeletes(order: Order): boolean {
  return order.once === null && order.writes.every(({ kind }) => kind === "delete" || kind === "delete-range");
}

function holds(check: OrderCheck, view: View, nowMs: number): boolean {
  switch (check.kind) {
    case "version":
      return view.find(check.key, nowMs)?.version === check.version;
    case "absent":
      return view.find(check.key, nowMs) === null;
    case "range": {
      // One more than expected is already a difference.
      const { count, highestVersion } = view.measure(check.start, check.end, nowMs, check.count + 1);
      return count === check.count && highestVersion === check.highestVersion;
    }
  }
}

function changesOf(order: Order, view: View, version: number, nowMs: number): Verdict {
  const changes = new Map<KeyText, Change>();
  for (const [index, write] of order.writes.entries()) {
    switch (write.kind) {
      case "set":
        changes.set(write.key, write);
        break;
      case "delete":
        changes.set(write.key, gone);
        break;
      case "append":
        changes.set(write.prefix + textOfKey(encodeStamp(version, index)), write);
        break;
      case "add": {
        const sum = added(write.key, write.amount, changes, view, nowMs);
        if (sum === null) return { kind: "refused", code: "NOT_AN_INTEGER" };
        changes.set(write.key, sum);
        break;
      }
      case "delete-range": {
        const keys = view.listKeys(write.start, write.end, nowMs, limits.deleteRangeEntries + 1);
        if (keys.length > limits.deleteRangeEntries) return { kind: "refused", code: "COMMIT_TOO_LARGE" };
        // What the commit itself has written there goes as well.
        const own = [...changes.keys()].filter((key) => key >= write.start && key < write.end);
        for (const key of keys) changes.set(key, gone);
        for (const key of own) changes.set(key, gone);
      }
    }
  }
  if (order.once !== null) changes.set(order.once, { value: empty, expiresAtMs: nowMs + limits.onceMs });
  return { kind: "accepted", changes };
}

const gone: Change = { value: null, expiresAtMs: Number.POSITIVE_INFINITY };

function added(
  key: KeyText,
  amount: bigint,
  changes: ReadonlyMap<KeyText, Change>,
  view: View,
  nowMs: number,
): Change | null {
  const own = changes.get(key);
  const before = own === undefined ? view.find(key, nowMs) : own.expiresAtMs > nowMs ? own : null;
  const value = before?.value ?? null;
  if (value !== null && value.length !== 8) return null;
  const sum = (value === null ? 0n : viewOf(value).getBigInt64(0)) + amount;
  if (sum < integerMin || sum > integerMax) return null;
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigInt64(0, sum);
  return { value: bytes, expiresAtMs: value === null ? Number.POSITIVE_INFINITY : (before?.expiresAtMs ?? Infinity) };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
