/**
 * The commits that wait for the next write, shared by the drivers: checks are judged in order, each commit seeing the
 * writes of those before it in the same batch, so that the whole batch can be made durable at once.
 */
import { type MetaCell, type MetaCommit, CommitConflict } from "./meta-store.ts";
import type { OrderedMap } from "./ordered-map.ts";

export interface WaitingCommit {
  readonly commit: MetaCommit;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface JudgedBatch {
  /** The writes of all accepted commits, in order. */
  readonly writes: readonly MetaCell[];
  readonly accepted: readonly WaitingCommit[];
  readonly refused: readonly { readonly waiting: WaitingCommit; readonly conflict: CommitConflict }[];
}

export function judgeBatch(map: OrderedMap, batch: readonly WaitingCommit[]): JudgedBatch {
  const staged = new Map<string, string | null>();
  const writes: MetaCell[] = [];
  const accepted: WaitingCommit[] = [];
  const refused: { waiting: WaitingCommit; conflict: CommitConflict }[] = [];
  for (const waiting of batch) {
    const failed = waiting.commit.checks.find(({ key, value }) => {
      const seen = staged.get(key);
      return (seen === undefined ? map.get(key) : seen) !== value;
    });
    if (failed !== undefined) {
      refused.push({ waiting, conflict: new CommitConflict(failed.key) });
      continue;
    }
    for (const write of waiting.commit.writes) {
      staged.set(write.key, write.value);
      writes.push(write);
    }
    accepted.push(waiting);
  }
  return { writes, accepted, refused };
}

/** Answers everybody once the accepted writes are durable and visible. */
export function settleBatch(judged: JudgedBatch): void {
  for (const { waiting, conflict } of judged.refused) waiting.reject(conflict);
  for (const waiting of judged.accepted) waiting.resolve();
}
