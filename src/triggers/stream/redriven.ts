/**
 * Parked records that somebody has sent back. Each is delivered alone, in the lane that has its key now, between two batches of
 * that lane: so never while another record of its key is handled, and a window's state has one writer. Its place in the order
 * of its key is lost; it was given up once. What it effects commits with its removal from what waits.
 */
import { AloftError } from "../../contract/errors.ts";
import type { Key, Keyspace, RangeQuery, Write } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { type Cursor, freshCursor, jsonOf } from "../../state/stream/consumer-record.ts";
import { jsonBytes } from "../../state/stream/layouts.ts";
import { laneOf, partitionOf, placeOfOffset, type StreamRecord } from "../../state/stream/record.ts";
import type { OutcomeError } from "../../wire/effects.ts";
import { type Acknowledgement, backoffMs, commitSurely, runEvent } from "../event-run.ts";
import type { StreamConsumer } from "./consumer.ts";
import { failedFrom } from "./kinesis-event.ts";
import type { Lane } from "./lane.ts";
import { refuse, setCursor, timesAfter } from "./lane-cursor.ts";
import { deliveryOf, isKinesis, letterOf } from "./lane-delivery.ts";
import type { PartitionReader } from "./partition-reader.ts";
import type { Waiting } from "./redrive.ts";
import { windowFor } from "./tumbling.ts";
import { parseWindowResult, stateWrites } from "./window-result.ts";

interface Redriven {
  readonly key: Key;
  readonly version: number;
  readonly waiting: Waiting;
}

const loadedMost = 200;

/** What is due, by the lanes that have it. */
export class RedrivenRecords {
  readonly #byLane = new Map<Lane, Redriven[]>();
  #underWay = 0;
  #isLoading = false;
  #isStale = true;

  /** There may be more than is known. */
  markStale(): void {
    this.#isStale = true;
  }

  get wantsToLoad(): boolean {
    return this.#isStale && !this.#isLoading && this.#underWay === 0 && this.#byLane.size === 0;
  }

  /** Answers after how many milliseconds something more is due; null: nothing more waits. */
  async load(keyspace: Keyspace, range: RangeQuery, readers: readonly PartitionReader[]): Promise<number | null> {
    this.#isLoading = true;
    this.#isStale = false;
    let dueMs: number | null = null;
    let count = 0;
    try {
      let query: RangeQuery | null = { ...range, limit: loadedMost };
      while (query !== null && count < loadedMost) {
        const page = await keyspace.range(query);
        const nowMs = keyspace.clock.nowMs();
        for (const entry of page.entries) {
          const waiting = jsonOf<Waiting>(entry);
          const waitMs = waiting.notBeforeMs - nowMs;
          if (waitMs > 0) {
            dueMs = Math.min(dueMs ?? waitMs, waitMs);
            continue;
          }
          const lane = laneFor(recordOf(waiting), waiting.record.partition, readers);
          if (lane === undefined) continue;
          const known = this.#byLane.get(lane);
          if (known === undefined) this.#byLane.set(lane, [{ key: entry.key, version: entry.version, waiting }]);
          else known.push({ key: entry.key, version: entry.version, waiting });
          count += 1;
        }
        query = page.next;
      }
      if (query !== null) this.#isStale = true;
      return dueMs;
    } catch (error) {
      this.#isStale = true;
      throw error;
    } finally {
      this.#isLoading = false;
    }
  }

  /** Whether something is due in this lane. */
  has(lane: Lane): boolean {
    return this.#byLane.has(lane);
  }

  /** Resolves when nothing of it runs any more. */
  async deliverNext(consumer: StreamConsumer, lane: Lane): Promise<void> {
    const [next, ...others] = this.#byLane.get(lane) ?? [];
    if (next === undefined) return;
    if (others.length === 0) this.#byLane.delete(lane);
    else this.#byLane.set(lane, others);
    this.#underWay += 1;
    try {
      await deliverRedriven(consumer, lane, next);
    } finally {
      this.#underWay -= 1;
    }
  }
}

async function deliverRedriven(
  consumer: StreamConsumer,
  lane: Lane,
  { key, version, waiting }: Redriven,
): Promise<void> {
  const record = recordOf(waiting);
  const { partition } = waiting.record;
  const itsCheck = { kind: "version", key, version } as const;
  let next: Cursor = lane.cursor;

  const end = await runEvent(consumer.runner, {
    environment: consumer.binding.environment,
    delivery: () =>
      deliveryOf(consumer, lane, [record], {
        attempt: waiting.attempts + 1,
        partition,
        // Its window has ended long ago, so it gets one for itself.
        tumbling: consumer.tumblingMs === null ? null : windowFor(freshCursor(null), record, consumer.tumblingMs),
        isFinal: true,
      }),
    acknowledge(outcome): Acknowledgement {
      const failed = isKinesis(consumer) ? failedFrom(outcome, [record]) : null;
      if (failed !== null) throw new AloftError("FUNCTION_THREW", failed.error.message);
      const window = consumer.options.window === null ? null : parseWindowResult(outcome.value);
      next = { ...lane.cursor, ...timesAfter(lane, window?.maxMs ?? null) };
      const writes: Write[] = [{ kind: "delete", key }, setCursor(consumer, lane, next)];
      if (window !== null) writes.push(...stateWrites(consumer, lane, window));
      return { checks: [itsCheck, consumer.cursorCheck(lane)], writes };
    },
    checks: consumer.checks(),
    signal: consumer.signal,
  });
  switch (end.kind) {
    case "committed":
      lane.cursor = next;
      lane.version = end.version;
      lane.refusals = 0;
      consumer.watermark?.observe(lane.index, next.maxMs, consumer.clock.monotonicMs());
      return;
    case "failed":
      await failed(consumer, { key, version, waiting }, end.error);
      return;
    case "refused":
      refuse(consumer, lane, end.error);
      consumer.lookAgain(lane.notBeforeMs - consumer.clock.monotonicMs());
      return;
    case "lost":
      consumer.reopen();
  }
}

/** It waits once more, or is parked again. */
async function failed(
  consumer: StreamConsumer,
  { key, version, waiting }: Redriven,
  error: OutcomeError,
): Promise<void> {
  const { record } = waiting;
  const attempts = waiting.attempts + 1;
  const nowMs = consumer.keyspace.clock.nowMs();
  const isOver = attempts >= consumer.options.attempts || error.retry === "never";
  const waitMs = backoffMs(consumer.options.backoffMs, attempts, error);
  const writes: Write[] = isOver
    ? [
        { kind: "delete", key },
        {
          kind: "set",
          key: consumer.keys.parkedRecord(record.partition, placeOfOffset(record.offset)),
          value: jsonBytes({ ...letterOf(consumer, { record }, error, attempts), atMs: nowMs }),
          expiresAtMs: nowMs + limits.streamParkedMs,
        },
      ]
    : [{ kind: "set", key, value: jsonBytes({ record, attempts, notBeforeMs: nowMs + waitMs } satisfies Waiting) }];
  const outcome = await commitSurely(consumer.runner.state, consumer.binding.environment, {
    seen: [],
    effects: [],
    checks: [...consumer.checks(), { kind: "version", key, version }],
    writes,
    isEssential: true,
  });
  if (outcome.kind !== "committed") consumer.reopen();
  else if (!isOver) consumer.lookAgain(waitMs);
}

function recordOf({ record }: Waiting): StreamRecord {
  const { value, key, offset, appendedAt } = record;
  return { value, key, place: placeOfOffset(offset), appendedAtMs: appendedAt, bytes: 0 };
}

/** Its key may belong to another partition than when it was appended. */
function laneFor(record: StreamRecord, partition: number, readers: readonly PartitionReader[]): Lane | undefined {
  const now = record.key === null ? partition % readers.length : partitionOf(record.key, readers.length);
  const lanes = readers[now]?.lanes ?? [];
  return lanes[laneOf(record, lanes.length)];
}
