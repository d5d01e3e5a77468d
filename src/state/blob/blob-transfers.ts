/** Whole blobs to and from whoever stands outside of a guest: the control API and signed links. */
import type { FileHandle } from "node:fs/promises";
import type { OpenBlob } from "../../contract/blob-links.ts";
import type { Environment, StateService } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import { type BlobEntry, blobPieceBytes } from "../../wire/blob-shapes.ts";
import type { BlobContents } from "./blob-contents.ts";
import { describedArg } from "./blob-info.ts";

export interface BlobTransfers {
  /** Takes the bytes no faster than the disk; leaves nothing behind when they end with an error. */
  put(environment: Environment, blob: PlannedBlob, chunks: AsyncIterable<Uint8Array>): Promise<PutBlob>;
  /** null: there is none. */
  open(environment: Environment, store: string, key: string): Promise<OpenBlob | null>;
}

export interface PlannedBlob {
  readonly store: string;
  readonly key: string;
  readonly contentType: string;
  readonly ifAbsent?: boolean;
}

export interface PutBlob {
  /** false: its condition did not hold. */
  readonly isDone: boolean;
  readonly hash: string;
  readonly size: number;
}

export interface TransferOptions {
  readonly service: StateService;
  readonly contents: BlobContents;
  /** A content may be there that nothing names. */
  readonly onFreed: (environment: Environment) => void;
}

export function createBlobTransfers({ service, contents, onFreed }: TransferOptions): BlobTransfers {
  async function put(
    environment: Environment,
    { store, key, contentType, ifAbsent }: PlannedBlob,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<PutBlob> {
    describedArg({ contentType }); // before any byte is taken
    const upload = await contents.begin(environment);
    try {
      for await (const chunk of chunks) await upload.write(chunk);
    } catch (error) {
      await upload.abort();
      throw error;
    }
    onFreed(environment); // should nothing ever name it
    const { upload: id, hash, size } = await upload.finish();
    const args = { key, upload: id, value: { hash, contentType }, ifAbsent };
    const effect = { resource: "blob", name: store, method: "set", args } as const;
    const outcome = await service.commit(environment, { checks: [], writes: [], seen: [], effects: [effect] });
    if (outcome.kind !== "committed") throw new TypeError("a commit without checks has lost one");
    return { isDone: outcome.results[0] === true, hash, size };
  }

  async function open(environment: Environment, store: string, key: string): Promise<OpenBlob | null> {
    const read = { resource: "blob", name: store, method: "get", args: { key, snapshot: true } } as const;
    for (let tries = 0; tries < openTriesMax; tries++) {
      const entry = (await service.read(environment, read)).value as BlobEntry | null;
      if (entry === null) return null;
      // Replaced and removed in between: then the entry is another one.
      const file = await contents.open(environment, entry.value.hash);
      if (file !== null)
        return { entry, chunks: (start, end) => chunksOf(file, start, end), close: () => file.close() };
    }
    throw new AloftError("DATA_CORRUPT", `the content of the blob ${store}/${key} is not on the disk`, {
      hint: "restore a backup, or put it again",
    });
  }

  return { put, open };
}

const openTriesMax = 5;

async function* chunksOf(file: FileHandle, start: number, end: number): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end;) {
    const length = Math.min(blobPieceBytes, end - at);
    // Each has memory of its own: it is on its way to a socket while the next one is read.
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, at);
    if (bytesRead === 0) throw new AloftError("DATA_CORRUPT", "the content of the blob ends too early");
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}
