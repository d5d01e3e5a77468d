/**
 * Emptying and deleting a stream. Records go first, under the low-water mark, in slices (rule 6 of docs/exactly-once.md); a
 * stream that is deleted ends in one commit that checks that none is left, so that an append either is in the old stream and
 * goes with it, or makes a new one. After a crash in the middle the same is asked for again.
 */
import type { Environment } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import type { Check, Keyspace } from "../../contract/keyspace.ts";
import { decodeTuple } from "../../contract/tuple.ts";
import { deleteInSlices } from "../delete-slices.ts";
import { findLayouts, type Layout } from "./layouts.ts";
import { lastRecord } from "./places.ts";
import { trimPartition } from "./retention.ts";
import { consumerKeys, consumersOf, type StreamKeys, streamKeys } from "./stream-keys.ts";

/** Others that append all the while may be faster so often. */
const triesMax = 20;
const keepAll = { retentionMs: Number.MAX_SAFE_INTEGER, retentionBytes: null };

/** Removes what is in the stream now; what is appended meanwhile may stay. Answers how many records that were. */
export async function purgeStream(keyspace: Keyspace, environment: Environment, stream: string): Promise<number> {
  const keys = streamKeys(environment, stream);
  const found = await findLayouts(keyspace, keys);
  let removed = 0;
  for (let partition = 0; partition < (found?.layouts.at(-1)?.partitions ?? 0); partition++) {
    const last = await lastRecord(keyspace, keys, partition);
    if (last !== null) removed += (await trimPartition(keyspace, keys, partition, keepAll, last.place)).removed;
  }
  return removed;
}

/** Nobody may read it. Answers how many records it had. Throws KEYSPACE_BUSY. */
export async function deleteStream(keyspace: Keyspace, environment: Environment, stream: string): Promise<number> {
  const keys = streamKeys(environment, stream);
  await deleteConsumers(keyspace, environment, stream);
  let removed = 0;
  for (let tries = 0; tries < triesMax; tries++) {
    removed += await purgeStream(keyspace, environment, stream);
    await deleteInSlices(keyspace, keys.producers);
    const found = await findLayouts(keyspace, keys);
    if (found === null) return removed;
    const outcome = await keyspace.commit({
      checks: [standing(keys, found.layouts), { kind: "range", ...keys.allRecords, count: 0, highestVersion: 0 }],
      writes: [
        ...keys.counters.map((range) => ({ kind: "delete-range", ...range }) as const),
        { kind: "delete-range", ...keys.producers },
        { kind: "delete-range", ...keys.layouts },
        { kind: "delete", key: keys.directory },
      ],
    });
    if (outcome.kind === "committed") return removed;
  }
  throw new AloftError("KEYSPACE_BUSY", `the stream ${stream} was appended to each of the ${triesMax} times`, {
    hint: "stop what appends to it, and delete it again",
  });
}

/** No layout has come since. */
function standing(keys: StreamKeys, layouts: readonly Layout[]): Check {
  return { kind: "absent", key: keys.layout(layouts.length) };
}

/** What is kept of functions that have read it. */
async function deleteConsumers(keyspace: Keyspace, environment: Environment, stream: string): Promise<void> {
  for (;;) {
    const { entries } = await keyspace.range(consumersOf(environment, stream));
    if (entries.length === 0) return;
    for (const { key } of entries) {
      await deleteInSlices(keyspace, consumerKeys(environment, stream, String(decodeTuple(key).at(-1))).all);
      await keyspace.commit({ checks: [], writes: [{ kind: "delete", key }] });
    }
  }
}
