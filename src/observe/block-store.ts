/**
 * Blocks in an SQLite file of their own; lives in the worker thread.
 *
 * A block is one row. `origin` has a row for each (app, function) in it, so that a query for a rare app reads that app's
 * blocks only; a block with more of them than limits.observeOriginsPerBlock has the one row of app `*` and is read by every
 * query for an app. Nothing here may stop the server: a file that is damaged or not ours is moved aside, and while
 * there is no file that can be written, blocks are refused and the caller counts them.
 */
import { existsSync, renameSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { limits } from "../contract/limits.ts";
import type { Selection } from "./block-kind.ts";
import { readOrigins } from "./origins.ts";
import type { StoredBlock } from "./search.ts";
import { ForeignFileError, isDamage, isFull } from "./sqlite-errors.ts";

export interface Retention {
  readonly ageMs: number;
  /** Of the file: index and free space inside it included, the write-ahead log not. */
  readonly bytes: number;
}

export interface BlockHead {
  readonly firstMs: number;
  readonly lastMs: number;
  readonly count: number;
  readonly mask: number;
}

export interface BlockStoreOptions {
  readonly path: string;
  readonly retention: Retention;
  readonly onWarning: (text: string) => void;
}

const applicationId = 0x616c6f62; // "alob"
const formatVersion = 1;
const pageBytes = 8192;
/** While the file cannot be opened, it is tried again this often. */
const reopenMs = 5000;
/** Blocks deleted, and pages given back, in one slice: a few milliseconds. */
const sliceBlocks = 32;
const slicePages = 256;
/** Free pages kept for the blocks to come: giving every one back only to take it again would cost twice. */
const slackBytes = 4 * 1024 * 1024;
const wide = "*";

const schema = `
  CREATE TABLE block (
    seq INTEGER PRIMARY KEY, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, count INTEGER NOT NULL,
    mask INTEGER NOT NULL, data BLOB NOT NULL
  );
  CREATE INDEX block_time ON block (last_ms, first_ms, mask);
  CREATE TABLE origin (
    app TEXT NOT NULL, last_ms INTEGER NOT NULL, seq INTEGER NOT NULL, function TEXT NOT NULL,
    PRIMARY KEY (app, last_ms, seq, function)
  ) WITHOUT ROWID;
  CREATE INDEX origin_seq ON origin (seq);
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${formatVersion};
`;

interface OpenFile {
  readonly db: DatabaseSync;
  readonly insertBlock: StatementSync;
  readonly insertOrigin: StatementSync;
  readonly byTime: StatementSync;
  readonly byApp: StatementSync;
  readonly data: StatementSync;
}

export class BlockStore {
  readonly #options: BlockStoreOptions;
  #file: OpenFile | null = null;
  #reopenAtMs = -Infinity;
  #isRefusing = false;

  constructor(options: BlockStoreOptions) {
    this.#options = options;
  }

  /** false: the block is not stored. Never throws. */
  write(head: BlockHead, data: Uint8Array, nowMs: number): boolean {
    try {
      const file = this.#open(nowMs);
      if (file === null) return false;
      insert(file, head, data);
      if (this.#isRefusing) this.#warn("written again");
      this.#isRefusing = false;
      return true;
    } catch (error) {
      this.#failed(error, nowMs);
      return false;
    }
  }

  /** Blocks that may hold what is selected, the latest `lastMs` first. */
  *candidates(selection: Selection, nowMs: number): Iterable<StoredBlock> {
    const file = this.#open(nowMs);
    if (file === null) return;
    const sinceMs = wholeMs(selection.sinceMs);
    const untilMs = wholeMs(selection.untilMs);
    const rows =
      selection.app === null
        ? file.byTime.iterate(sinceMs)
        : file.byApp.iterate(selection.app, sinceMs, selection.function, wide, sinceMs);
    let last: unknown = null;
    for (const { seq } of rows) {
      if (seq === last || typeof seq !== "number") continue;
      last = seq;
      const row = file.data.get(seq, untilMs, selection.mask);
      if (row === undefined || !(row["data"] instanceof Uint8Array)) continue;
      yield { lastMs: Number(row["last_ms"]), data: row["data"] };
    }
  }

  /** One slice of making room: true when there is more to do. Never throws. */
  retain(nowMs: number): boolean {
    try {
      const file = this.#open(nowMs);
      return file !== null && retainSlice(file.db, this.#options.retention, nowMs);
    } catch (error) {
      this.#failed(error, nowMs);
      return false;
    }
  }

  /** What a query threw: damage moves the file aside, so that the next one finds a healthy file. */
  reportFailure(error: unknown, nowMs: number): void {
    this.#failed(error, nowMs);
  }

  close(): void {
    this.#release();
    this.#reopenAtMs = Infinity;
  }

  #release(): void {
    const file = this.#file;
    this.#file = null;
    try {
      file?.db.close();
    } catch {
      // A damaged file cannot always be closed cleanly; nothing is left to save.
    }
  }

  #open(nowMs: number): OpenFile | null {
    if (this.#file !== null) return this.#file;
    if (nowMs < this.#reopenAtMs) return null;
    this.#reopenAtMs = nowMs + reopenMs;
    this.#file = openFile(this.#options.path);
    return this.#file;
  }

  #failed(error: unknown, nowMs: number): void {
    const text = error instanceof Error ? error.message : String(error);
    if (isDamage(error)) {
      this.#release();
      const aside = moveAside(this.#options.path, nowMs);
      this.#reopenAtMs = -Infinity;
      this.#warn(
        aside === null
          ? `damaged and could not be moved aside (${text})`
          : `damaged or not ours (${text}), moved to ${aside}`,
      );
      if (aside !== null) {
        this.#tryOpen(nowMs);
        return;
      }
      this.#reopenAtMs = nowMs + reopenMs;
    }
    if (!this.#isRefusing)
      this.#warn(`${isFull(error) ? "out of space" : "not writable"} (${text}), what arrives is dropped`);
    this.#isRefusing = true;
  }

  #tryOpen(nowMs: number): void {
    try {
      this.#open(nowMs);
    } catch (error) {
      if (!this.#isRefusing) this.#warn(`not writable (${error instanceof Error ? error.message : String(error)})`);
      this.#isRefusing = true;
    }
  }

  #warn(text: string): void {
    this.#options.onWarning(`${this.#options.path}: ${text}`);
  }
}

function openFile(path: string): OpenFile {
  const db = new DatabaseSync(path, { timeout: 1000 });
  try {
    // Exclusive: one process uses it, and the write-ahead log then needs no shared memory file.
    db.exec("PRAGMA locking_mode = EXCLUSIVE");
    if (isEmpty(db)) {
      db.exec(`PRAGMA page_size = ${pageBytes}; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL`);
      db.exec(`BEGIN; ${schema} COMMIT`);
    } else {
      assertOurs(db);
      db.exec("PRAGMA journal_mode = WAL");
    }
    // NORMAL: no fsync at a commit, one at a checkpoint. A killed process loses nothing that was committed.
    db.exec("PRAGMA synchronous = NORMAL; PRAGMA cache_size = -1024; PRAGMA wal_autocheckpoint = 1000");
    db.exec("PRAGMA journal_size_limit = 16777216");
    return {
      db,
      insertBlock: db.prepare("INSERT INTO block (first_ms, last_ms, count, mask, data) VALUES (?, ?, ?, ?, ?)"),
      insertOrigin: db.prepare("INSERT INTO origin (app, last_ms, seq, function) VALUES (?, ?, ?, ?)"),
      byTime: db.prepare("SELECT seq FROM block WHERE last_ms >= ? ORDER BY last_ms DESC, seq DESC"),
      byApp: db.prepare(
        `SELECT last_ms, seq FROM origin WHERE app = ?1 AND last_ms >= ?2 AND (?3 IS NULL OR function = ?3)
         UNION ALL SELECT last_ms, seq FROM origin WHERE app = ?4 AND last_ms >= ?5 ORDER BY 1 DESC, 2 DESC`,
      ),
      data: db.prepare("SELECT last_ms, data FROM block WHERE seq = ? AND first_ms <= ? AND (mask & ?) <> 0"),
    };
  } catch (error) {
    db.close();
    throw error;
  }
}

function isEmpty(db: DatabaseSync): boolean {
  return db.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() === undefined;
}

function assertOurs(db: DatabaseSync): void {
  const id = pragma(db, "application_id");
  if (id !== applicationId) throw new ForeignFileError(`application id ${id}`);
  const version = pragma(db, "user_version");
  if (version !== formatVersion) throw new ForeignFileError(`format ${version}, this version reads ${formatVersion}`);
}

function insert(file: OpenFile, head: BlockHead, data: Uint8Array): void {
  const lastMs = wholeMs(head.lastMs);
  const origins = readOrigins(data, limits.observeOriginsPerBlock) ?? [{ app: wide, function: "" }];
  transaction(file.db, () => {
    const { lastInsertRowid } = file.insertBlock.run(wholeMs(head.firstMs), lastMs, head.count, head.mask, data);
    for (const origin of origins) file.insertOrigin.run(origin.app, lastMs, lastInsertRowid, origin.function);
  });
}

function retainSlice(db: DatabaseSync, retention: Retention, nowMs: number): boolean {
  let deleted = deleteBlocks(db, "last_ms < ? ORDER BY last_ms", wholeMs(nowMs - retention.ageMs), sliceBlocks);
  const excess = usedBytes(db) - retention.bytes;
  if (deleted === 0 && excess > 0) {
    // Oldest first, and at least one: the number of bytes in a block differs, so this goes on until it fits.
    const blocks = Math.min(sliceBlocks, Math.ceil(excess / limits.observeChunkBytes));
    deleted = deleteBlocks(db, "seq > ? ORDER BY seq", -1, blocks);
  }
  const freePages = pragma(db, "freelist_count") - slackBytes / pageBytes;
  if (freePages > 0) db.exec(`PRAGMA incremental_vacuum(${Math.min(Math.ceil(freePages), slicePages)})`);
  return deleted > 0 || freePages > slicePages;
}

function deleteBlocks(db: DatabaseSync, where: string, value: number, limit: number): number {
  const rows = db.prepare(`SELECT seq FROM block WHERE ${where} LIMIT ?`).all(value, limit);
  if (rows.length === 0) return 0;
  const ids = rows.map((row) => Number(row["seq"])).join(",");
  transaction(db, () => db.exec(`DELETE FROM origin WHERE seq IN (${ids}); DELETE FROM block WHERE seq IN (${ids})`));
  return rows.length;
}

function transaction(db: DatabaseSync, work: () => void): void {
  db.exec("BEGIN IMMEDIATE");
  try {
    work();
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

function usedBytes(db: DatabaseSync): number {
  return (pragma(db, "page_count") - pragma(db, "freelist_count")) * pageBytes;
}

function pragma(db: DatabaseSync, name: string): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0);
}

/** The new name, or null when it could not be moved. */
function moveAside(path: string, nowMs: number): string | null {
  const aside = `${path}.aside-${Math.floor(nowMs)}`;
  try {
    for (const suffix of ["", "-wal", "-shm"]) if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
    return aside;
  } catch {
    return null;
  }
}

/** SQLite integers: infinities become the widest that a filter needs. */
function wholeMs(ms: number): number {
  return Math.max(-8.64e15, Math.min(8.64e15, Math.floor(ms)));
}
