/** The handler's side of `stream(...).window`: folds each batch into the states of its windows, and ends windows. */
import type { Context } from "./context.ts";
import { type EventFunction, eventFunction, splitOptions } from "./event.ts";
import type { Duration, FunctionOptions } from "./options.ts";
import type { StreamRecord } from "./stream.ts";
import { sortIntoWindows, type WindowPart, type WindowShape, type WindowSpan } from "./windows.ts";

export interface Window extends WindowSpan {
  /** Whose window it is: the records' key, "" for records without one. */
  readonly key: string;
  /** True once, when the window has ended: no record comes after that. */
  readonly isFinal: boolean;
}

export interface WindowOptions<T = unknown> extends FunctionOptions {
  /** Length of a window. */
  readonly size: Duration;
  /** From one window's start to the next one's; as long as `size` when left out. `size` must be a multiple of it. */
  readonly every?: Duration | undefined;
  /** How much later than others a record may come and still count; nothing when left out. */
  readonly lateness?: Duration | undefined;
  /** A part of the stream that has been silent for this long is not waited for; 30 s when left out. */
  readonly idle?: Duration | undefined;
  /** When the whole stream has been silent for this long, its windows end; never when left out. */
  readonly closeAfter?: Duration | undefined;
  /** Whose windows a record belongs to; its key when left out. Needs `merge`, for records of one such key may be in several partitions. */
  readonly key?: ((record: StreamRecord<T>) => string) | undefined;
  /** When it happened, in epoch milliseconds; when it was appended, when left out. */
  readonly timestamp?: ((record: StreamRecord<T>) => number) | undefined;
  /** Gets the records that came after one of their windows had ended. They are counted in any case. */
  readonly late?: ((records: StreamRecord<T>[], context: Context) => unknown) | undefined;
  readonly from?: "latest" | "earliest" | (string & {}) | undefined;
  readonly batch?: number | undefined;
  readonly wait?: Duration | undefined;
  readonly parallel?: number | undefined;
  readonly attempts?: number | undefined;
  readonly backoff?: Duration | undefined;
  readonly deadLetter?: string | undefined;
}

/** States travel as JSON. */
export interface WindowSteps<T, S> {
  /** The state of a window without records. */
  readonly init: () => S;
  /** The state with one record more; it may change the state that it is given and return it. */
  readonly add: (state: S, record: StreamRecord<T>) => S;
  /** Of two states of one window, each of a part of its records. Needed with `key`. */
  readonly merge?: (a: S, b: S) => S;
  /** Once for each window, when it has ended. What it writes commits together with the end of the window. */
  readonly close: (state: S, window: Window, context: Context) => unknown;
}

/**
 * For each window of a batch with its records and the state that was returned last (undefined at first), then once without
 * records when the window has ended (`window.isFinal`).
 */
export type WindowHandler<T, S> = (
  state: S | undefined,
  records: StreamRecord<T>[],
  window: Window,
  context: Context,
) => S | undefined | Promise<S | undefined>;

interface RecordsPayload<T> {
  readonly kind: "records";
  readonly consumer: string;
  readonly partition: number;
  readonly lane: number;
  readonly watermark: number | null;
  readonly window: WindowShape;
  readonly records: StreamRecord<T>[];
}

interface ClosePayload {
  readonly kind: "close";
  readonly windows: readonly {
    readonly key: string;
    readonly start: number;
    readonly end: number;
    readonly states: unknown[];
  }[];
}

interface Ended {
  readonly states: {
    readonly key: string;
    readonly start: number;
    readonly end: number;
    readonly state: unknown;
    /** The lane that had it before, where it is another one. */
    readonly from?: unknown;
  }[];
  readonly late: number;
  readonly maxMs: number | null;
}

type Read = (read: {
  readonly resource: "stream";
  readonly name: string;
  readonly method: string;
  readonly args: Readonly<Record<string, unknown>>;
}) => Promise<unknown>;

export function windowFunction<T>(
  name: string,
  shape: Readonly<Record<string, unknown>>,
  options: WindowOptions<T>,
  steps: WindowSteps<T, unknown> | WindowHandler<T, unknown>,
  read: Read,
): EventFunction<StreamRecord<T>[]> {
  const { key, timestamp, late, ...rest } = options;
  const { limits, own } = splitOptions(rest);
  const what = `stream("${name}").window`;
  if (
    typeof steps !== "function" &&
    (typeof steps.init !== "function" || typeof steps.add !== "function" || typeof steps.close !== "function")
  ) {
    throw new TypeError(`${what}: give init, add and close, or a handler`);
  }
  if (own["size"] === undefined) throw new TypeError(`${what}: size is missing`);
  const merge = typeof steps === "function" ? undefined : steps.merge;
  if (key !== undefined && merge === undefined) {
    throw new TypeError(`${what}: with key there must be merge, for records of one key may be in several partitions`);
  }
  const keyOf = key ?? ((record: StreamRecord<T>) => record.key ?? "");
  const timeOf = timestamp ?? ((record: StreamRecord<T>) => record.appendedAt);

  async function deliver(payload: RecordsPayload<T> | ClosePayload, context: Context): Promise<Ended | null> {
    if (payload.kind === "close") {
      for (const { states, ...span } of payload.windows) await close(states, { ...span, isFinal: true }, context);
      return null;
    }
    const { records, watermark, consumer, partition, lane } = payload;
    const sorted = sortIntoWindows(
      records,
      payload.window,
      watermark,
      (one) => keyFrom(keyOf(one)),
      (one) => timeFrom(timeOf(one)),
    );
    const keys = sorted.parts.map((part) => ({ key: part.key, start: part.start, end: part.end }));
    const args = { consumer, partition, lane, keys, isByRecordKey: key === undefined };
    const known =
      keys.length === 0 ? [] : ((await read({ resource: "stream", name, method: "window-states", args })) as unknown[]);
    const states: Ended["states"] = [];
    for (const [index, part] of sorted.parts.entries()) {
      const before = known[index] as { state: unknown; from?: unknown } | null | undefined;
      const state = await fold(part, before?.state, context);
      const from = before?.from === undefined ? {} : { from: before.from };
      states.push({ key: part.key, start: part.start, end: part.end, state: state ?? null, ...from });
    }
    if (late !== undefined && sorted.late.length > 0) await late(sorted.late, context);
    return { states, late: sorted.late.length, maxMs: sorted.maxMs };
  }

  async function fold(part: WindowPart<StreamRecord<T>>, known: unknown, context: Context): Promise<unknown> {
    if (typeof steps === "function") {
      const { key: windowKey, start, end } = part;
      return await steps(known, part.records, { key: windowKey, start, end, isFinal: false }, context);
    }
    let state = known === undefined ? steps.init() : known;
    for (const record of part.records) state = steps.add(state, record);
    return state;
  }

  async function close(states: readonly unknown[], window: Window, context: Context): Promise<void> {
    if (states.length > 1 && merge === undefined) {
      throw new TypeError(
        `${what}: a window has records without a key from ${states.length} parts of the stream: give records a key, or merge`,
      );
    }
    const joined = merge === undefined ? states[0] : states.reduce((a, b) => merge(a, b));
    if (typeof steps === "function") await steps(joined ?? undefined, [], window, context);
    else await steps.close(joined, window, context);
  }

  function keyFrom(value: unknown): string {
    if (typeof value === "string") return value;
    throw new TypeError(`${what}: key returned ${String(value)}, which is no text`);
  }

  function timeFrom(value: unknown): number {
    if (typeof value === "number" && Number.isFinite(value)) return Math.floor(value);
    throw new TypeError(`${what}: timestamp returned ${String(value)}, which is no number of milliseconds`);
  }

  /** Called directly, as tests do: the records are all there are, and every window ends. */
  async function inPlace(records: StreamRecord<T>[], context: Context): Promise<void> {
    const sorted = sortIntoWindows(
      records,
      shapeFrom(own),
      null,
      (one) => keyFrom(keyOf(one)),
      (one) => timeFrom(timeOf(one)),
    );
    for (const part of sorted.parts) {
      const { key: windowKey, start, end } = part;
      await close([await fold(part, undefined, context)], { key: windowKey, start, end, isFinal: true }, context);
    }
  }

  const trigger = { kind: "stream", name, options: { ...shape, ...own } } as const;
  return eventFunction({ trigger, options: limits, handler: inPlace, deliver });
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function shapeFrom(own: Readonly<Record<string, unknown>>): WindowShape {
  const sizeMs = milliseconds(own["size"]);
  return { sizeMs, everyMs: own["every"] === undefined ? sizeMs : milliseconds(own["every"]), latenessMs: 0 };
}

function milliseconds(value: unknown): number {
  const match = typeof value === "string" ? /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(value) : null;
  return match === null ? Number(value) : Math.round(Number(match[1]) * (unitMs[match[2] ?? ""] ?? Number.NaN));
}
