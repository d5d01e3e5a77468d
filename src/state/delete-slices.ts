/** Removes everything in a range of the keyspace in slices, so that no commit waits long for any of it (rule 6). */
import type { Check, Key, Keyspace } from "../contract/keyspace.ts";
import { limits } from "../contract/limits.ts";

export interface DeleteSlices {
  /** Entries of one slice. */
  readonly entries?: number;
  /** Of each commit; it ends when one fails. */
  readonly checks?: readonly Check[];
  readonly isStopped?: () => boolean;
  /** Between two slices. */
  readonly pause?: () => Promise<unknown>;
}

/**
 * Once from the first key to the last, each slice from where the one before ended: what was deleted and is not merged yet would be
 * gone through anew for each otherwise. What comes behind it meanwhile stays.
 */
export async function deleteInSlices(
  keyspace: Keyspace,
  range: { readonly start: Key; readonly end: Key },
  { entries: limit = limits.deleteRangeEntries, checks = [], isStopped = () => false, pause }: DeleteSlices = {},
): Promise<void> {
  const { end } = range;
  let { start } = range;
  while (!isStopped()) {
    const { entries, next } = await keyspace.range({ start, end, limit });
    const last = entries.at(-1);
    if (last === undefined) return;
    const sliceEnd = next === null ? end : Buffer.concat([last.key, Uint8Array.of(0)]);
    const { kind } = await keyspace.commit({ checks, writes: [{ kind: "delete-range", start, end: sliceEnd }] });
    if (kind === "conflict" || next === null) return;
    start = sliceEnd;
    await pause?.();
  }
}
