/**
 * How many partitions a stream has, and had. Appends check that no newer layout exists, so a record's version tells the
 * layout it was appended under: keys move between partitions only at a layout's version, and consumers finish what is below it
 * before they read on (rule 12 of docs/exactly-once.md).
 */
import type { Environment } from "../../contract/durable.ts";
import type { Check, Keyspace, Write } from "../../contract/keyspace.ts";
import { decodeTuple } from "../../contract/tuple.ts";
import type { StreamShape } from "../../contract/stream-options.ts";
import { type StreamKeys, streamKeys } from "./stream-keys.ts";

export interface Layout {
  readonly index: number;
  readonly partitions: number;
  /** The first version of commits under it. */
  readonly sinceVersion: number;
}

export interface StreamLayouts {
  readonly layouts: readonly Layout[];
  readonly retention: Pick<StreamShape, "retentionMs" | "retentionBytes">;
}

/** null when there is no such stream. */
export async function findLayouts(keyspace: Keyspace, keys: StreamKeys): Promise<StreamLayouts | null> {
  const { entries } = await keyspace.range({ ...keys.layouts, limit: 1000 });
  const layouts: Layout[] = [];
  let retention: StreamLayouts["retention"] | null = null;
  for (const { key, value, version } of entries) {
    const index = Number(decodeTuple(key).at(-1));
    const kept = JSON.parse(Buffer.from(value).toString()) as StreamShape;
    if (index === -1) retention = kept;
    else layouts.push({ index, partitions: kept.partitions, sinceVersion: version });
  }
  return retention === null || layouts.length === 0 ? null : { layouts, retention };
}

export interface ShapePlan {
  readonly checks: Check[];
  readonly writes: Write[];
  readonly partitions: number;
}

/** What makes a stream have this shape: nothing when it has it already. Partitions only grow. */
export function planShape(keys: StreamKeys, found: StreamLayouts | null, shape: StreamShape | null): ShapePlan {
  const checks: Check[] = [];
  const writes: Write[] = [];
  const layouts = found?.layouts ?? [];
  const current = layouts.at(-1);
  const partitions = Math.max(current?.partitions ?? 0, shape?.partitions ?? 0, 1);
  checks.push({ kind: "absent", key: keys.layout(layouts.length) });
  if (current === undefined || partitions > current.partitions) {
    writes.push({ kind: "set", key: keys.layout(layouts.length), value: jsonBytes({ partitions }) });
  }
  if (found === null) writes.push({ kind: "set", key: keys.directory, value: jsonBytes({}) });
  const { retentionMs, retentionBytes } = shape ?? found?.retention ?? standardRetention;
  const isSame =
    found !== null && found.retention.retentionMs === retentionMs && found.retention.retentionBytes === retentionBytes;
  if (!isSame) {
    writes.push({ kind: "set", key: keys.retention, value: jsonBytes({ retentionMs, retentionBytes }) });
  }
  return { checks, writes, partitions };
}

const standardRetention = { retentionMs: 7 * 86_400_000, retentionBytes: null };

/** Makes the stream, or gives it the shape that a deployment says. */
export async function ensureStream(
  keyspace: Keyspace,
  environment: Environment,
  name: string,
  shape: StreamShape | null,
): Promise<StreamLayouts> {
  const keys = streamKeys(environment, name);
  for (;;) {
    const found = await findLayouts(keyspace, keys);
    const { checks, writes } = planShape(keys, found, shape);
    if (found !== null && writes.length === 0) return found;
    await keyspace.commit({ checks, writes });
  }
}

export function jsonBytes(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
