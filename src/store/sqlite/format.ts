/**
 * The file: its tables, its format's version, and how older ones are brought up to it.
 *
 *   log      what was committed and is not in the tree yet, a row for each group of commits (`changes.ts`)
 *   entry    the tree: the entries as of the last merge, a row each
 *   large    values over limits.largeValueBytes, of both
 *   counter  one row: version, time and last id of `large` as of the last merge; the log's rows are later
 */
import { closeSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { AloftError } from "../../contract/errors.ts";
import { corruptError } from "./sqlite-errors.ts";

/** Brings a file of the version of its index to the next; runs in a transaction. */
export type Migration = (db: DatabaseSync) => void;

const applicationId = 0x616c6b73; // "alks"
export const pageBytes = 4096;

/** The first one makes an empty file one of version 1. A released one never changes. */
const migrations: readonly Migration[] = [
  (db) =>
    db.exec(`
      CREATE TABLE log (version INTEGER PRIMARY KEY, time_ms REAL NOT NULL, changes BLOB NOT NULL);
      CREATE TABLE entry (
        key BLOB PRIMARY KEY, version INTEGER NOT NULL, expires_ms REAL, large INTEGER, value BLOB
      ) WITHOUT ROWID;
      CREATE INDEX entry_expiry ON entry (expires_ms) WHERE expires_ms IS NOT NULL;
      CREATE TABLE large (id INTEGER PRIMARY KEY, value BLOB NOT NULL);
      CREATE TABLE counter (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, time_ms REAL NOT NULL, large INTEGER NOT NULL);
      INSERT INTO counter VALUES (1, 0, 0, 0);
    `),
];

/** The writer's connection; creates the file when there is none. Throws DATA_TOO_NEW, DATA_CORRUPT, or what SQLite throws. */
export function openForWriting(file: string, steps: readonly Migration[] = migrations): DatabaseSync {
  makePrivate(file);
  const db = new DatabaseSync(file, { timeout: 100 });
  try {
    if (db.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() === undefined) {
      db.exec(
        `PRAGMA page_size = ${pageBytes}; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = ${applicationId}`,
      );
    } else if (numberOf(db, "application_id") !== applicationId) {
      throw corruptError(file, new Error("it was not written by aloft"));
    }
    // Checkpoints are the writer's own doing, between commits and not within one.
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0");
    db.exec("PRAGMA cache_size = -32768; PRAGMA cell_size_check = ON");
    migrate(db, file, steps);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** For the server's own user alone: it holds secrets. SQLite gives the files beside it the same mode. */
export function makePrivate(file: string): void {
  try {
    closeSync(openSync(file, "a", 0o600));
  } catch {
    // What is wrong here, SQLite is about to say.
  }
}

/** A connection that only reads. The writer has opened the file before. */
export function openForReading(file: string): DatabaseSync {
  const db = new DatabaseSync(file, { readOnly: true, timeout: 5000 });
  db.exec("PRAGMA cache_size = -16384");
  return db;
}

function migrate(db: DatabaseSync, file: string, steps: readonly Migration[]): void {
  const found = numberOf(db, "user_version");
  if (found > steps.length) {
    throw new AloftError("DATA_TOO_NEW", `${file} has format ${found}, this version reads up to ${steps.length}`, {
      hint: "start the version of aloft that wrote it, or a newer one",
    });
  }
  for (const [index, step] of steps.entries()) {
    if (index < found) continue;
    db.exec("BEGIN IMMEDIATE");
    step(db);
    db.exec(`PRAGMA user_version = ${index + 1}; COMMIT`);
  }
}

export function numberOf(db: DatabaseSync, pragma: string): number {
  return Number(db.prepare(`PRAGMA ${pragma}`).get()?.[pragma] ?? 0);
}
