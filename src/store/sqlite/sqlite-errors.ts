/** What an error of `node:sqlite` means for the keyspace. Codes: https://sqlite.org/rescode.html; the low byte is the primary one. */
import { AloftError } from "../../contract/errors.ts";

const sqlitePermission = 3;
const sqliteBusy = 5;
const sqliteReadOnly = 8;
const sqliteCorrupt = 11;
const sqliteFull = 13;
/** SQLITE_IOERR_SHMSIZE: no room for the index of the write-ahead log. */
const sqliteNoSharedMemory = 10 | (19 << 8);
const sqliteCannotOpen = 14;
const sqliteNotADatabase = 26;

/** The error of the table for what SQLite reports of a file; anything else comes back as it is. */
export function asStoreError(thrown: unknown, file: string): unknown {
  switch (primaryCode(thrown)) {
    case sqliteCorrupt:
    case sqliteNotADatabase:
      return corruptError(file, thrown);
    case sqliteFull:
      return new AloftError("DISK_FULL", `there is no room left to write ${file}`, {
        hint: "free some space on the disk of the data folder",
        cause: thrown,
      });
    case sqliteBusy:
      return new AloftError("DATA_LOCKED", `another process is using ${file}`, {
        hint: "stop the other server, or choose another folder with --data",
        cause: thrown,
      });
    case sqlitePermission:
    case sqliteReadOnly:
    case sqliteCannotOpen:
      return new AloftError("DATA_UNWRITABLE", `${file} cannot be opened for writing`, {
        hint: "give the user that runs aloft the right to write there, or choose another folder with --data",
        cause: thrown,
      });
    default:
      return thrown;
  }
}

export function corruptError(file: string, cause?: unknown): AloftError {
  const what = cause instanceof Error ? ` (${cause.message})` : "";
  return new AloftError("DATA_CORRUPT", `${file} is damaged${what}`, {
    hint: "stop the server and restore the data folder from a backup",
    detail: { file },
    cause,
  });
}

export function isFull(thrown: unknown): boolean {
  return primaryCode(thrown) === sqliteFull;
}

function primaryCode(thrown: unknown): number {
  if (!(thrown instanceof Error) || !("errcode" in thrown) || typeof thrown.errcode !== "number") return 0;
  if (thrown.errcode === sqliteNoSharedMemory) return sqliteFull;
  return thrown.errcode & 0xff;
}
