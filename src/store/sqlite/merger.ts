/**
 * Brings what the log holds into the tree, in slices between which commits go on, and tidies the file.
 *
 * A pass goes through the overlay in the order of keys and takes every cell up to the version that the server's thread has seen
 * when the pass began; when it is through, the log's rows up to that version are deleted. So the tree never holds what
 * the server's thread has not heard of, and a crash at any point finds in the log whatever the tree may lack.
 *
 * Nothing here must be durable by itself, for the log has it: these transactions are not synced. The log's next sync, or a
 * checkpoint, makes them so in their order.
 */
import { statSync } from "node:fs";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { limits } from "../../contract/limits.ts";
import type { KeyText } from "../key-text.ts";
import { numberOf, pageBytes } from "./format.ts";
import { bufferOf } from "./key-bytes.ts";
import type { Cell, MergedPart, Overlay } from "./overlay.ts";
import { SharedWords, type WriterSettings } from "./writer-messages.ts";

/** Entries of one slice, and cells looked at for them: a millisecond or two. */
const sliceEntries = 64;
const sliceCells = 256;
/** A checkpoint copies what the write-ahead log has gathered; some hundred pages more often than many at once. */
const checkpointPages = 4000;
/** Free pages of the file that stay for what is to come, and what is given back in one slice. */
const freePagesKept = 1024;
const vacuumPages = 256;

interface Pass {
  readonly version: number;
  cursor: KeyText;
}

export interface MergerOptions {
  readonly db: DatabaseSync;
  readonly overlay: Overlay;
  readonly settings: WriterSettings;
  readonly onMerged: (part: MergedPart) => void;
}

export class Merger {
  readonly #options: MergerOptions;
  readonly #words: SharedWords;
  readonly #upsert: StatementSync;
  readonly #remove: StatementSync;
  readonly #findLarge: StatementSync;
  readonly #removeLarge: StatementSync;
  readonly #expired: StatementSync;
  #pass: Pass | null = null;
  #hasLarge = false;
  /** Large values that nothing refers to once the tree has everything up to the version. */
  #superseded: { readonly id: number; readonly version: number }[] = [];
  /** Pages written into the write-ahead log since the last checkpoint, roughly. */
  #walPages = 0;
  #logBytes = 0;
  #isSwept = false;
  /** Once for each pass, so that what expires goes away as well where there is never a quiet moment. */
  #isSweepDue = false;

  constructor(options: MergerOptions) {
    const { db } = options;
    this.#options = options;
    this.#words = new SharedWords(options.settings.shared);
    this.#upsert = db.prepare(
      `INSERT INTO entry (key, version, expires_ms, large, value) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
        version = excluded.version, expires_ms = excluded.expires_ms, large = excluded.large, value = excluded.value`,
    );
    this.#remove = db.prepare("DELETE FROM entry WHERE key = ?");
    this.#findLarge = db.prepare("SELECT large FROM entry WHERE key = ?");
    this.#removeLarge = db.prepare("DELETE FROM large WHERE id = ?");
    this.#expired = db.prepare("SELECT key, large FROM entry WHERE expires_ms <= ? LIMIT ?");
  }

  /** The log has a row of so many bytes more. */
  grew(bytes: number): void {
    this.#walPages += 3 + Math.ceil(bytes / pageBytes);
    this.#logBytes += bytes;
    this.#isSwept = false;
  }

  /** From now on the tree may refer to large values. */
  hasLarge(): void {
    this.#hasLarge = true;
  }

  superseded(id: number, version: number): void {
    this.#superseded.push({ id, version });
  }

  /** One slice of what is to do; true when there is more. */
  tidy(isIdle: boolean, nowMs: number): boolean {
    if (this.#walPages >= checkpointPages) this.#checkpoint();
    if (this.#pass !== null || this.#isPassDue(isIdle)) {
      this.#mergeSlice(nowMs);
      return isIdle || this.#pass !== null || this.#isPassDue(false);
    }
    if (!this.#isSwept && (isIdle || this.#isSweepDue)) {
      this.#isSwept = !this.#sweepSlice(nowMs, isIdle ? limits.sweepEntries : sliceEntries);
      this.#isSweepDue = !this.#isSwept;
      return isIdle || this.#isSweepDue;
    }
    if (!isIdle) return false;
    if (this.#vacuumSlice()) return true;
    if (this.#walPages > 0) this.#checkpoint();
    return false;
  }

  #isPassDue(isIdle: boolean): boolean {
    const { overlay, settings } = this.#options;
    if (overlay.size === 0 || this.#words.seen <= this.#mergedVersion) return false;
    if (isIdle || overlay.size > settings.unmergedEntries) return true;
    return overlay.bytes > settings.unmergedBytes || this.#logBytes > limits.unmergedLogBytes;
  }

  /** All that the log held up to this version is in the tree. */
  #mergedVersion = 0;

  #mergeSlice(nowMs: number): void {
    const { overlay, onMerged } = this.#options;
    const pass = (this.#pass ??= { version: this.#words.seen, cursor: "" });
    const start = pass.cursor;
    const cells: [KeyText, Cell][] = [];
    let end: KeyText | null = null;
    let looked = 0;
    for (const [key, cell] of overlay.scan(start, null)) {
      if (cells.length === sliceEntries || looked++ === sliceCells) {
        end = key;
        break;
      }
      if (cell.version <= pass.version) cells.push([key, cell]);
    }
    this.#transaction(() => {
      for (const [key, cell] of cells) this.#merge(key, cell, nowMs);
      if (end === null) this.#endPass(pass.version, nowMs);
    });
    this.#walPages += Math.ceil(cells.length / 4) + 2;
    const part = { start, end, version: pass.version };
    overlay.drop(part);
    onMerged(part);
    if (end !== null) pass.cursor = end;
    else {
      this.#pass = null;
      this.#mergedVersion = pass.version;
      this.#isSweepDue = true;
      this.#logBytes = 0; // but for what came during the pass
    }
  }

  #merge(text: KeyText, cell: Cell, nowMs: number): void {
    const key = bufferOf(text);
    if (this.#hasLarge) {
      const former = this.#findLarge.get(key)?.["large"] ?? 0;
      if (former !== 0 && former !== cell.large) this.#removeLarge.run(former);
    }
    const isThere = (cell.value !== null || cell.large !== 0) && cell.expiresAtMs > nowMs;
    if (isThere) {
      const expiresMs = cell.expiresAtMs === Infinity ? null : cell.expiresAtMs;
      this.#upsert.run(key, cell.version, expiresMs, cell.large === 0 ? null : cell.large, cell.value);
      return;
    }
    this.#remove.run(key);
    if (cell.large !== 0) this.#removeLarge.run(cell.large);
  }

  #endPass(version: number, nowMs: number): void {
    const { db } = this.#options;
    for (const each of this.#superseded) if (each.version <= version) this.#removeLarge.run(each.id);
    this.#superseded = this.#superseded.filter((each) => each.version > version);
    // What is deleted must still be counted: ids and time go on from here, and versions too.
    db.prepare("UPDATE counter SET version = max(version, ?), time_ms = max(time_ms, ?)").run(version, nowMs);
    db.exec("UPDATE counter SET large = max(large, (SELECT coalesce(max(id), 0) FROM large))");
    db.prepare("DELETE FROM log WHERE version <= ?").run(version);
  }

  /** The entries that have expired; true when there may be more. */
  #sweepSlice(nowMs: number, most: number): boolean {
    const rows = this.#expired.all(nowMs, most);
    if (rows.length === 0) return false;
    this.#transaction(() => {
      for (const row of rows) {
        this.#remove.run(row["key"] as Uint8Array);
        if (row["large"] !== null) this.#removeLarge.run(row["large"] as number);
      }
      // An entry that is gone has expired for good: the clock must not go back behind it.
      this.#options.db.prepare("UPDATE counter SET time_ms = max(time_ms, ?)").run(nowMs);
    });
    this.#walPages += rows.length;
    return rows.length === most;
  }

  #vacuumSlice(): boolean {
    const { db } = this.#options;
    const free = numberOf(db, "freelist_count") - freePagesKept;
    if (free <= 0) return false;
    this.#transaction(() => db.exec(`PRAGMA incremental_vacuum(${Math.min(free, vacuumPages)})`));
    this.#walPages += vacuumPages;
    return true;
  }

  #checkpoint(): void {
    const { db, settings } = this.#options;
    this.#walPages = 0;
    const walBytes = statSync(`${settings.file}-wal`, { throwIfNoEntry: false })?.size ?? 0;
    db.exec(`PRAGMA wal_checkpoint(${walBytes > settings.walBytesMax ? "TRUNCATE" : "PASSIVE"})`);
  }

  #transaction(work: () => void): void {
    const { db } = this.#options;
    db.exec("PRAGMA synchronous = NORMAL; BEGIN");
    try {
      work();
      db.exec("COMMIT");
    } catch (error) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw error;
    } finally {
      if (db.isOpen) db.exec("PRAGMA synchronous = FULL");
    }
  }
}
