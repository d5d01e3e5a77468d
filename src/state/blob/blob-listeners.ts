/**
 * Who wants to hear of blobs: functions of what is live, as the trigger engine keeps them. An event of a blob is a message in
 * a queue of its function, sent in the commit that changes the blob, so that none is lost and none made up.
 */
import { createHash } from "node:crypto";
import { type BlobChangeKind, parseBlobOptions } from "../../contract/blob-options.ts";
import { type Environment, KeyClass } from "../../contract/durable.ts";
import type { Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { encodeTuple } from "../../contract/tuple.ts";
import { BoundedMap } from "../../lib/bounded-map.ts";

export interface BlobListener {
  readonly store: string;
  readonly on: readonly BlobChangeKind[];
  readonly prefix: string;
  readonly queue: string;
}

/** Environments whose listeners are remembered while their row is the same. */
const knownMost = 4096;

export function createBlobListeners(
  keyspace: Keyspace,
): (environment: Environment) => Promise<readonly BlobListener[]> {
  const known = new BoundedMap<string, { readonly version: number; readonly listeners: readonly BlobListener[] }>(
    knownMost,
  );
  return async ({ id, generation }) => {
    const [row = null] = await keyspace.get([encodeTuple([KeyClass.subscription, id, generation, "consumers"])]);
    if (row === null) return [];
    const key = `${id} ${generation}`;
    let found = known.get(key);
    if (found?.version !== row.version) {
      found = { version: row.version, listeners: listenersIn(row.value) };
      known.set(key, found);
    }
    return found.listeners;
  };
}

/** The queue in which the events of a store wait for a function. */
export function blobQueueOf(store: string, functionName: string): string {
  const name = `blob/${store}/${functionName}`;
  if (name.length <= limits.resourceNameChars) return name;
  return `blob/${createHash("sha256").update(store).digest("hex").slice(0, 16)}/${functionName}`;
}

function listenersIn(row: Uint8Array): BlobListener[] {
  const { consumers } = JSON.parse(Buffer.from(row).toString()) as {
    consumers: readonly { kind: string; name: string; functionName: string; options: Record<string, unknown> }[];
  };
  return consumers
    .filter(({ kind }) => kind === "blob")
    .map(({ name, functionName, options }) => {
      const { on, prefix } = parseBlobOptions(name, options);
      return { store: name, on, prefix, queue: blobQueueOf(name, functionName) };
    });
}
