/** What tells records from log lines wherever blocks are written, stored and searched. */
import type { InvocationRecord, LogFilter, LogLine, RecordFilter } from "../contract/observing.ts";
import type { BlockReader, BlockWriter } from "./block.ts";
import { decodeLog, levels, LogEncoder } from "./log-codec.ts";
import { decodeRecord, outcomeNumber, RecordEncoder } from "./record-codec.ts";

export interface Encoder<Item> {
  readonly block: BlockWriter;
  begin(buffer: ArrayBufferLike): void;
  append(item: Item): boolean;
}

/** What a filter comes to: everything a search and a follower look at. */
export interface Selection {
  /** null: any. */
  readonly app: string | null;
  readonly function: string | null;
  /** 32 hexadecimal digits; null: any. */
  readonly id: string | null;
  /** A bit for each outcome or level that passes. */
  readonly mask: number;
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly limit: number;
}

export interface BlockKind<Item, Filter> {
  readonly name: "records" | "logs";
  open(buffer: ArrayBufferLike): Encoder<Item>;
  decode(reader: BlockReader): Item;
  select(filter: Filter): Selection;
  passes(selection: Selection, item: Item): boolean;
}

export const recordKind: BlockKind<InvocationRecord, RecordFilter> = {
  name: "records",
  open: (buffer) => new RecordEncoder(buffer),
  decode: decodeRecord,
  select: (filter) => ({
    ...common(filter),
    id: null,
    mask: filter.outcome === undefined ? anyFlag : 1 << outcomeNumber(filter.outcome),
    limit: clamp(filter.limit ?? 100, 1000),
  }),
  passes: (selection, record) =>
    passesCommon(selection, record) &&
    (selection.mask & (1 << outcomeNumber(record.outcome))) !== 0 &&
    record.startedAtMs >= selection.sinceMs &&
    record.startedAtMs <= selection.untilMs,
};

export const logKind: BlockKind<LogLine, LogFilter> = {
  name: "logs",
  open: (buffer) => new LogEncoder(buffer),
  decode: decodeLog,
  select: (filter) => ({
    ...common(filter),
    id: filter.invocation?.toLowerCase() ?? null,
    mask: filter.level === undefined ? anyFlag : (anyFlag << levels.indexOf(filter.level)) & anyFlag,
    limit: clamp(filter.limit ?? 1000, 10_000),
  }),
  passes: (selection, line) =>
    passesCommon(selection, line) &&
    (selection.mask & (1 << levels.indexOf(line.level))) !== 0 &&
    (selection.id === null || line.invocation === selection.id) &&
    line.atMs >= selection.sinceMs &&
    line.atMs <= selection.untilMs,
};

const anyFlag = 0xff;

function common(filter: RecordFilter | LogFilter): Pick<Selection, "app" | "function" | "sinceMs" | "untilMs"> {
  return {
    app: filter.app ?? null,
    function: filter.function ?? null,
    sinceMs: filter.sinceMs ?? -Infinity,
    untilMs: filter.untilMs ?? Infinity,
  };
}

function passesCommon(selection: Selection, item: { readonly app: string; readonly function: string }): boolean {
  return (
    (selection.app === null || item.app === selection.app) &&
    (selection.function === null || item.function === selection.function)
  );
}

function clamp(limit: number, max: number): number {
  return Math.max(1, Math.min(max, Math.floor(limit)));
}
