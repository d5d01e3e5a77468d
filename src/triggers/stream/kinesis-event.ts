/**
 * Batches as AWS Lambda gives them to a consumer of a Kinesis stream
 * (https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis-example.html), and its partial failures: the lowest sequence
 * number that is named is where the batch comes again (https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html).
 */
import { AloftError } from "../../contract/errors.ts";
import { offsetOf, type StreamRecord } from "../../state/stream/record.ts";
import type { OutcomeDocument, OutcomeError } from "../../wire/effects.ts";
import type { Binding } from "../binding.ts";

const region = "us-east-1";
const account = "000000000000";

export function kinesisEvent({ name }: Binding, partition: number, batch: readonly StreamRecord[]): object {
  const shardId = shardIdOf(partition);
  return {
    Records: batch.map(({ key, value, place, appendedAtMs }) => ({
      kinesis: {
        kinesisSchemaVersion: "1.0",
        partitionKey: key ?? "",
        sequenceNumber: offsetOf(place),
        data: Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64"),
        approximateArrivalTimestamp: appendedAtMs / 1000,
      },
      eventSource: "aws:kinesis",
      eventVersion: "1.0",
      eventID: `${shardId}:${offsetOf(place)}`,
      eventName: "aws:kinesis:record",
      invokeIdentityArn: `arn:aws:iam::${account}:role/aloft`,
      awsRegion: region,
      eventSourceARN: eventSourceArn(name),
    })),
  };
}

export function shardIdOf(partition: number): string {
  return `shardId-${String(partition).padStart(12, "0")}`;
}

export function eventSourceArn(stream: string): string {
  return `arn:aws:kinesis:${region}:${account}:stream/${stream}`;
}

export interface PartialFailure {
  /** Of the first record that failed. */
  readonly index: number;
  readonly error: OutcomeError;
}

/** null when all of it did well. Throws an AloftError when the batch as a whole has failed. */
export function failedFrom(
  outcome: Extract<OutcomeDocument, { ok: true }>,
  batch: readonly StreamRecord[],
): PartialFailure | null {
  const { batchItemFailures } = (outcome.value ?? {}) as { batchItemFailures?: unknown };
  if (!Array.isArray(batchItemFailures) || batchItemFailures.length === 0) return null;
  if (outcome.effects.length > 0) {
    throw new AloftError(
      "PARTIAL_FAILURE_WITH_WRITES",
      "the handler named records that failed, and has written all the same",
    );
  }
  let lowest = batch.length;
  for (const failure of batchItemFailures as unknown[]) {
    const id = (failure as { itemIdentifier?: unknown } | null)?.itemIdentifier;
    const index = batch.findIndex(({ place }) => offsetOf(place) === id);
    if (index === -1) {
      throw new AloftError(
        "FUNCTION_BAD_RESPONSE",
        `the handler named a record that it was not given: ${String(id).slice(0, 60)}`,
      );
    }
    lowest = Math.min(lowest, index);
  }
  return {
    index: lowest,
    error: { type: "BatchItemFailure", message: "the handler named the record as failed", stack: "" },
  };
}
