/**
 * File contents by sha256, each stored once for the whole server: `files/AB/HASH`, AB being the hash's beginning.
 *
 * A name appears only after its bytes are verified and synced, so what has a name is whole. Which app may count on which
 * content is not decided here: `open-deploys.ts` asks for every byte that the app itself has not sent before.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, unlinkSync } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { AloftError } from "../contract/errors.ts";
import { forEachParallel } from "../lib/parallel.ts";
import { asDiskError, errnoOf } from "./disk-errors.ts";
import { isHash } from "./deployment-files.ts";
import { syncFolder, writeFully } from "../lib/durable-files.ts";

export interface ExpectedContent {
  readonly hash: string;
  readonly bytes: number;
}

/** Syncs under way at once; the disk gathers them. */
const syncsAtOnce = 16;

/** Removes what interrupted uploads left. */
export async function openContentStore(folder: string): Promise<ContentStore> {
  try {
    const incoming = join(folder, ".incoming");
    await rm(incoming, { recursive: true, force: true });
    await mkdir(incoming, { mode: 0o700 });
    const there = new Set(await readdir(folder));
    for (let first = 0; first < 256; first++) {
      const name = first.toString(16).padStart(2, "0");
      if (!there.has(name)) await mkdir(join(folder, name), { mode: 0o700 });
    }
    await syncFolder(folder);
    return new ContentStore(folder, incoming);
  } catch (error) {
    throw asDiskError(error, folder);
  }
}

export class ContentStore {
  readonly folder: string;
  readonly #incoming: string;

  constructor(folder: string, incoming: string) {
    this.folder = folder;
    this.#incoming = incoming;
  }

  pathOf(hash: string): string {
    return join(this.folder, hash.slice(0, 2), hash);
  }

  /**
   * Takes the bytes as they come, no faster than the disk. Throws FILE_HASH_MISMATCH when they are not the ones
   * expected; then nothing is stored. The name is durable after `syncNames`.
   */
  async receive(chunks: AsyncIterable<Uint8Array>, expected: ExpectedContent): Promise<void> {
    const temporary = join(this.#incoming, randomBytes(12).toString("hex"));
    const hash = createHash("sha256");
    let bytes = 0;
    try {
      await using handle = await open(temporary, "wx", 0o400);
      for await (const chunk of chunks) {
        if (bytes + chunk.length > expected.bytes) throw mismatch(expected, "more bytes");
        hash.update(chunk);
        await writeFully(handle, chunk, bytes);
        bytes += chunk.length;
      }
      if (bytes < expected.bytes) throw mismatch(expected, `only ${bytes} bytes`);
      const found = hash.digest("hex");
      if (found !== expected.hash) throw mismatch(expected, `bytes with the hash ${found}`);
      await handle.datasync();
      await rename(temporary, this.pathOf(expected.hash));
    } catch (error) {
      await rm(temporary, { force: true });
      throw asDiskError(error, this.folder);
    }
  }

  /** Stores these bytes and returns their hash. The name is durable after `syncNames`. */
  async put(bytes: Uint8Array): Promise<string> {
    const hash = hashOfContent(bytes);
    await this.receive(only(bytes), { hash, bytes: bytes.length });
    return hash;
  }

  /** Makes the names of these contents durable. */
  async syncNames(hashes: Iterable<string>): Promise<void> {
    const folders = new Set([...hashes].map((hash) => hash.slice(0, 2)));
    await forEachParallel(folders, syncsAtOnce, (name) => syncFolder(join(this.folder, name)));
  }

  /** null: not there. */
  async findSize(hash: string): Promise<number | null> {
    try {
      return (await stat(this.pathOf(hash))).size;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return null;
      throw error;
    }
  }

  /** For small contents. Throws DATA_CORRUPT when they are gone or no longer what they were. */
  readSync(hash: string): Buffer {
    const path = this.pathOf(hash);
    let bytes: Buffer | null = null;
    try {
      bytes = readFileSync(path);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
    if (bytes !== null && hashOfContent(bytes) === hash) return bytes;
    throw new AloftError("DATA_CORRUPT", `${path} is ${bytes === null ? "missing" : "damaged"}`, {
      hint: "restore the data folder from a backup, or deploy the app again",
      detail: { file: path, offset: 0 },
    });
  }

  /** Synchronous, so that nothing can begin to count on it between the caller's look and the removal. */
  removeSync(hash: string): void {
    try {
      unlinkSync(this.pathOf(hash));
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }

  /** Below the folder, of all there are. */
  async *paths(): AsyncGenerator<string> {
    for await (const hash of this.hashes()) yield `${hash.slice(0, 2)}/${hash}`;
  }

  async *hashes(): AsyncGenerator<string> {
    for (let first = 0; first < 256; first++) {
      const names = await readdir(join(this.folder, first.toString(16).padStart(2, "0")));
      for (const name of names) if (isHash(name)) yield name;
    }
  }
}

export function hashOfContent(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function mismatch(expected: ExpectedContent, got: string): AloftError {
  return new AloftError(
    "FILE_HASH_MISMATCH",
    `the file was announced as ${expected.bytes} bytes with the hash ${expected.hash}, and ${got} came`,
    { hint: "deploy again; the file may have changed while it was being sent" },
  );
}
