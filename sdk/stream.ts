import type { Context } from "./context.ts";
import { type EventFunction, eventFunction, splitOptions } from "./event.ts";
import type { Duration, FunctionOptions } from "./options.ts";
import { readState, writeState } from "./state-host.ts";
import { windowFunction, type WindowHandler, type WindowOptions, type WindowSteps } from "./stream-window.ts";

/** One record of a stream. */
export interface StreamRecord<T = unknown> {
  readonly value: T;
  /** What it was appended with; null when there was none. */
  readonly key: string | null;
  /** Its place: 19 digits, so that records of a partition are in the order of their offsets as text. */
  readonly offset: string;
  readonly partition: number;
  /** When it was appended, epoch milliseconds by the store's clock. */
  readonly appendedAt: number;
}

export interface StreamOptions {
  /** Logs that the stream is spread over by key; 1 when left out. Can grow, never shrink. */
  readonly partitions?: number | undefined;
  /** How long records are kept: `"7d"` when left out. */
  readonly retention?: number | string | undefined;
  /** How much is kept in each partition at most: `"1GiB"`. */
  readonly retentionBytes?: number | string | undefined;
}

export interface AppendOptions {
  /** Records of one key stay in order. Without one, a record has no order with others. */
  readonly key?: string | undefined;
  /**
   * Makes an append safe to repeat: of one producer, a sequence number that is not above the last one is dropped. Numbers
   * are remembered for a week after the last append.
   */
  readonly producer?: { readonly id: string; readonly sequence: number } | undefined;
}

export interface AppendResult {
  /** True when a producer's sequence number said that it was there already. */
  readonly isDuplicate: boolean;
}

export interface ConsumeOptions extends FunctionOptions {
  /** Where to begin when there is no cursor yet: `latest` when left out; a time such as `2026-03-01T12:00:00Z`, or an offset. */
  readonly from?: "latest" | "earliest" | (string & {}) | undefined;
  /** Records in one call at most; 100 when left out. */
  readonly batch?: number | undefined;
  /** How long a call waits for that many; not at all when left out. */
  readonly wait?: Duration | undefined;
  /** Calls at once for each partition, each with its own share of the keys; 1 when left out. */
  readonly parallel?: number | undefined;
  /** At a record that is handed over alone, the first included; 8 when left out. A batch that fails comes again in halves. */
  readonly attempts?: number | undefined;
  /** Before the second attempt, doubling with each; 1 s when left out. */
  readonly backoff?: Duration | undefined;
  /** Name of a queue for records that were given up; they are parked with the consumer when left out. */
  readonly deadLetter?: string | undefined;
}

export type BatchHandler<T> = (records: StreamRecord<T>[], context: Context) => unknown;

export interface Stream<T> {
  readonly name: string;
  /** In an event's handler the record is appended with the handler's other writes, when it has done well; elsewhere at once. */
  append(value: T, options?: AppendOptions): Promise<AppendResult>;
  /** All of them or none; at most 1,000. */
  appendBatch(
    records: readonly { readonly value: T; readonly key?: string | undefined }[],
    options?: Pick<AppendOptions, "producer">,
  ): Promise<AppendResult>;
  /**
   * Declares a function that reads the stream with a cursor of its own. What its handler writes commits together with the
   * cursor: each record takes effect once.
   */
  consume(handler: BatchHandler<T>): EventFunction<StreamRecord<T>[]>;
  consume(options: ConsumeOptions, handler: BatchHandler<T>): EventFunction<StreamRecord<T>[]>;
  /** The same as `consume`. */
  on(handler: BatchHandler<T>): EventFunction<StreamRecord<T>[]>;
  on(options: ConsumeOptions, handler: BatchHandler<T>): EventFunction<StreamRecord<T>[]>;
  /**
   * Declares a function that sums the stream up in windows of event time, for each key. States commit together with the
   * cursor, so that results are exact whatever crashes. With `every` less than `size` the windows slide.
   */
  window<S>(options: WindowOptions<T>, steps: WindowSteps<T, S>): EventFunction<StreamRecord<T>[]>;
  window<S>(options: WindowOptions<T>, handler: WindowHandler<T, S>): EventFunction<StreamRecord<T>[]>;
}

/**
 * A durable log of records, in order by key.
 *
 *     const readings = stream<Reading>("readings", { partitions: 4 });
 *     await readings.append({ celsius: 21.5 }, { key: "sensor-7" });
 *     export const alarms = readings.consume({ batch: 100 }, async (records) => { ... });
 */
export function stream<T = unknown>(name: string, options: StreamOptions = {}): Stream<T> {
  if (typeof name !== "string" || name === "") throw new TypeError("stream(): the name is a text");
  const shape = splitOptions(options).own;

  async function write(records: readonly object[], producer: AppendOptions["producer"]): Promise<AppendResult> {
    const args = {
      records,
      ...(Object.keys(shape).length === 0 ? {} : { shape }),
      ...(producer === undefined ? {} : { producer }),
    };
    // Held with an event's outcome, only the commit can tell.
    const result = (await writeState({ resource: "stream", name, method: "append", args })) as AppendResult | null;
    return result ?? { isDuplicate: false };
  }

  function consume(...rest: [BatchHandler<T>] | [ConsumeOptions, BatchHandler<T>]): EventFunction<StreamRecord<T>[]> {
    const [given, handler] = rest.length === 1 ? [{}, rest[0]] : rest;
    const { limits, own } = splitOptions(given);
    const trigger = { kind: "stream", name, options: { ...shape, ...own } } as const;
    const deliver = (payload: { records: StreamRecord<T>[] }, context: Context): unknown =>
      handler(payload.records, context);
    return eventFunction({ trigger, options: limits, handler, deliver });
  }

  return {
    name,
    append: (value, { key, producer } = {}) => write([recordOf(value, key)], producer),
    appendBatch: (records, { producer } = {}) =>
      write(
        records.map(({ value, key }) => recordOf(value, key)),
        producer,
      ),
    consume,
    on: consume,
    window: (given: WindowOptions<T>, steps: WindowSteps<T, unknown> | WindowHandler<T, unknown>) =>
      windowFunction(name, shape, given, steps, readState),
  };
}

function recordOf(value: unknown, key: string | undefined): object {
  if (value === undefined) throw new TypeError("a record's value is undefined; it must be something that JSON has");
  if (key !== undefined && typeof key !== "string") throw new TypeError("a record's key is a text");
  return key === undefined ? { value } : { value, key };
}
