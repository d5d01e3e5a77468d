/** One batch of one lane: delivered, committed together with the cursor, tried again in halves, or given up. */
import type { EventDelivery } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import type { Check, Write } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import type { Cursor, TumblingWindow } from "../../state/stream/consumer-record.ts";
import { jsonBytes } from "../../state/stream/layouts.ts";
import { offsetOf, type StreamRecord } from "../../state/stream/record.ts";
import type { OutcomeDocument, OutcomeError } from "../../wire/effects.ts";
import { type Acknowledgement, backoffMs, commitSurely, runEvent } from "../event-run.ts";
import type { Lagging, StreamConsumer } from "./consumer.ts";
import { failedFrom, kinesisEvent } from "./kinesis-event.ts";
import type { Lane } from "./lane.ts";
import { refuse, setCursor, timesAfter } from "./lane-cursor.ts";
import type { Parked, ParkedRecord } from "./redrive.ts";
import { stateFrom, tumblingEvent, windowFor } from "./tumbling.ts";
import { parseWindowResult, stateWrites } from "./window-result.ts";

/** Resolves when nothing of it runs any more. */
export async function deliverBatch(
  consumer: StreamConsumer,
  lane: Lane,
  batch: readonly StreamRecord[],
): Promise<void> {
  const lagging = consumer.lagging(lane);
  // A bystander's cursor is written along; until that is known, it must not deliver.
  for (const other of lagging.lanes) other.isBusy = true;
  try {
    await deliver(consumer, lane, batch, lagging);
  } finally {
    for (const other of lagging.lanes) other.isBusy = false;
  }
}

async function deliver(
  consumer: StreamConsumer,
  lane: Lane,
  batch: readonly StreamRecord[],
  lagging: Lagging,
): Promise<void> {
  const first = batch[0];
  if (first === undefined) return;
  const { environment } = consumer.binding;
  let done = batch;
  let next: Cursor = lane.cursor;
  let partial: OutcomeError | null = null;

  function acknowledge(outcome: Extract<OutcomeDocument, { ok: true }>): Acknowledgement {
    const failed = isKinesis(consumer) ? failedFrom(outcome, batch) : null;
    partial = failed?.error ?? null;
    done = failed === null ? batch : batch.slice(0, failed.index);
    const window = consumer.options.window === null ? null : parseWindowResult(outcome.value);
    const { cursor } = lane;
    const tumbling = tumblingOf(consumer, lane, batch);
    // A call that has handled nothing has not changed its window either.
    const state = tumbling === null ? null : stateFrom(outcome.value);
    const isOpen = tumbling !== null && done.length > 0;
    next = {
      after: done.at(-1)?.place ?? cursor.after,
      done: cursor.done + done.length,
      attempts: 0,
      ...timesAfter(lane, window?.maxMs ?? null),
      ...(isOpen
        ? { tumbling: { ...tumbling, state } }
        : cursor.tumbling === undefined
          ? {}
          : { tumbling: cursor.tumbling }),
    };
    const checks: Check[] = [consumer.cursorCheck(lane)];
    const writes: Write[] = [setCursor(consumer, lane, next)];
    if (window !== null) writes.push(...stateWrites(consumer, lane, window));
    for (const other of lagging.lanes) {
      checks.push(consumer.cursorCheck(other));
      writes.push(setCursor(consumer, other, { ...other.cursor, after: lagging.after }));
    }
    return { checks, writes };
  }

  const end = await runEvent(consumer.runner, {
    environment,
    delivery: () =>
      deliveryOf(consumer, lane, batch, {
        attempt: lane.cursor.attempts + 1,
        partition: lane.partition,
        tumbling: tumblingOf(consumer, lane, batch),
        isFinal: false,
      }),
    acknowledge,
    checks: consumer.checks(),
    signal: consumer.signal,
  });
  switch (end.kind) {
    case "committed": {
      settle(consumer, lane, next, end.version, done.length, lagging.recordsRead);
      for (const other of lagging.lanes) {
        other.cursor = { ...other.cursor, after: lagging.after };
        other.version = end.version;
        other.recordsReadAtCursor = lagging.recordsRead;
      }
      if (partial === null) lane.succeeded(consumer.options.batch);
      else await failed(consumer, lane, batch.slice(done.length), partial);
      return;
    }
    case "failed":
      await failed(consumer, lane, batch, end.error);
      return;
    case "refused":
      refuse(consumer, lane, end.error);
      return;
    case "lost":
      consumer.reopen();
  }
}

/** A batch comes again in halves; a record that was alone has used up an attempt, and is given up after the last. */
async function failed(
  consumer: StreamConsumer,
  lane: Lane,
  batch: readonly StreamRecord[],
  error: OutcomeError,
): Promise<void> {
  const { attempts: attemptsMax, backoffMs: firstMs } = consumer.options;
  const nowMs = consumer.clock.monotonicMs();
  if (batch.length > 1) {
    lane.batchMax = Math.ceil(batch.length / 2);
    return;
  }
  const record = batch[0];
  if (record === undefined) return;
  lane.batchMax = 1;
  const attempts = lane.cursor.attempts + 1;
  if (attempts >= attemptsMax || error.retry === "never") {
    await giveUp(consumer, lane, record, error, attempts);
    return;
  }
  lane.notBeforeMs = nowMs + backoffMs(firstMs, attempts, error);
  const next = { ...lane.cursor, attempts };
  await store(consumer, lane, next, [], 0);
}

/** The commit that puts it away moves the cursor (rule 12). */
async function giveUp(
  consumer: StreamConsumer,
  lane: Lane,
  record: StreamRecord,
  error: OutcomeError,
  attempts: number,
): Promise<void> {
  const { deadLetter } = consumer.options;
  const { environment } = consumer.binding;
  const next = { ...lane.cursor, after: record.place, done: lane.cursor.done + 1, attempts: 0 };
  const letter = letterOf(consumer, { record: recordJson(lane, record) }, error, attempts);
  if (deadLetter !== null) {
    try {
      const outcome = await commitSurely(consumer.runner.state, environment, {
        seen: [],
        effects: [{ resource: "queue", name: deadLetter, method: "send", args: { body: letter } }],
        checks: [...consumer.checks(), consumer.cursorCheck(lane)],
        writes: [setCursor(consumer, lane, next)],
        isEssential: true,
      });
      if (outcome.kind === "committed") settle(consumer, lane, next, outcome.version, 1, lane.recordsReadAtCursor);
      else consumer.reopen();
      return;
    } catch (thrown) {
      // What the queue does not take is parked.
      if (!(thrown instanceof AloftError) || thrown.fault === "platform") throw thrown;
    }
  }
  const key = consumer.keys.parkedRecord(lane.partition, record.place);
  const nowMs = consumer.keyspace.clock.nowMs();
  const value = jsonBytes({ ...letter, atMs: nowMs });
  await store(consumer, lane, next, [{ kind: "set", key, value, expiresAtMs: nowMs + limits.streamParkedMs }], 1);
}

/** What is said of something that was given up: a record, or a window. */
export function letterOf(
  { binding }: StreamConsumer,
  what: Pick<Parked, "record" | "window">,
  { type, message }: OutcomeError,
  attempts: number,
): Omit<Parked, "atMs"> {
  return { stream: binding.name, consumer: binding.functionName, ...what, error: { type, message }, attempts };
}

async function store(
  consumer: StreamConsumer,
  lane: Lane,
  next: Cursor,
  writes: readonly Write[],
  done: number,
): Promise<void> {
  const outcome = await commitSurely(consumer.runner.state, consumer.binding.environment, {
    seen: [],
    effects: [],
    checks: [...consumer.checks(), consumer.cursorCheck(lane)],
    writes: [setCursor(consumer, lane, next), ...writes],
    isEssential: true,
  });
  if (outcome.kind === "committed") settle(consumer, lane, next, outcome.version, done, lane.recordsReadAtCursor);
  else consumer.reopen();
}

function settle(
  consumer: StreamConsumer,
  lane: Lane,
  cursor: Cursor,
  version: number,
  done: number,
  recordsRead: number,
): void {
  lane.cursor = cursor;
  lane.version = version;
  lane.recordsReadAtCursor = recordsRead;
  lane.drop(done);
  consumer.watermark?.observe(lane.index, cursor.maxMs, consumer.clock.monotonicMs());
}

export interface BatchPlace {
  readonly attempt: number;
  /** Where the records were appended. */
  readonly partition: number;
  /** The tumbling window that they are in. */
  readonly tumbling: TumblingWindow | null;
  /** Nothing more comes for that window. */
  readonly isFinal: boolean;
}

/** null: the function has no tumbling windows. */
function tumblingOf(
  { tumblingMs }: StreamConsumer,
  { cursor }: Lane,
  [first]: readonly StreamRecord[],
): TumblingWindow | null {
  return tumblingMs === null || first === undefined ? null : windowFor(cursor, first, tumblingMs);
}

/** null: there is no function to deliver to. */
export function deliveryOf(
  consumer: StreamConsumer,
  lane: Lane,
  batch: readonly StreamRecord[],
  { attempt, partition, tumbling, isFinal }: BatchPlace,
): EventDelivery | null {
  const { binding, options } = consumer;
  const target = binding.target();
  const first = batch[0];
  if (target === null || first === undefined) return null;
  const offset = offsetOf(first.place);
  lane.watermarkMs = consumer.watermark?.valueMs(consumer.clock.monotonicMs()) ?? null;
  const payload = isKinesis(consumer)
    ? tumbling === null
      ? kinesisEvent(binding, partition, batch)
      : tumblingEvent(binding, partition, batch, tumbling, isFinal)
    : {
        kind: "records",
        records: batch.map((record) => recordJson({ partition }, record)),
        ...(options.window === null
          ? {}
          : {
              consumer: binding.functionName,
              partition: lane.partition,
              lane: lane.number,
              watermark: lane.watermarkMs,
              window: options.window,
            }),
      };
  return {
    ...target,
    trigger: "stream",
    subject: `${binding.name} ${partition}/${lane.number} ${offset}`,
    attempt,
    document: {
      trigger: "stream",
      idempotencyKey: `${binding.environment.id}.${binding.name}.${binding.functionName}.${partition}.${offset}`,
      payload,
    },
    traceparent: null,
  };
}

/** As the SDK's handlers get it. */
export function recordJson(
  { partition }: Pick<Lane, "partition">,
  { key, value, place, appendedAtMs }: StreamRecord,
): ParkedRecord {
  return { value, key, offset: offsetOf(place), partition, appendedAt: appendedAtMs };
}

/** A handler that knows nothing of Aloft gets what AWS would give it. */
export function isKinesis({ binding, options }: StreamConsumer): boolean {
  const target = binding.target();
  const style = target?.live.manifest.functions[target.functionNumber]?.style ?? "event";
  return style !== "event" && options.window === null;
}
