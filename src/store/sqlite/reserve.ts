/**
 * A file that only takes up room. When the disk is full it is removed, and with what that gives back, acknowledgements and deletes
 * go on while everything else is refused. It is made again when there is room for twice its size.
 */
import { closeSync, fsyncSync, openSync, rmSync, statfsSync, statSync, writeSync } from "node:fs";
import { randomFillSync } from "node:crypto";
import { dirname } from "node:path";

const chunkBytes = 1024 * 1024;

export class Reserve {
  readonly #file: string;
  readonly #bytes: number;

  constructor(file: string, bytes: number) {
    this.#file = file;
    this.#bytes = bytes;
  }

  /** false: there is no room for it. */
  take(): boolean {
    if (this.#bytes === 0 || this.#isThere()) return true;
    if (!this.hasRoom()) return false;
    try {
      this.#write();
      return true;
    } catch {
      this.release();
      return false;
    }
  }

  release(): void {
    rmSync(this.#file, { force: true });
  }

  /** Room for the reserve, and as much again to go on with. */
  hasRoom(): boolean {
    const { bavail, bsize } = statfsSync(dirname(this.#file));
    return bavail * bsize >= 2 * this.#bytes;
  }

  #isThere(): boolean {
    return statSync(this.#file, { throwIfNoEntry: false })?.size === this.#bytes;
  }

  /** Noise, for a file system that compresses would store zeros as nothing. */
  #write(): void {
    const chunk = randomFillSync(Buffer.allocUnsafe(Math.min(chunkBytes, this.#bytes)));
    const handle = openSync(this.#file, "w", 0o600);
    try {
      for (let at = 0; at < this.#bytes;)
        at += writeSync(handle, chunk, 0, Math.min(chunk.length, this.#bytes - at), at);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  }
}
