/** Bytes read in order from a stream or a file, with bodies that nobody wants passed over: in a file without reading them. */
import type { FileHandle } from "node:fs/promises";

export interface ByteSource {
  /** How many bytes have been taken or skipped. */
  readonly position: number;
  /** The next ones, at most so many and at least one; null at the end. */
  take(bytesMax: number): Promise<Buffer | null>;
  /** false: it ended before. */
  skip(bytes: number): Promise<boolean>;
}

/** Exactly so many bytes, fewer only where the source ends. For small numbers: they are all in memory. */
export async function takeExactly(source: ByteSource, bytes: number): Promise<Buffer> {
  const first = await source.take(bytes);
  if (first === null) return Buffer.alloc(0);
  if (first.length === bytes) return first;
  const parts = [first];
  for (let left = bytes - first.length; left > 0;) {
    const part = await source.take(left);
    if (part === null) break;
    parts.push(part);
    left -= part.length;
  }
  return Buffer.concat(parts);
}

export function sourceOfChunks(chunks: AsyncIterable<Uint8Array>): ByteSource {
  const iterator = chunks[Symbol.asyncIterator]();
  let rest: Buffer = Buffer.alloc(0);
  let position = 0;

  async function fill(): Promise<boolean> {
    while (rest.length === 0) {
      const { done, value } = await iterator.next();
      if (done === true) return false;
      rest = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    return true;
  }

  function cut(bytesMax: number): Buffer {
    const part = rest.subarray(0, bytesMax);
    rest = rest.subarray(part.length);
    position += part.length;
    return part;
  }

  return {
    get position() {
      return position;
    },
    async take(bytesMax) {
      return (await fill()) ? cut(bytesMax) : null;
    },
    async skip(bytes) {
      for (let left = bytes; left > 0;) {
        if (!(await fill())) return false;
        left -= cut(left).length;
      }
      return true;
    },
  };
}

const fileChunkBytes = 256 * 1024;

/** `bytes`: the file's size. */
export function sourceOfFile(handle: FileHandle, bytes: number): ByteSource {
  let position = 0;
  return {
    get position() {
      return position;
    },
    async take(bytesMax) {
      const buffer = Buffer.allocUnsafe(Math.min(bytesMax, fileChunkBytes));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
      position += bytesRead;
      return bytesRead === 0 ? null : buffer.subarray(0, bytesRead);
    },
    async skip(skipped) {
      const isThere = position + skipped <= bytes;
      position = Math.min(bytes, position + skipped);
      return isThere;
    },
  };
}
