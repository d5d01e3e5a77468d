/**
 * Sends what a consumer has parked back to it: records wait to be tried again (`redriven.ts`), windows get their states back and
 * end once more. Each of them moves in a commit that checks that it is still parked.
 */
import type { Check, Entry, Keyspace, RangeQuery, Write } from "../../contract/keyspace.ts";
import type { RedriveParkedJson, RedriveParkedRequest } from "../../contract/triggering.ts";
import { jsonOf } from "../../state/stream/consumer-record.ts";
import { jsonBytes } from "../../state/stream/layouts.ts";
import { placeOfOffset } from "../../state/stream/record.ts";
import type { ConsumerKeys } from "../../state/stream/stream-keys.ts";

/** A record or a window that was given up, as it is kept. */
export interface Parked {
  readonly stream: string;
  readonly consumer: string;
  readonly record?: ParkedRecord;
  readonly window?: {
    readonly key: string;
    readonly start: number;
    readonly end: number;
    readonly states: readonly unknown[];
  };
  readonly error: { readonly type: string; readonly message: string };
  readonly attempts: number;
  readonly atMs: number;
}

export interface ParkedRecord {
  readonly value: unknown;
  readonly key: string | null;
  readonly offset: string;
  readonly partition: number;
  readonly appendedAt: number;
}

/** What waits to be tried again. */
export interface Waiting {
  readonly record: ParkedRecord;
  /** Since it was sent back. */
  readonly attempts: number;
  /** Epoch milliseconds by the store's clock. */
  readonly notBeforeMs: number;
}

/** In no partition: states that a consumer writes itself never stand there. */
const noPartition = -1;
const sliceEntries = 100;
const shownOffsets = 100;

export async function redriveParked(
  keyspace: Keyspace,
  keys: ConsumerKeys,
  request: RedriveParkedRequest,
): Promise<RedriveParkedJson> {
  const offsets: string[] = [];
  let records = 0;
  let windows = 0;
  let query: RangeQuery | null = { ...keys.parked, limit: sliceEntries };
  while (query !== null) {
    const page = await keyspace.range(query);
    const wanted = page.entries
      .map((entry) => ({ entry, parked: jsonOf<Parked>(entry) }))
      .filter(({ parked }) => isWanted(parked, request));
    const moved = request.dryRun ? wanted : await move(keyspace, keys, wanted);
    for (const { parked } of moved) {
      if (parked.record === undefined) windows += 1;
      else {
        records += 1;
        if (offsets.length < shownOffsets) offsets.push(parked.record.offset);
      }
    }
    query = page.next;
  }
  return { records, windows, offsets, dryRun: request.dryRun };
}

function isWanted({ record, window, error }: Parked, request: RedriveParkedRequest): boolean {
  if (request.offset !== undefined && record?.offset !== request.offset) return false;
  if (request.key !== undefined && (record?.key ?? window?.key) !== request.key) return false;
  return request.error === undefined || [error.type, error.message].some((text) => text.includes(request.error ?? ""));
}

interface Found {
  readonly entry: Entry;
  readonly parked: Parked;
}

/** All of them, or, when somebody else has taken one meanwhile, each that is left. */
async function move(keyspace: Keyspace, keys: ConsumerKeys, found: readonly Found[]): Promise<readonly Found[]> {
  if (found.length === 0) return found;
  const checks = found.map(({ entry }): Check => ({ kind: "version", key: entry.key, version: entry.version }));
  const outcome = await keyspace.commit({ checks, writes: found.flatMap((one) => writesFor(keys, one)) });
  if (outcome.kind === "committed") return found;
  if (found.length === 1) return [];
  const moved: Found[] = [];
  for (const one of found) moved.push(...(await move(keyspace, keys, [one])));
  return moved;
}

function writesFor(keys: ConsumerKeys, { entry, parked: { record, window } }: Found): Write[] {
  const gone: Write = { kind: "delete", key: entry.key };
  if (record !== undefined) {
    const waiting: Waiting = { record, attempts: 0, notBeforeMs: 0 };
    const key = keys.redrivenRecord(record.partition, placeOfOffset(record.offset));
    return [gone, { kind: "set", key, value: jsonBytes(waiting) }];
  }
  const states = (window?.states ?? []).map((state, index): Write => {
    const { key = "", start = 0, end = 0 } = window ?? {};
    return { kind: "set", key: keys.state(end, start, key, noPartition, index), value: jsonBytes(state) };
  });
  return [gone, ...states];
}
