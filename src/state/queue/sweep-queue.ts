/** Removes what a purge has left behind. */
import { setImmediate as turn } from "node:timers/promises";
import type { Check, Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { encodeTuple } from "../../contract/tuple.ts";
import { deleteInSlices } from "../delete-slices.ts";
import type { QueuePlace } from "./queue-keys.ts";

/**
 * Everything of the generations before this one. Nothing is sent to them any more; what a retry still brings behind is found at
 * the next opening of the queue. Ends early when a check fails or `isStopped` says so.
 */
export async function sweepQueue(
  keyspace: Keyspace,
  { base }: QueuePlace,
  generation: number,
  checks: readonly Check[],
  isStopped: () => boolean,
): Promise<void> {
  const range = { start: encodeTuple([...base, 0]), end: encodeTuple([...base, generation]) };
  await deleteInSlices(keyspace, range, { entries: limits.purgeEntries, checks, isStopped, pause: () => turn() });
}
