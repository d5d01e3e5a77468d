/**
 * The port to the store of everything `apps/` knows apart from file contents: an ordered map of strings, held in memory
 * and made durable by a driver, so that what routing asks for is answered at once.
 *
 * What every driver keeps: `get` and `list` see only what is durable; a commit is all or nothing; checks and writes of
 * one commit are taken at one moment; commits take effect in the order they were called.
 */
export interface MetaEntry {
  readonly key: string;
  readonly value: string;
}

/** `null`: the key must not exist (in a check), or is removed (in a write). */
export interface MetaCell {
  readonly key: string;
  readonly value: string | null;
}

export interface MetaCommit {
  readonly checks: readonly MetaCell[];
  readonly writes: readonly MetaCell[];
}

export interface MetaStore {
  get(key: string): string | null;
  /** Every entry whose key begins with the prefix, in key order (UTF-16 code units). */
  list(prefix: string): readonly MetaEntry[];
  /**
   * Durable when it resolves. Rejects with `CommitConflict` when a check fails and with DISK_FULL when there is no room;
   * in both cases nothing of it was written, and the store goes on working.
   */
  commit(commit: MetaCommit): Promise<void>;
  /** Waits for the commits under way. Idempotent. */
  close(): Promise<void>;
}

/** A check of a commit did not hold: somebody else wrote the key first. Never leaves `apps/`. */
export class CommitConflict extends Error {
  readonly key: string;

  constructor(key: string) {
    super(`the value of ${key} was changed by another commit`);
    this.name = "CommitConflict";
    this.key = key;
  }
}
