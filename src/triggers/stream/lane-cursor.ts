/** What every kind of delivery of a lane does to the lane and to its cursor. */
import type { AloftError } from "../../contract/errors.ts";
import type { Write } from "../../contract/keyspace.ts";
import type { Cursor } from "../../state/stream/consumer-record.ts";
import { jsonBytes } from "../../state/stream/layouts.ts";
import type { StreamConsumer } from "./consumer.ts";
import type { Lane } from "./lane.ts";

export function setCursor({ keys }: StreamConsumer, lane: Lane, cursor: Cursor): Write {
  return { kind: "set", key: keys.cursor(lane.partition, lane.number), value: jsonBytes(cursor) };
}

/** What a cursor says of event times once a batch with this latest one is done. */
export function timesAfter({ cursor, watermarkMs }: Lane, maxMs: number | null): Pick<Cursor, "maxMs" | "watermarkMs"> {
  return {
    maxMs: maxMs === null ? cursor.maxMs : Math.max(cursor.maxMs ?? maxMs, maxMs),
    watermarkMs: watermarkMs ?? cursor.watermarkMs,
  };
}

const refusedMsMax = 10_000;

/** Nobody took the delivery: the lane rests. */
export function refuse(consumer: StreamConsumer, lane: Lane, error: AloftError): void {
  lane.refusals += 1;
  if (error.code === "INTERNAL") consumer.onError(error);
  lane.notBeforeMs = consumer.clock.monotonicMs() + Math.min(100 * 2 ** lane.refusals, refusedMsMax);
}
