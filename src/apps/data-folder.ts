/**
 * The data folder: one server's place on the disk.
 *
 *   format.json    version of this layout
 *   lock.sqlite    held by the server that uses the folder; lock.pid says which process that is
 *   keyspace.db    all durable state (`store/sqlite/`), apps, aliases and variables too (`meta/`); beside it files of the same
 *                  name with an ending
 *   files/         contents by hash (`content-store.ts`)
 *   deployments/   APP/ID/, the files of a deployment as its instances see them (`deployment-folders.ts`)
 *   images/        unpacked layers of images, and the roots made of them (`images/image-store.ts`)
 *   blobs/         contents of blobs by environment and hash (`state/blob/blob-files.ts`)
 *   observe/       records and logs
 *   meta/          where format 1 kept what is in the keyspace now (`meta/journal-takeover.ts`)
 *   run/           what lives only as long as the server: what a killed one left is the sandbox's to end and remove
 *
 * The lock is one of the kernel (SQLite's, on a transaction that is never ended), so it is gone when its holder is, in
 * whatever way that ended. A file that merely names a process would outlive a crash.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { AloftError } from "../contract/errors.ts";
import { asDiskError, errnoOf } from "./disk-errors.ts";
import { syncFolder, writeFileDurably } from "../lib/durable-files.ts";

export interface DataFolder {
  readonly root: string;
  readonly keyspaceFile: string;
  /** Of a folder that a former version has used; not there otherwise. */
  readonly journalFile: string;
  readonly files: string;
  readonly deployments: string;
  readonly images: string;
  readonly blobs: string;
  readonly observe: string;
  readonly run: string;
  /** Gives the lock back. Idempotent. */
  close(): void;
}

const format = 2;
const unfinishedMark = "restore.unfinished";
/** Everything in it is the server's alone: code, variables, logs. */
const folderMode = 0o700;

/** Throws DATA_LOCKED, DATA_UNWRITABLE, DATA_TOO_NEW, DATA_CORRUPT, DISK_FULL. */
export async function openDataFolder(path: string): Promise<DataFolder> {
  const root = resolve(path);
  const folders = {
    files: join(root, "files"),
    deployments: join(root, "deployments"),
    images: join(root, "images"),
    blobs: join(root, "blobs"),
    observe: join(root, "observe"),
    run: join(root, "run"),
  };
  try {
    await mkdir(root, { recursive: true, mode: folderMode });
    const unlock = lockFolder(root);
    try {
      assertFinished(root);
      await checkFormat(join(root, "format.json"));
      for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true, mode: folderMode });
    } catch (error) {
      unlock();
      throw error;
    }
    return {
      root,
      ...folders,
      keyspaceFile: join(root, "keyspace.db"),
      journalFile: join(root, "meta", "meta.journal"),
      close: unlock,
    };
  } catch (error) {
    if (errnoOf(error) === "ENOTDIR" || errnoOf(error) === "EEXIST") {
      throw new AloftError("DATA_UNWRITABLE", `${root} is not a folder`, { hint: "choose another folder with --data" });
    }
    throw asDiskError(error, root);
  }
}

/** A folder that is being restored into. */
export interface NewDataFolder {
  readonly root: string;
  readonly keyspaceFile: string;
  /** From now on it is a data folder like any other. */
  finish(): Promise<void>;
  /** Leaves it empty. */
  abandon(): Promise<void>;
}

/** Throws DATA_NOT_EMPTY, DATA_LOCKED, DATA_UNWRITABLE, DISK_FULL. */
export async function openNewDataFolder(path: string): Promise<NewDataFolder> {
  const root = resolve(path);
  try {
    await mkdir(root, { recursive: true, mode: folderMode });
    const [found] = await readdir(root);
    if (found !== undefined) {
      throw new AloftError("DATA_NOT_EMPTY", `${root} is not empty: it holds ${found}`, {
        hint: "restore into a new folder, or move away what is there",
      });
    }
    const unlock = lockFolder(root);
    const mark = join(root, unfinishedMark);
    await writeFileDurably(mark, Buffer.from(""), 0o600);
    return {
      root,
      keyspaceFile: join(root, "keyspace.db"),
      async finish() {
        await writeFormat(join(root, "format.json"));
        await rm(mark);
        await syncFolder(root);
        unlock();
      },
      async abandon() {
        unlock();
        for (const name of await readdir(root)) await rm(join(root, name), { recursive: true, force: true });
      },
    };
  } catch (error) {
    throw asDiskError(error, root);
  }
}

/** A crash in the middle of restoring must not leave what looks like a data folder. */
function assertFinished(root: string): void {
  if (!existsSync(join(root, unfinishedMark))) return;
  throw new AloftError("DATA_CORRUPT", `restoring a backup into ${root} was not finished`, {
    hint: "remove the folder and restore again",
    detail: { file: join(root, unfinishedMark) },
  });
}

function lockFolder(root: string): () => void {
  const pidFile = join(root, "lock.pid");
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(join(root, "lock.sqlite"), { timeout: 0 });
    // Without a journal on the disk: a lock must be had on a full disk too.
    database.exec("PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  } catch (error) {
    throw lockError(error, root, pidFile);
  }
  try {
    writeFileSync(pidFile, String(process.pid), { mode: 0o600 });
  } catch (error) {
    if (errnoOf(error) !== "ENOSPC") throw error; // it is only for the message that another server would give
  }
  return () => {
    if (!database.isOpen) return;
    rmSync(pidFile, { force: true });
    database.close();
  };
}

const sqliteBusy = 5;
const sqliteReadOnly = 8;
const sqliteCannotOpen = 14;

function lockError(error: unknown, root: string, pidFile: string): unknown {
  const code = error instanceof Error && "errcode" in error ? error.errcode : undefined;
  if (code === sqliteBusy) {
    const pid = readPid(pidFile);
    const holder = pid === null ? "another server" : `another server (process ${pid})`;
    return new AloftError("DATA_LOCKED", `${root} is in use by ${holder}`, {
      hint: "stop the other server, or give this one a folder of its own with --data",
    });
  }
  if (code === sqliteReadOnly || code === sqliteCannotOpen) {
    return new AloftError("DATA_UNWRITABLE", `${root} cannot be written`, {
      hint: "give the user that runs aloft the right to write there, or choose another folder with --data",
      cause: error,
    });
  }
  return error;
}

function readPid(pidFile: string): number | null {
  try {
    return Number(readFileSync(pidFile, "utf8")) || null;
  } catch {
    return null;
  }
}

async function checkFormat(file: string): Promise<void> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    await writeFormat(file);
    return;
  }
  const found = parseFormat(text);
  if (found === null) {
    throw new AloftError("DATA_CORRUPT", `${file} does not say which format the folder has`, {
      hint: "restore the data folder from a backup",
      detail: { file, offset: 0 },
    });
  }
  if (found > format) {
    throw new AloftError("DATA_TOO_NEW", `${file} says format ${found}, this version reads up to ${format}`, {
      hint: "start the version of aloft that wrote it, or a newer one",
    });
  }
  // At once: from now on a former version would miss what is written.
  if (found < format) await writeFormat(file);
}

async function writeFormat(file: string): Promise<void> {
  await writeFileDurably(file, Buffer.from(`${JSON.stringify({ format })}\n`), 0o600);
}

function parseFormat(text: string): number | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("format" in value)) return null;
    return typeof value.format === "number" ? value.format : null;
  } catch {
    return null;
  }
}
