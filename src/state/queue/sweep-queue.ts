/** Removes what a purge has left behind, in slices, so that no commit waits long for any of it (rule 6). */
import type { Check, Key, Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { encodeTuple } from "../../contract/tuple.ts";
import { keyAfter, type QueuePlace } from "./queue-keys.ts";

/**
 * Everything of the generations before this one, once from the first key to the last: what was deleted and is not merged yet would
 * be gone through anew for each slice. Nothing is sent to them any more; what a retry still brings behind is found at the next
 * opening of the queue. Ends early when a check fails or `isStopped` says so.
 */
export async function sweepQueue(
  keyspace: Keyspace,
  { base }: QueuePlace,
  generation: number,
  checks: readonly Check[],
  isStopped: () => boolean,
): Promise<void> {
  let start: Key = encodeTuple([...base, 0]);
  const end = encodeTuple([...base, generation]);
  while (!isStopped()) {
    const { entries } = await keyspace.range({ start, end, limit: limits.purgeEntries });
    const last = entries.at(-1);
    if (last === undefined) return;
    const sliceEnd = keyAfter(last.key);
    const writes = [{ kind: "delete-range", start, end: sliceEnd }] as const;
    if ((await keyspace.commit({ checks, writes })).kind === "conflict") return;
    start = sliceEnd;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
