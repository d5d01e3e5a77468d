/**
 * Contents on the disk: BLOBS/ENVIRONMENT/GENERATION/ab/HASH, and uploads on their way in a folder of their own on the same
 * file system. A content is under its hash only when all of it is on the disk.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, opendir, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AloftError } from "../../contract/errors.ts";
import { syncFolder } from "../../lib/durable-files.ts";
import type { Place } from "./blob-keys.ts";

const fileMode = 0o600;
const folderMode = 0o700;

export interface BlobFiles {
  readonly folder: string;
  /** A file that nobody else sees; `keep` or `drop` ends it. */
  create(): Promise<{ readonly path: string; readonly handle: FileHandle }>;
  /** Its bytes are on the disk under the hash when it resolves. */
  keep(path: string, handle: FileHandle, place: Place, hash: string): Promise<void>;
  drop(path: string, handle: FileHandle): Promise<void>;
  /** What was opened can be read to its end, whatever happens to its name. null: it is not there. */
  open(place: Place, hash: string): Promise<FileHandle | null>;
  remove(place: Place, hash: string): Promise<void>;
  removeAll(place: Place): Promise<void>;
  /** Environments that have contents. */
  places(): AsyncGenerator<Place>;
  hashes(place: Place): AsyncGenerator<string>;
}

/** What a former server left of uploads is removed. */
export async function openBlobFiles(folder: string, uploads: string): Promise<BlobFiles> {
  await rm(uploads, { recursive: true, force: true });
  for (const each of [folder, uploads]) await mkdir(each, { recursive: true, mode: folderMode });

  function placeOf({ id, generation }: Place): string {
    return join(folder, String(id), String(generation));
  }

  function pathOf(place: Place, hash: string): string {
    return join(placeOf(place), hash.slice(0, 2), hash);
  }

  async function makeFolder(path: string): Promise<void> {
    const made = await mkdir(path, { recursive: true, mode: folderMode });
    if (made === undefined) return;
    for (let each = path; each !== dirname(made); each = dirname(each)) await syncFolder(dirname(each));
  }

  return {
    folder,
    async create() {
      const path = join(uploads, randomBytes(12).toString("hex"));
      return { path, handle: await onDisk(() => open(path, "wx", fileMode)) };
    },
    async keep(path, handle, place, hash) {
      await onDisk(async () => {
        await handle.sync();
        await handle.close();
        const target = pathOf(place, hash);
        await makeFolder(dirname(target));
        await rename(path, target);
        await syncFolder(dirname(target));
      });
    },
    async drop(path, handle) {
      await handle.close();
      await rm(path, { force: true });
    },
    async open(place, hash) {
      try {
        return await open(pathOf(place, hash), "r");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
        throw error;
      }
    },
    remove: (place, hash) => rm(pathOf(place, hash), { force: true }),
    removeAll: (place) => rm(placeOf(place), { recursive: true, force: true }),
    async *places() {
      for await (const id of namesIn(folder)) {
        for await (const generation of namesIn(join(folder, id)))
          yield { id: Number(id), generation: Number(generation) };
      }
    },
    async *hashes(place) {
      for await (const part of namesIn(placeOf(place))) yield* namesIn(join(placeOf(place), part));
    },
  };
}

async function* namesIn(folder: string): AsyncGenerator<string> {
  try {
    for await (const { name } of await opendir(folder)) yield name;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

export async function onDisk<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOSPC" || code === "EDQUOT")
      throw new AloftError("DISK_FULL", "the disk has no room left for the blob", { cause: error });
    throw error;
  }
}
