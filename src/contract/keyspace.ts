/**
 * The keyspace: the ordered, transactional key-value space in which all durable state lives. Five methods; every durable
 * feature is a layer over them, so that writes of different kinds commit together and a driver stays small.
 *
 * A key is at most limits.keyBytes bytes, made by `tuple.ts` so that the order of bytes is the order of tuples. A value
 * is at most limits.valueBytes bytes. Arrays that are handed in may be used again once the call has returned; what is handed
 * out may be views of memory that others read too and must not be written to.
 */

export type Key = Uint8Array;

/**
 * The store's own time in epoch milliseconds: the greatest of the wall clock and of every time the store has committed, also
 * in an earlier run. It never goes back; while the wall clock is behind, it stands still. Expiry is judged by it alone.
 */
export interface StoreClock {
  nowMs(): number;
}

export interface Entry {
  readonly key: Key;
  readonly value: Uint8Array;
  /** Of the commit that wrote the entry last. Versions of commits with writes increase by at least one, from 1. */
  readonly version: number;
  /** By the store's clock; from then on the entry does not exist. null: never. */
  readonly expiresAtMs: number | null;
}

export interface RangeQuery {
  /** Included. */
  readonly start: Key;
  /** Not included. */
  readonly end: Key;
  /** At most limits.rangePageEntries, which is also what a query without one gets. */
  readonly limit?: number;
  /** From the end towards the start. */
  readonly isReverse?: boolean;
}

export interface RangePage {
  /** In the order of their keys, as they were at one point in time. */
  readonly entries: readonly Entry[];
  /** What to ask for next, or null when the range has no more. A page ends early at limits.rangePageBytes of values. */
  readonly next: RangeQuery | null;
}

export type Check =
  /** The key exists and has this version. */
  | { readonly kind: "version"; readonly key: Key; readonly version: number }
  | { readonly kind: "absent"; readonly key: Key }
  /**
   * From `start` to before `end` there are exactly `count` entries (at most limits.rangeCheckEntries), the highest of their
   * versions is this one, 0 when there are none. Whatever is written raises the highest and whatever goes away lowers the
   * count, so that equal means unchanged.
   */
  | {
      readonly kind: "range";
      readonly start: Key;
      readonly end: Key;
      readonly count: number;
      readonly highestVersion: number;
    };

export type Write =
  | { readonly kind: "set"; readonly key: Key; readonly value: Uint8Array; readonly expiresAtMs?: number }
  | { readonly kind: "delete"; readonly key: Key }
  /** At most limits.deleteRangeEntries entries, else COMMIT_TOO_LARGE. */
  | { readonly kind: "delete-range"; readonly start: Key; readonly end: Key }
  /**
   * Adds to a signed 64-bit integer, kept as 8 bytes with the highest first, without reading it: no conflict. An absent one
   * counts as 0; expiry stays as it was. NOT_AN_INTEGER when the value is something else or the sum does not fit.
   */
  | { readonly kind: "add"; readonly key: Key; readonly amount: bigint }
  /**
   * A new key: `prefix`, then the commit's version and the write's index in the commit as two integers of a tuple. So keys
   * under one prefix are in the order of commits (`appendedKey` of tuple.ts tells the key).
   */
  | { readonly kind: "append"; readonly prefix: Key; readonly value: Uint8Array; readonly expiresAtMs?: number };

export interface Commit {
  /** Judged before any write, at most limits.commitChecks. */
  readonly checks: readonly Check[];
  /** Applied in this order, at most limits.commitWrites and limits.commitBytes. None: only the checks are judged. */
  readonly writes: readonly Write[];
  /**
   * A key that makes the commit safe to repeat after COMMIT_UNKNOWN: it is written along and kept for limits.onceMs. A commit
   * that finds it there does nothing and answers with the version of the first.
   */
  readonly once?: Key;
  /**
   * Goes on while the disk is full, out of the store's reserve: acknowledgements. Commits that only delete do so anyway.
   */
  readonly isEssential?: boolean;
}

export type CommitOutcome =
  /** Durable and visible. Without writes, the version is that of the last commit the checks have seen. */
  | { readonly kind: "committed"; readonly version: number; readonly isRepeat: boolean }
  /** Nothing was written: `checks[check]` does not hold; `key` is its key, or the start of its range. */
  | { readonly kind: "conflict"; readonly check: number; readonly key: Key };

export interface Keyspace {
  readonly clock: StoreClock;

  /** In the order of the keys, null where there is none; all read at one point in time. At most limits.getKeys. */
  get(keys: readonly Key[]): Promise<(Entry | null)[]>;

  /** A page at one point in time. Pages are not one snapshot: nothing stays open between them. */
  range(query: RangeQuery): Promise<RangePage>;

  /**
   * All of it or nothing; durable when it resolves. Whoever has seen a version never sees a smaller one appear later. Commits
   * that were handed over earlier in the same process are judged earlier.
   *
   * Rejects with COMMIT_UNKNOWN when it may or may not have happened (repeat it only if a check would then fail, or with
   * `once`); with KEY_INVALID, VALUE_TOO_LARGE, COMMIT_TOO_LARGE, NOT_AN_INTEGER, DISK_FULL, KEYSPACE_BUSY, DATA_CORRUPT or
   * SHUTTING_DOWN when it has not.
   */
  commit(commit: Commit): Promise<CommitOutcome>;

  /**
   * Calls `onWake` some time after commits that wrote a key with this prefix, once for many of them, when they can be read.
   * Only a hint: it may come for nothing and it may be lost. The answer ends it.
   */
  watch(prefix: Key, onWake: () => void): () => void;

  /** Waits for the commits under way. Idempotent. Every later call rejects with SHUTTING_DOWN. */
  close(): Promise<void>;
}
