/**
 * A file that only takes up room. When the disk is full it is removed, and with what that gives back, acknowledgements and deletes
 * go on while everything else is refused. It is made again when there is room for twice its size. On a small disk it is a third
 * of what was free when it was first made.
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, statfsSync, statSync, writeSync } from "node:fs";
import { randomFillSync } from "node:crypto";
import { dirname } from "node:path";

const chunkBytes = 1024 * 1024;
/** With less there is not even room for what acknowledgements and deletes write. */
const leastBytes = 1024 * 1024;
/** Room that was said to be there and was not (a quota) is not looked for with every commit. */
const againMs = 1000;

export class Reserve {
  readonly #file: string;
  readonly #unfinished: string;
  readonly #bytesMax: number;
  /** 0: not known yet. */
  #bytes = 0;
  #failedAtMs = -Infinity;

  constructor(file: string, bytesMax: number) {
    this.#file = file;
    this.#unfinished = `${file}.new`;
    this.#bytesMax = bytesMax;
  }

  /** false: there is no room for it. */
  take(): boolean {
    if (this.#bytesMax === 0 || this.#isThere()) return true;
    const { bavail, bsize } = statfsSync(dirname(this.#file));
    const free = bavail * bsize;
    const bytes = this.#bytes === 0 ? Math.min(this.#bytesMax, Math.floor(free / 3)) : this.#bytes;
    if (bytes < Math.min(leastBytes, this.#bytesMax) || free < 2 * bytes) return false;
    if (performance.now() - this.#failedAtMs < againMs) return false;
    try {
      this.#write(bytes);
      this.#bytes = bytes;
      return true;
    } catch {
      this.#failedAtMs = performance.now();
      this.release();
      return false;
    }
  }

  release(): void {
    rmSync(this.#file, { force: true });
    rmSync(this.#unfinished, { force: true });
  }

  /** Of the size that it was made with, in an earlier run too. */
  #isThere(): boolean {
    const found = statSync(this.#file, { throwIfNoEntry: false })?.size ?? 0;
    if (found === 0 || found > this.#bytesMax) return false;
    if (this.#bytes === 0) this.#bytes = found;
    return found === this.#bytes;
  }

  /** Noise, for a file system that compresses would store zeros as nothing. */
  #write(bytes: number): void {
    const chunk = randomFillSync(Buffer.allocUnsafe(Math.min(chunkBytes, bytes)));
    const handle = openSync(this.#unfinished, "w", 0o600);
    try {
      for (let at = 0; at < bytes;) at += writeSync(handle, chunk, 0, Math.min(chunk.length, bytes - at), at);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(this.#unfinished, this.#file);
  }
}
