/**
 * What lies in an image's file or folder, by its path there: an OCI layout or what `docker save` wrote, as a folder, a tar
 * archive or a compressed one. A tar archive is read where it lies: only the places of its parts are in memory.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, open, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { AloftError } from "../../contract/errors.ts";
import { sourceOfFile } from "../../lib/tar/byte-source.ts";
import { TarError, TarReader } from "../../lib/tar/tar-reader.ts";

export interface ImageArchive {
  /** As the user named it. */
  readonly path: string;
  /** null: nothing has this path. */
  find(path: string): Promise<ArchivePart | null>;
  /** Removes what was unpacked on the way. */
  close(): Promise<void>;
}

export interface ArchivePart {
  readonly bytes: number;
  /** From the beginning, each time it is called. */
  chunks(): AsyncIterable<Uint8Array>;
}

/** `docker save` of many images has some thousand. */
const partsMax = 100_000;
const linksMax = 8;
const chunkBytes = 256 * 1024;

/** Throws IMAGE_INVALID. */
export async function openImageArchive(path: string): Promise<ImageArchive> {
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory() === true) return openFolder(path);
  if (found?.isFile() !== true) {
    throw new AloftError("IMAGE_INVALID", `${path} is neither a file nor a folder`, {
      hint: "name a file written by `docker save`, or an OCI image layout",
    });
  }
  switch (await magicOf(path)) {
    case "gzip":
      return await openUnpacked(path, () => createGunzip());
    case "zstd":
      return await openUnpacked(path, () => createZstdDecompress());
    default:
      return await openTar(path, path, async () => {});
  }
}

function openFolder(folder: string): ImageArchive {
  return {
    path: folder,
    async find(path) {
      const file = join(folder, path);
      const found = await stat(file).catch(() => null);
      if (found?.isFile() !== true) return null;
      return { bytes: found.size, chunks: () => createReadStream(file, { highWaterMark: chunkBytes }) };
    },
    async close() {},
  };
}

type TarPart = { readonly bytes: number; readonly offset: number } | { readonly link: string };

async function openTar(shown: string, file: string, close: () => Promise<void>): Promise<ImageArchive> {
  const parts = await listTar(shown, file);
  return {
    path: shown,
    async find(path) {
      let part = parts.get(posix.normalize(path));
      for (let links = 0, at = path; part !== undefined && "link" in part && links < linksMax; links++) {
        // Older versions of docker save a layer once and link to it.
        at = posix.join(posix.dirname(at), part.link);
        part = parts.get(at);
      }
      if (part === undefined || "link" in part) return null;
      const { bytes, offset } = part;
      return { bytes, chunks: () => chunksOf(file, offset, bytes) };
    },
    close,
  };
}

async function listTar(shown: string, file: string): Promise<ReadonlyMap<string, TarPart>> {
  const parts = new Map<string, TarPart>();
  await using handle = await open(file);
  const reader = new TarReader(sourceOfFile(handle, (await handle.stat()).size));
  try {
    for (let entry = await reader.next(); entry !== null; entry = await reader.next()) {
      const path = posix.normalize(entry.path);
      if (entry.kind === "file" && entry.offset !== null) parts.set(path, { bytes: entry.bytes, offset: entry.offset });
      if (entry.kind === "symlink") parts.set(path, { link: entry.linkPath });
      if (entry.kind === "hardlink") parts.set(path, { link: posix.relative(posix.dirname(path), entry.linkPath) });
      if (parts.size > partsMax) throw new TarError(`has more than the ${partsMax} parts allowed`);
    }
  } catch (error) {
    if (!(error instanceof TarError)) throw error;
    throw new AloftError("IMAGE_INVALID", `${shown} cannot be read as a tar archive: it ${error.message}`, {
      hint: "name a file written by `docker save`, or an OCI image layout",
    });
  }
  return parts;
}

async function* chunksOf(file: string, offset: number, bytes: number): AsyncGenerator<Uint8Array> {
  if (bytes === 0) return;
  yield* createReadStream(file, { start: offset, end: offset + bytes - 1, highWaterMark: chunkBytes });
}

async function magicOf(path: string): Promise<"gzip" | "zstd" | "none"> {
  await using handle = await open(path);
  const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0);
  const magic = buffer.toString("hex");
  return magic.startsWith("1f8b") ? "gzip" : magic === "28b52ffd" ? "zstd" : "none";
}

/** Parts are read in another order than they lie in, and more than once. */
async function openUnpacked(path: string, decompress: () => NodeJS.ReadWriteStream): Promise<ImageArchive> {
  const folder = await mkdtemp(join(tmpdir(), "aloft-image-"));
  const close = async (): Promise<void> => await rm(folder, { recursive: true, force: true });
  const file = join(folder, "image.tar");
  try {
    await pipeline(createReadStream(path), decompress(), createWriteStream(file));
    return await openTar(path, file, close);
  } catch (error) {
    await close();
    const { code, message } = error as NodeJS.ErrnoException;
    if (!/^(?:Z_|ZSTD_)/.test(code ?? "")) throw error;
    throw new AloftError("IMAGE_INVALID", `${path} cannot be decompressed: ${message}`, { cause: error });
  }
}
