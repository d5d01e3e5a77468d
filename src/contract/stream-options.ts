/** What may be said of a stream, and of a function that consumes one. */
import { limits } from "./limits.ts";
import { type OptionReader, readOptions } from "./option-reader.ts";

export interface StreamShape {
  /** Only ever grows. */
  readonly partitions: number;
  readonly retentionMs: number;
  /** null: by age alone. */
  readonly retentionBytes: number | null;
}

export interface ConsumerOptions {
  /** As the deployment declares the stream; null: as it is. */
  readonly shape: StreamShape | null;
  /** Where a consumer begins that has no cursor yet: `latest`, `earliest`, a time of RFC 3339, or an offset. */
  readonly from: string;
  /** Records in one delivery, at most. */
  readonly batch: number;
  /** How long a delivery waits for that many. */
  readonly waitMs: number;
  /** Lanes of a partition: deliveries at once, each for its own slice of the keys. */
  readonly parallel: number;
  /** Of a record that is delivered alone, the first included. */
  readonly attempts: number;
  readonly backoffMs: number;
  /** A queue that gets records given up; null: they are parked with the consumer. */
  readonly deadLetter: string | null;
  /** null: plain batches. */
  readonly window: WindowOptions | null;
  /** Length of AWS Lambda's tumbling windows; null: plain batches. */
  readonly tumblingMs: number | null;
}

export interface WindowOptions {
  readonly sizeMs: number;
  /** Less than the size: windows slide, and a record is in several. */
  readonly everyMs: number;
  readonly latenessMs: number;
  /** A lane that is caught up and silent for this long holds the watermark back no more. */
  readonly idleMs: number;
  /** When the whole stream has been silent for this long, its open windows end; null: they wait for the next record. */
  readonly closeAfterMs: number | null;
}

const shapeNames = ["partitions", "retention", "retentionBytes"];
const second = 1000;
const hour = 3_600_000;
const day = 24 * hour;
const GiB = 1024 ** 3;

/** Throws an Error that says what is wrong. */
export function parseStreamShape(name: string, options: Readonly<Record<string, unknown>>): StreamShape {
  const read = readOptions(`stream ${name}`, options);
  const shape = shapeFrom(read);
  read.end();
  return shape;
}

/** Throws an Error that says what is wrong. */
export function parseConsumerOptions(name: string, options: Readonly<Record<string, unknown>>): ConsumerOptions {
  const read = readOptions(`stream ${name}`, options);
  const shape = shapeFrom(read);
  const parsed: ConsumerOptions = {
    shape: shapeNames.some((one) => options[one] !== undefined) ? shape : null,
    from: parseFrom(name, read.text("from", 64) ?? "latest"),
    batch: read.count("batch", 100, 1, limits.streamBatchRecords),
    waitMs: read.durationMs("wait", 0, 0, 300 * second),
    parallel: read.count("parallel", 1, 1, limits.streamLanes),
    attempts: read.count("attempts", 8, 1, limits.triggerAttempts),
    backoffMs: read.durationMs("backoff", second, 0, hour),
    deadLetter: read.text("deadLetter", limits.resourceNameChars),
    window: windowFrom(name, read),
    tumblingMs: read.durationMs("tumblingWindow", 0, second, 900 * second) || null,
  };
  read.end();
  if (parsed.tumblingMs !== null && (parsed.window !== null || parsed.parallel > 1)) {
    throw new Error(`stream ${name}: tumblingWindow goes neither with size nor with parallel above 1`);
  }
  return parsed;
}

/** `latest`, `earliest`, an offset, or a time as text; throws an Error for anything else. */
export function parseFrom(name: string, from: string): string {
  if (from === "latest" || from === "earliest" || isOffset(from)) return from;
  const ms = /^\d{4}-\d\d-\d\dT/.test(from) ? Date.parse(from) : Number.NaN;
  if (!Number.isNaN(ms)) return new Date(ms).toISOString();
  throw new Error(
    `stream ${name}: from is "${from}"; allowed is "latest", "earliest", an offset, or a time such as "2026-03-01T12:00:00Z"`,
  );
}

export function isOffset(text: string): boolean {
  return /^\d{19}$/.test(text);
}

function shapeFrom(read: OptionReader): StreamShape {
  return {
    partitions: read.count("partitions", 1, 1, limits.streamPartitions),
    retentionMs: read.durationMs("retention", 7 * day, second, 365 * day),
    retentionBytes: read.bytes("retentionBytes", 1, 1024 * GiB),
  };
}

function windowFrom(name: string, read: OptionReader): WindowOptions | null {
  const sizeMs = read.durationMs("size", 0, 1, 31 * day);
  const everyMs = read.durationMs("every", sizeMs, 1, 31 * day);
  const latenessMs = read.durationMs("lateness", 0, 0, 31 * day);
  const idleMs = read.durationMs("idle", 30 * second, 100, day);
  const closeAfterMs = read.durationMs("closeAfter", 0, 100, 31 * day);
  if (sizeMs === 0) return null;
  if (everyMs > sizeMs) throw new Error(`stream ${name}: every is over size; records in between would be in no window`);
  if (sizeMs % everyMs !== 0 || sizeMs / everyMs > limits.windowsPerRecord) {
    throw new Error(
      `stream ${name}: size must be a multiple of every, at most ${limits.windowsPerRecord} times as long`,
    );
  }
  return { sizeMs, everyMs, latenessMs, idleMs, closeAfterMs: closeAfterMs === 0 ? null : closeAfterMs };
}
