/**
 * Cuts a byte stream into frames. Knows the form of a frame, not its meaning: streams and states are the receiver's.
 *
 * Payloads handed to `onFrame` are views into the chunk that was pushed; a receiver that keeps bytes copies them.
 */
import { flagsAll, frameTypeMax, headBytes, payloadBytesMax } from "./frames.ts";

/** Called for each whole frame: the payload is `bytes[start, end)`. */
export type OnFrame = (type: number, flags: number, stream: number, bytes: Buffer, start: number, end: number) => void;

/** The peer sent something that is not a frame. The connection is of no use any more. */
export class WireError extends Error {
  override readonly name = "WireError";
}

export class FrameReader {
  readonly #onFrame: OnFrame;
  /** Bytes of a frame that has not arrived whole; at most one frame long. */
  #rest: Buffer | null = null;

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame;
  }

  /** Throws WireError. Whatever `onFrame` throws passes through, and the reader must not be used again. */
  push(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#rest !== null) {
      bytes = Buffer.concat([this.#rest, chunk]);
      this.#rest = null;
    }
    const length = bytes.length;
    let at = 0;
    while (length - at >= headBytes) {
      const payloadBytes = bytes.readUInt32LE(at);
      const type = bytes[at + 4] as number;
      const flags = bytes[at + 5] as number;
      if (payloadBytes > payloadBytesMax) {
        throw new WireError(`a frame of ${payloadBytes} payload bytes is over the limit of ${payloadBytesMax}`);
      }
      if (type === 0 || type > frameTypeMax) throw new WireError(`${type} is not a frame type`);
      if ((flags & ~flagsAll) !== 0 || bytes[at + 6] !== 0 || bytes[at + 7] !== 0) {
        throw new WireError(`a frame of type ${type} has reserved bits set`);
      }
      const end = at + headBytes + payloadBytes;
      if (end > length) break;
      this.#onFrame(type, flags, bytes.readUInt32LE(at + 8), bytes, at + headBytes, end);
      at = end;
    }
    if (at < length) this.#rest = Buffer.from(bytes.subarray(at));
  }
}
