/**
 * One process at a time uses the file. The lock is one of the kernel, SQLite's on a file beside it in a transaction that never
 * ends, so that it is gone when its holder is, in whatever way that ended.
 */
import { DatabaseSync } from "node:sqlite";
import { asStoreError } from "./sqlite-errors.ts";

/** Throws DATA_LOCKED or DATA_UNWRITABLE. The answer gives the lock back; idempotent. */
export function lockFile(file: string): () => void {
  let db: DatabaseSync | null = null;
  try {
    db = new DatabaseSync(`${file}.lock`, { timeout: 0 });
    // Without a journal on the disk: a lock must be had on a full disk too.
    db.exec("PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  } catch (error) {
    db?.close();
    throw asStoreError(error, file);
  }
  const held = db;
  return () => {
    if (held.isOpen) held.close();
  };
}
