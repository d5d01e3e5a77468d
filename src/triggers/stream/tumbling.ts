/**
 * Tumbling windows as AWS Lambda gives them to a consumer of a Kinesis stream
 * (https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html): a window is a span of the time at which records
 * were appended, of one partition. Each call has records of one window and the state that the call before it has returned;
 * the last one has none and says `isFinalInvokeForWindow`. The state stands in the lane's cursor, and so commits with it.
 *
 *   none     the next record opens the window that it is in
 *   open     its records are handed over; it ends with the first record behind it, or when its time and a little more has
 *            passed and nothing is left to read, or when the partitions or lanes are to change
 *
 * A window that cannot be ended holds its partition up until it can, as on AWS.
 */
import type { EventDelivery } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import { limits } from "../../contract/limits.ts";
import type { Cursor, TumblingWindow } from "../../state/stream/consumer-record.ts";
import type { StreamRecord } from "../../state/stream/record.ts";
import type { Binding } from "../binding.ts";
import { type Acknowledgement, backoffMs, runEvent } from "../event-run.ts";
import type { StreamConsumer } from "./consumer.ts";
import { eventSourceArn, kinesisEvent, shardIdOf } from "./kinesis-event.ts";
import type { Lane } from "./lane.ts";
import { refuse, setCursor } from "./lane-cursor.ts";

/** Without a state that a call has returned. */
export const noState: unknown = {};

/** The window that is open, or the one that this record opens. One that has ended is not opened again, whatever clocks say. */
export function windowFor({ tumbling }: Cursor, record: StreamRecord, sizeMs: number): TumblingWindow {
  if (tumbling !== undefined && tumbling.state !== undefined) return tumbling;
  const startMs = Math.max(Math.floor(record.appendedAtMs / sizeMs) * sizeMs, tumbling?.endMs ?? 0);
  return { startMs, endMs: (Math.floor(startMs / sizeMs) + 1) * sizeMs, state: noState };
}

/** The first of these records, as far as they are in one window. */
export function inOneWindow(cursor: Cursor, batch: readonly StreamRecord[], sizeMs: number): readonly StreamRecord[] {
  const [first] = batch;
  if (first === undefined) return batch;
  const { endMs } = windowFor(cursor, first, sizeMs);
  const next = batch.findIndex(({ appendedAtMs }, index) => index > 0 && appendedAtMs >= endMs);
  return next === -1 ? batch : batch.slice(0, next);
}

/**
 * After how many milliseconds the lane's open window is to be ended; null: not yet, or there is none. `next`: the record that is
 * to be handled next. `isAtEnd`: nothing is left to read.
 */
export function endsInMs(
  { tumbling }: Cursor,
  next: StreamRecord | undefined,
  { isAtEnd, isDraining, nowMs }: { readonly isAtEnd: boolean; readonly isDraining: boolean; readonly nowMs: number },
): number | null {
  if (tumbling?.state === undefined) return null;
  if (next !== undefined) return next.appendedAtMs >= tumbling.endMs ? 0 : null;
  if (isDraining) return 0;
  return isAtEnd ? Math.max(0, tumbling.endMs + limits.tumblingGraceMs - nowMs) : null;
}

/** What a call has returned as the window's state. Throws an AloftError when it has none, which fails the call, as on AWS. */
export function stateFrom(value: unknown): unknown {
  const state = typeof value === "object" && value !== null ? (value as { state?: unknown }).state : undefined;
  if (typeof state !== "object" || state === null) {
    throw new AloftError("FUNCTION_BAD_RESPONSE", "the answer for a tumbling window has no state", {
      hint: 'return { "state": { ... } }',
    });
  }
  const bytes = Buffer.byteLength(JSON.stringify(state));
  if (bytes > limits.tumblingStateBytes) {
    throw new AloftError(
      "VALUE_TOO_LARGE",
      `the state of a tumbling window has ${bytes} bytes, at most ${limits.tumblingStateBytes} are allowed`,
      { hint: "keep a summary of the records instead of the records" },
    );
  }
  return state;
}

export function tumblingEvent(
  binding: Binding,
  partition: number,
  records: readonly StreamRecord[],
  { startMs, endMs, state }: TumblingWindow,
  isFinal: boolean,
): object {
  return {
    ...kinesisEvent(binding, partition, records),
    window: { start: isoOf(startMs), end: isoOf(endMs) },
    state: state ?? noState,
    shardId: shardIdOf(partition),
    eventSourceARN: eventSourceArn(binding.name),
    isFinalInvokeForWindow: isFinal,
    isWindowTerminatedEarly: false,
  };
}

/** Resolves when nothing of it runs any more. */
export async function endTumbling(consumer: StreamConsumer, lane: Lane): Promise<void> {
  const { tumbling } = lane.cursor;
  if (tumbling === undefined) return;
  const next: Cursor = { ...lane.cursor, tumbling: { startMs: tumbling.startMs, endMs: tumbling.endMs } };
  const end = await runEvent(consumer.runner, {
    environment: consumer.binding.environment,
    delivery: () => endingOf(consumer, lane, tumbling),
    acknowledge: (): Acknowledgement => ({
      checks: [consumer.cursorCheck(lane)],
      writes: [setCursor(consumer, lane, next)],
    }),
    checks: consumer.checks(),
    signal: consumer.signal,
  });
  switch (end.kind) {
    case "committed":
      lane.cursor = next;
      lane.version = end.version;
      lane.refusals = 0;
      lane.failedEndings = 0;
      return;
    case "failed":
      lane.failedEndings += 1;
      lane.notBeforeMs =
        consumer.clock.monotonicMs() + backoffMs(consumer.options.backoffMs, lane.failedEndings, end.error);
      return;
    case "refused":
      refuse(consumer, lane, end.error);
      return;
    case "lost":
      consumer.reopen();
  }
}

function endingOf({ binding }: StreamConsumer, lane: Lane, window: TumblingWindow): EventDelivery | null {
  const target = binding.target();
  if (target === null) return null;
  const { environment, name, functionName } = binding;
  return {
    ...target,
    trigger: "stream",
    subject: `${name} ${lane.partition} ends the window from ${isoOf(window.startMs)}`,
    attempt: lane.failedEndings + 1,
    document: {
      trigger: "stream",
      idempotencyKey: `${environment.id}.${name}.${functionName}.end.${lane.partition}.${window.startMs}`,
      payload: tumblingEvent(binding, lane.partition, [], window, true),
    },
    traceparent: null,
  };
}

/** As AWS writes it: without milliseconds where there are none. */
function isoOf(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}
