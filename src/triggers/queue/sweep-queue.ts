/** Removes what a purge has left behind, in slices, so that no commit waits long for any of it (rule 6). */
import type { OwnedShard } from "../../contract/durable.ts";
import type { Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { encodeTuple } from "../../contract/tuple.ts";
import { keyAfter, type QueuePlace } from "../../state/queue/queue-keys.ts";

/** Everything of the generations before this one. */
export async function sweepQueue(
  keyspace: Keyspace,
  shard: OwnedShard,
  { base }: QueuePlace,
  generation: number,
): Promise<void> {
  const start = encodeTuple([...base, 0]);
  const end = encodeTuple([...base, generation]);
  while (!shard.signal.aborted) {
    const { entries } = await keyspace.range({ start, end, limit: limits.deleteRangeEntries });
    const last = entries.at(-1);
    if (last === undefined) return;
    const outcome = await keyspace.commit({
      checks: [shard.epochCheck],
      writes: [{ kind: "delete-range", start, end: keyAfter(last.key) }],
    });
    if (outcome.kind === "conflict") return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
