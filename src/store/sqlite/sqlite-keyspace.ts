/**
 * The embedded keyspace: one SQLite file, written by a thread of its own and read on this one.
 *
 *   commit   WriterLink: batch -> writer's thread: group, log, sync -> answers and changes -> overlay, then the callers
 *   read     overlay, below it the tree on disk, in one transaction a turn
 *
 * This thread's overlay holds what the writer has committed up to the last group heard of, and the tree holds nothing later, so
 * that a read sees exactly the commits up to that group.
 */
import type { DatabaseSync } from "node:sqlite";
import type {
  Commit,
  CommitOutcome,
  Entry,
  Key,
  Keyspace,
  RangePage,
  RangeQuery,
  StoreClock,
} from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import type { Clock } from "../../lib/clock.ts";
import { boundText, textOfKey } from "../key-text.ts";
import { measureCommit } from "../order.ts";
import { assertGetKeys, shuttingDown } from "../refusals.ts";
import { StoreTime } from "../store-time.ts";
import { Watchers } from "../watchers.ts";
import { backupFile } from "./backup.ts";
import { decodeChanges } from "./changes.ts";
import { openForReading } from "./format.ts";
import type { KeyspaceStats } from "./keyspace-metrics.ts";
import { Layers } from "./layers.ts";
import { Overlay } from "./overlay.ts";
import { lockFile } from "./process-lock.ts";
import { Reads } from "./reads.ts";
import { asStoreError } from "./sqlite-errors.ts";
import { Tree } from "./tree.ts";
import { WriterLink } from "./writer-link.ts";
import { type FromWriter, SharedWords } from "./writer-messages.ts";

export interface SqliteKeyspaceOptions {
  /** Made when missing; its folder must exist. Beside it stand files of the same name with an ending. */
  readonly file: string;
  readonly clock: Clock;
  /** A line for the operator: a full disk, a clock that steps back, a writer that died. */
  readonly onWarning?: (text: string) => void;
  readonly reserveBytes?: number;
  readonly walBytesMax?: number;
  /** When the log is merged into the tree; small values only in tests. */
  readonly unmergedEntries?: number;
  readonly unmergedBytes?: number;
  /** Without a commit for this long, the writer tidies up. */
  readonly idleMs?: number;
  /** For tests: another file in place of the writer's. */
  readonly threadUrl?: URL;
}

export interface SqliteKeyspace extends Keyspace {
  /**
   * Copies everything committed before the call into a new file, which can be opened as a keyspace; commits and reads go on
   * meanwhile. The file is durable when it resolves, and not there when it rejects.
   */
  backup(file: string): Promise<void>;
  stats(): KeyspaceStats;
}

const standardIdleMs = 200;

/** Throws DATA_LOCKED, DATA_UNWRITABLE, DATA_TOO_NEW, DATA_CORRUPT, DISK_FULL. */
export async function openSqliteKeyspace(options: SqliteKeyspaceOptions): Promise<SqliteKeyspace> {
  const unlock = lockFile(options.file);
  try {
    const keyspace = new FileKeyspace(options, unlock);
    await keyspace.open();
    return keyspace;
  } catch (error) {
    unlock();
    throw error;
  }
}

interface Reader {
  readonly db: DatabaseSync;
  readonly layers: Layers;
  readonly reads: Reads;
}

class FileKeyspace implements SqliteKeyspace {
  readonly clock: StoreClock;
  readonly #time: StoreTime;
  readonly #file: string;
  readonly #onWarning: (text: string) => void;
  readonly #unlock: () => void;
  readonly #overlay = new Overlay();
  readonly #watchers = new Watchers();
  readonly #words: SharedWords;
  readonly #link: WriterLink;
  #reader: Reader | null = null;
  #isClosed = false;
  #isDiskFull = false;
  #closed: Promise<void> | null = null;

  constructor(options: SqliteKeyspaceOptions, unlock: () => void) {
    const shared = new SharedArrayBuffer(SharedWords.bytes);
    this.#file = options.file;
    this.#unlock = unlock;
    this.#onWarning = options.onWarning ?? (() => {});
    this.#time = new StoreTime(options.clock, 0, this.#onWarning);
    this.clock = this.#time;
    this.#words = new SharedWords(shared);
    this.#link = new WriterLink({
      settings: {
        file: options.file,
        reserveFile: `${options.file}.reserve`,
        reserveBytes: options.reserveBytes ?? limits.reserveBytes,
        walBytesMax: options.walBytesMax ?? limits.walBytes,
        unmergedEntries: options.unmergedEntries ?? limits.unmergedEntries,
        unmergedBytes: options.unmergedBytes ?? limits.unmergedBytes,
        idleMs: options.idleMs ?? standardIdleMs,
        shared,
      },
      nowMs: () => this.#time.nowMs(),
      onMessage: (message) => this.#receive(message),
      onWarning: this.#onWarning,
      ...(options.threadUrl === undefined ? {} : { threadUrl: options.threadUrl }),
    });
  }

  async open(): Promise<void> {
    await this.#link.open();
    try {
      const db = openForReading(this.#file);
      this.#reader = { db, layers: new Layers(this.#overlay, new Tree(db, this.#file)), reads: new Reads(db) };
    } catch (error) {
      await this.#link.close();
      throw asStoreError(error, this.#file);
    }
  }

  // Without `async`: 64 callers in a loop notice the two promises more that it makes for each call.
  get(keys: readonly Key[]): Promise<(Entry | null)[]> {
    return this.#read(() => {
      assertGetKeys(keys);
      const texts = keys.map(textOfKey);
      return (layers, nowMs) => texts.map((text) => layers.getEntry(text, nowMs));
    });
  }

  range(query: RangeQuery): Promise<RangePage> {
    return this.#read(() => {
      const own = { ...query, start: new Uint8Array(query.start), end: new Uint8Array(query.end) };
      const bounds = { start: boundText(own.start), end: boundText(own.end) };
      return (layers, nowMs) => layers.getPage(own, bounds, nowMs);
    });
  }

  commit(commit: Commit): Promise<CommitOutcome> {
    try {
      if (this.#isClosed) throw shuttingDown();
      return this.#link.commit(commit, measureCommit(commit));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  watch(prefix: Key, onWake: () => void): () => void {
    return this.#watchers.add(textOfKey(prefix), onWake);
  }

  async backup(file: string): Promise<void> {
    if (this.#isClosed) throw shuttingDown();
    await backupFile(this.#file, file);
  }

  stats(): KeyspaceStats {
    const reads = this.#reader?.reads.count ?? 0;
    return { ...this.#link.stats(), reads, unmergedEntries: this.#overlay.size, isDiskFull: this.#isDiskFull };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    this.#watchers.clear();
    // First the reader, so that the writer's connection is the last and takes the write-ahead log away.
    await this.#link.close(() => this.#closeReader());
    this.#unlock();
  }

  #closeReader(): void {
    this.#reader?.reads.finish();
    this.#reader?.db.close();
    this.#reader = null;
  }

  /** `prepare` checks and copies what it was given, at once; what it answers is done with the other reads of the turn. */
  #read<T>(prepare: () => (layers: Layers, nowMs: number) => T): Promise<T> {
    const reader = this.#reader;
    if (this.#isClosed || reader === null) return Promise.reject(shuttingDown());
    try {
      const work = prepare();
      return reader.reads.add(() => {
        try {
          return work(reader.layers, this.#time.nowMs());
        } catch (error) {
          throw asStoreError(error, this.#file);
        }
      });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #receive(message: Exclude<FromWriter, { kind: "failed" }>): void {
    switch (message.kind) {
      case "loaded":
        this.#overlay.clear();
        for (const changes of message.logs) this.#apply(changes);
        this.#time.atLeast(message.timeMs);
        this.#words.seen = message.version;
        return;
      case "group":
        if (message.changes !== null) this.#apply(message.changes);
        this.#words.seen = message.version;
        return;
      case "merged":
        this.#overlay.drop(message.part);
        return;
      case "disk":
        this.#isDiskFull = message.isFull;
        return;
      case "warning":
        this.#onWarning(message.text);
    }
  }

  #apply(changes: Uint8Array): void {
    const woken = new Set<() => void>();
    decodeChanges(changes, (key, cell) => {
      this.#overlay.set(key, cell);
      if (!this.#watchers.isEmpty) this.#watchers.collect(key, woken);
    });
    for (const wake of woken) queueMicrotask(wake);
  }
}
