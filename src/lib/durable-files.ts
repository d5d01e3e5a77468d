/** Files that are there whole or not at all, whatever crashes: write beside, sync, rename, sync the folder. */
import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";

/** Replaces `path` by these bytes. What was there stays until the new content is on the disk. */
export async function writeFileDurably(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    await using handle = await open(temporary, "w", mode);
    await writeFully(handle, bytes, 0);
    await handle.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** Makes the names in a folder durable: a rename alone is only in memory. */
export async function syncFolder(path: string): Promise<void> {
  await using handle = await open(path, "r");
  await handle.sync();
}

/** One write call may take only a part, above all just before the disk is full. */
export async function writeFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const part = await handle.write(bytes, written, bytes.length - written, position + written);
    written += part.bytesWritten;
  }
}
