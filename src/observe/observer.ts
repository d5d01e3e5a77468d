/**
 * Records and logs, kept in SQLite files by a thread of their own. The way of a record: `record()` encodes it into a chunk of
 * memory, the chunk is transferred to the writer (writer-thread.ts) and becomes one row. Queries hand over the present
 * chunk first and are answered behind it, so they see everything accepted so far.
 */
import { limits } from "../contract/limits.ts";
import type {
  InvocationRecord,
  LogFilter,
  LogLine,
  ObserveStats,
  Observer,
  RecordFilter,
} from "../contract/observing.ts";
import type { Clock } from "../lib/clock.ts";
import { BlockReader } from "./block.ts";
import { type BlockKind, logKind, recordKind, type Selection } from "./block-kind.ts";
import type { Retention } from "./block-store.ts";
import { ChunkStream, type Parcel } from "./chunk-stream.ts";
import { Followers } from "./followers.ts";
import type { Metrics } from "./metrics.ts";
import { WriterLink } from "./writer-link.ts";
import type { KindName } from "./writer-messages.ts";

export interface ObserverOptions {
  /** Made when missing; holds `records.db` and `logs.db`. */
  readonly folder: string;
  readonly clock: Clock;
  readonly retention?: { readonly records?: Partial<Retention>; readonly logs?: Partial<Retention> };
  /** A line for the operator: a file moved aside, no space, a writer that died. */
  readonly onWarning?: (text: string) => void;
  /** Counts every record as well. */
  readonly metrics?: Metrics;
  readonly inFlightBytesMax?: number;
  /** For tests: another file in place of the writer's. */
  readonly threadUrl?: URL;
}

/** Never fails: without a usable file, what arrives is dropped and counted until there is one. */
export async function openObserver(options: ObserverOptions): Promise<Observer> {
  const observer = new FileObserver(options);
  await observer.open();
  return observer;
}

/**
 * A record's id begins with the milliseconds of its start, so it is looked for near them. The last look reads everything;
 * only an id that was not made here, or is not there, comes to it.
 */
const idSlacksMs = [50, 60_000, Infinity];

class FileObserver implements Observer {
  readonly #clock: Clock;
  readonly #metrics: Metrics | null;
  readonly #link: WriterLink;
  readonly #records: ChunkStream<InvocationRecord>;
  readonly #logs: ChunkStream<LogLine>;
  readonly #recordFollowers = new Followers<InvocationRecord>();
  readonly #logFollowers = new Followers<LogLine>();
  #closed: Promise<void> | null = null;

  constructor(options: ObserverOptions) {
    this.#clock = options.clock;
    this.#metrics = options.metrics ?? null;
    const inFlightBytesMax = options.inFlightBytesMax ?? limits.observeInFlightBytes;
    const send = (of: KindName) => (parcel: Parcel) =>
      this.#link.send({ kind: "write", of, ...parcel, nowMs: this.#clock.nowMs() });
    this.#records = new ChunkStream({ open: recordKind.open, send: send("records"), inFlightBytesMax });
    this.#logs = new ChunkStream({ open: logKind.open, send: send("logs"), inFlightBytesMax });
    this.#link = new WriterLink({
      clock: options.clock,
      settings: {
        folder: options.folder,
        retention: {
          records: { ageMs: limits.recordRetentionMs, bytes: limits.recordBytes, ...options.retention?.records },
          logs: { ageMs: limits.logRetentionMs, bytes: limits.logBytes, ...options.retention?.logs },
        },
      },
      onWarning: options.onWarning ?? (() => {}),
      onLost: () => {
        this.#records.onLost();
        this.#logs.onLost();
      },
      ...(options.threadUrl === undefined ? {} : { threadUrl: options.threadUrl }),
    });
  }

  open(): Promise<void> {
    return this.#link.open();
  }

  record(record: InvocationRecord): void {
    this.#records.push(record);
    if (this.#metrics !== null) this.#metrics.count(record);
    if (!this.#recordFollowers.isEmpty) this.#recordFollowers.tell(record);
  }

  log(line: LogLine): void {
    this.#logs.push(line);
    if (!this.#logFollowers.isEmpty) this.#logFollowers.tell(line);
  }

  listRecords(filter: RecordFilter): Promise<InvocationRecord[]> {
    return this.#search(recordKind, recordKind.select(filter));
  }

  async findRecord(id: string): Promise<InvocationRecord | null> {
    if (!/^[0-9a-f]{32}$/i.test(id)) return null;
    const startedAtMs = Number.parseInt(id.slice(0, 12), 16);
    for (const slackMs of idSlacksMs) {
      const near = { id, sinceMs: startedAtMs - slackMs, untilMs: startedAtMs + slackMs };
      const [found] = await this.#search(recordKind, { ...recordKind.select({ limit: 1 }), ...near });
      if (found !== undefined) return found;
    }
    return null;
  }

  async listLogs(filter: LogFilter): Promise<LogLine[]> {
    return (await this.#search(logKind, logKind.select(filter))).toReversed();
  }

  followRecords(filter: RecordFilter, onRecord: (record: InvocationRecord) => void): () => void {
    const selection = recordKind.select(filter);
    return this.#recordFollowers.add((record) => recordKind.passes(selection, record), onRecord);
  }

  followLogs(filter: LogFilter, onLine: (line: LogLine) => void): () => void {
    const selection = logKind.select(filter);
    return this.#logFollowers.add((line) => logKind.passes(selection, line), onLine);
  }

  async flush(): Promise<void> {
    this.#ship();
    await this.#link.ask((request) => ({ kind: "flush", request }));
  }

  stats(): ObserveStats {
    this.#records.collect();
    this.#logs.collect();
    return {
      recordsAccepted: this.#records.accepted,
      recordsWritten: this.#records.written,
      recordsDropped: this.#records.dropped,
      logsAccepted: this.#logs.accepted,
      logsWritten: this.#logs.written,
      logsDropped: this.#logs.dropped,
    };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#recordFollowers.clear();
    this.#logFollowers.clear();
    this.#ship();
    await this.#link.close();
    this.#records.close();
    this.#logs.close();
  }

  #ship(): void {
    this.#records.ship();
    this.#logs.ship();
  }

  async #search<Item, Filter>(kind: BlockKind<Item, Filter>, selection: Selection): Promise<Item[]> {
    this.#ship();
    const blocks = await this.#link.ask((request) => ({
      kind: "search",
      request,
      of: kind.name,
      selection,
      nowMs: this.#clock.nowMs(),
    }));
    const items: Item[] = [];
    for (const block of blocks) {
      const reader = new BlockReader(block);
      while (reader.next()) items.push(kind.decode(reader));
    }
    return items;
  }
}
