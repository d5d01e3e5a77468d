/**
 * The durable driver: everything in memory, one file on disk (`journal.ts`). Commits that arrive while the disk is busy
 * share the next write and its sync. When the journal has outgrown its content, the file is written anew beside itself
 * and renamed into place.
 *
 *   sound -> (a write failed, its bytes were cut off again) -> sound
 *   sound -> (they could not be cut off, or a sync failed) -> doubtful -> (the next commit wrote the file anew) -> sound
 *
 * A failed sync leaves the state of the pages unknown (the kernel may have dropped them), so it is never retried on the
 * same file.
 */
import { open, readFile, rm, type FileHandle } from "node:fs/promises";
import { AloftError } from "../../contract/errors.ts";
import { asDiskError, errnoOf } from "../disk-errors.ts";
import { writeFileDurably, writeFully } from "../durable-files.ts";
import { judgeBatch, settleBatch, type WaitingCommit } from "./commit-batch.ts";
import { decodeJournal, encodeSnapshot, encodeWrite } from "./journal.ts";
import type { MetaCell, MetaCommit, MetaEntry, MetaStore } from "./meta-store.ts";
import { OrderedMap } from "./ordered-map.ts";

export interface FileMetaStoreOptions {
  readonly file: string;
  /** The journal is rewritten when it is longer than this and than twice its content. */
  readonly compactBytes?: number;
}

/** Only the server's own user may read it: it holds the values of variables. */
const fileMode = 0o600;
const standardCompactBytes = 4 * 1024 * 1024;

/** Creates the file when there is none. Throws DATA_CORRUPT, DATA_TOO_NEW, DATA_UNWRITABLE, DISK_FULL. */
export async function openFileMetaStore(options: FileMetaStoreOptions): Promise<MetaStore> {
  const { file, compactBytes = standardCompactBytes } = options;
  try {
    await rm(`${file}.tmp`, { force: true });
    const bytes = await readIfThere(file);
    if (bytes === null) await writeFileDurably(file, encodeSnapshot([]).bytes, fileMode);
    const map = new OrderedMap();
    const content = decodeJournal(bytes ?? encodeSnapshot([]).bytes, file, (cells) => map.load(cells));
    map.sortLoaded();
    const handle = await open(file, "r+");
    const isTorn = bytes !== null && content.soundBytes < bytes.length;
    if (isTorn && !(await cutBackTo(handle, content.soundBytes))) {
      await handle.close();
      throw new AloftError("DATA_UNWRITABLE", `the torn end of ${file} could not be cut off`);
    }
    return new FileMetaStore(file, compactBytes, map, {
      handle,
      bytes: content.soundBytes,
      lastSequence: content.lastSequence,
    });
  } catch (error) {
    throw asDiskError(error, file);
  }
}

interface OpenJournal {
  readonly handle: FileHandle;
  bytes: number;
  lastSequence: number;
}

class FileMetaStore implements MetaStore {
  readonly #file: string;
  readonly #compactBytes: number;
  readonly #map: OrderedMap;
  #journal: OpenJournal;
  #doubtful = false;
  /** Compaction waits until the journal is longer than this; raised when one failed, so that it is not tried each time. */
  #compactAboveBytes: number;
  #waiting: WaitingCommit[] = [];
  #writing: Promise<void> | null = null;
  #closed = false;

  constructor(file: string, compactBytes: number, map: OrderedMap, journal: OpenJournal) {
    this.#file = file;
    this.#compactBytes = compactBytes;
    this.#compactAboveBytes = Math.max(compactBytes, 2 * contentBytes(map));
    this.#map = map;
    this.#journal = journal;
  }

  get(key: string): string | null {
    return this.#map.get(key);
  }

  list(prefix: string): readonly MetaEntry[] {
    return this.#map.list(prefix);
  }

  commit(commit: MetaCommit): Promise<void> {
    if (this.#closed) return Promise.reject(new AloftError("SHUTTING_DOWN", "the server is stopping"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ commit, resolve, reject });
      this.#writing ??= this.#writeAll();
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#writing;
    await this.#journal.handle.close();
  }

  async #writeAll(): Promise<void> {
    // A turn later, so that commits called together share the first write too.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      const judged = judgeBatch(this.#map, batch);
      try {
        if (judged.writes.length > 0) await this.#append(judged.writes);
      } catch (error) {
        const reason = asDiskError(error, this.#file);
        for (const waiting of batch) waiting.reject(reason);
        continue;
      }
      this.#map.apply(judged.writes);
      settleBatch(judged);
      if (this.#journal.bytes > this.#compactAboveBytes) await this.#compactIfPossible();
    }
    this.#writing = null;
  }

  async #append(writes: readonly MetaCell[]): Promise<void> {
    if (this.#doubtful) await this.#compact();
    const { handle, bytes, lastSequence } = this.#journal;
    const record = encodeWrite(lastSequence + 1, writes);
    let synced = false;
    try {
      await writeFully(handle, record, bytes);
      synced = true;
      await handle.datasync();
    } catch (error) {
      this.#doubtful = synced || !(await cutBackTo(handle, bytes));
      throw error;
    }
    this.#journal.bytes += record.length;
    this.#journal.lastSequence += 1;
  }

  async #compactIfPossible(): Promise<void> {
    try {
      await this.#compact();
    } catch {
      // The journal as it is stays complete; the next try comes when it has grown as much again.
      this.#compactAboveBytes = 2 * this.#journal.bytes;
    }
  }

  /** Writes the file anew. Doubtful until all of it went well: a rename that may be undone must not be built upon. */
  async #compact(): Promise<void> {
    const { bytes, lastSequence } = encodeSnapshot(this.#map.entries());
    const wasDoubtful = this.#doubtful;
    const former = this.#journal;
    const before = await former.handle.stat();
    try {
      await writeFileDurably(this.#file, bytes, fileMode);
      this.#journal = { handle: await open(this.#file, "r+"), bytes: bytes.length, lastSequence };
    } catch (error) {
      // Renamed but not known to be durable: the journal in use no longer has the file's name.
      this.#doubtful = wasDoubtful || (await inodeOf(this.#file)) !== before.ino;
      throw error;
    }
    this.#doubtful = false;
    this.#compactAboveBytes = Math.max(this.#compactBytes, 2 * bytes.length);
    await former.handle.close();
  }
}

async function cutBackTo(handle: FileHandle, bytes: number): Promise<boolean> {
  try {
    await handle.truncate(bytes);
    await handle.datasync();
    return true;
  } catch {
    return false;
  }
}

async function inodeOf(file: string): Promise<number | null> {
  try {
    await using handle = await open(file, "r");
    return (await handle.stat()).ino;
  } catch {
    return null;
  }
}

async function readIfThere(file: string): Promise<Buffer | null> {
  try {
    return await readFile(file);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return null;
    throw error;
  }
}

function contentBytes(map: OrderedMap): number {
  let chars = 0;
  for (const { key, value } of map.entries()) chars += key.length + value.length + 8;
  return chars;
}
