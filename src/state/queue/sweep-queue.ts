/** Removes what a purge has left behind, in slices, so that no commit waits long for any of it (rule 6). */
import type { Check, Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { encodeTuple } from "../../contract/tuple.ts";
import { keyAfter, type QueuePlace } from "./queue-keys.ts";

/** Everything of the generations before this one. Ends early when a check fails or `isStopped` says so. */
export async function sweepQueue(
  keyspace: Keyspace,
  { base }: QueuePlace,
  generation: number,
  checks: readonly Check[],
  isStopped: () => boolean,
): Promise<void> {
  const start = encodeTuple([...base, 0]);
  const end = encodeTuple([...base, generation]);
  while (!isStopped()) {
    const { entries } = await keyspace.range({ start, end, limit: limits.deleteRangeEntries });
    const last = entries.at(-1);
    if (last === undefined) return;
    const writes = [{ kind: "delete-range", start, end: keyAfter(last.key) }] as const;
    if ((await keyspace.commit({ checks, writes })).kind === "conflict") return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
