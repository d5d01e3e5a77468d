/**
 * Gathers frames into as few writes as possible: everything that is written during one turn of the event loop leaves in
 * one piece, at the turn's end. `flush()` sends at once what must not wait.
 */
import { Flag, FrameType, headBytes, payloadBytesMax } from "./frames.ts";

/** Takes over the bytes; calls `sent` when they have left and the buffer may be used again. */
export type Send = (bytes: Buffer, sent: () => void) => void;

const bufferBytes = 64 * 1024;
/** Spare buffers kept for reuse; more than this were needed only by a burst. */
const spareMax = 2;

export class FrameWriter {
  readonly #send: Send;
  readonly #spare: Buffer[] = [];
  #buffer: Buffer | null = null;
  #at = 0;
  #scheduled = false;
  #unsentBytes = 0;
  #closed = false;

  constructor(send: Send) {
    this.#send = send;
  }

  /** Bytes written and not yet taken by the operating system. */
  get unsentBytes(): number {
    return this.#unsentBytes + this.#at;
  }

  close(): void {
    this.#closed = true;
    this.#at = 0;
    this.#buffer = null;
    this.#spare.length = 0;
  }

  /** A frame with a payload of bytes; longer payloads are the caller's to cut (`chunked`). */
  bytes(type: number, flags: number, stream: number, payload: Uint8Array): void {
    const buffer = this.#open(type, flags, stream, payload.length);
    if (buffer === null) return;
    buffer.set(payload, this.#at + headBytes);
    this.#at += headBytes + payload.length;
  }

  empty(type: number, flags: number, stream: number): void {
    if (this.#open(type, flags, stream, 0) !== null) this.#at += headBytes;
  }

  u32(type: number, stream: number, value: number): void {
    const buffer = this.#open(type, 0, stream, 4);
    if (buffer === null) return;
    buffer.writeUInt32LE(value >>> 0, this.#at + headBytes);
    this.#at += headBytes + 4;
  }

  /** JSON of any length, in as many frames as it takes. */
  json(type: number, stream: number, value: unknown): void {
    this.chunked(type, 0, stream, Buffer.from(JSON.stringify(value)));
  }

  /** Bytes of any length; every frame but the last has the flag `more` and none of `flags`. */
  chunked(type: number, flags: number, stream: number, payload: Uint8Array): void {
    let at = 0;
    while (payload.length - at > payloadBytesMax) {
      this.bytes(type, Flag.more, stream, payload.subarray(at, at + payloadBytesMax));
      at += payloadBytesMax;
    }
    this.bytes(type, flags, stream, payload.subarray(at));
  }

  /** Body bytes of any length; only the last frame carries `flags`. */
  body(flags: number, stream: number, payload: Uint8Array): void {
    let at = 0;
    while (payload.length - at > payloadBytesMax) {
      this.bytes(FrameType.body, 0, stream, payload.subarray(at, at + payloadBytesMax));
      at += payloadBytesMax;
    }
    this.bytes(FrameType.body, flags, stream, payload.subarray(at));
  }

  /**
   * Opens a frame whose payload is at most `payloadBytes` and returns the buffer with the payload's place, so that hot
   * frames are written in place: `const at = writer.begin(...); writer.buffer.write...; writer.finish(actualBytes)`.
   * -1 when the connection is closed.
   */
  begin(type: number, flags: number, stream: number, payloadBytes: number): number {
    if (this.#open(type, flags, stream, payloadBytes) === null) return -1;
    return this.#at + headBytes;
  }

  get buffer(): Buffer {
    return this.#buffer as Buffer;
  }

  /** Ends the frame opened by `begin` with the length it came to. */
  finish(payloadBytes: number): void {
    (this.#buffer as Buffer).writeUInt32LE(payloadBytes, this.#at);
    this.#at += headBytes + payloadBytes;
  }

  /** Hands everything gathered to `send` now. */
  flush(): void {
    const buffer = this.#buffer;
    const bytes = this.#at;
    if (buffer === null || bytes === 0) return;
    this.#buffer = null;
    this.#at = 0;
    this.#unsentBytes += bytes;
    this.#send(buffer.subarray(0, bytes), () => {
      this.#unsentBytes -= bytes;
      if (this.#spare.length < spareMax && !this.#closed) this.#spare.push(buffer);
    });
  }

  #open(type: number, flags: number, stream: number, payloadBytes: number): Buffer | null {
    if (this.#closed) return null;
    if (payloadBytes > payloadBytesMax)
      throw new RangeError(`payload of ${payloadBytes} bytes is over the frame limit`);
    if (this.#at + headBytes + payloadBytes > bufferBytes) this.flush();
    let buffer = this.#buffer;
    if (buffer === null) {
      buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(bufferBytes);
      this.#buffer = buffer;
    }
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(this.#onTurnEnd);
    }
    const at = this.#at;
    buffer.writeUInt32LE(payloadBytes, at);
    buffer[at + 4] = type;
    buffer[at + 5] = flags;
    buffer[at + 6] = 0;
    buffer[at + 7] = 0;
    buffer.writeUInt32LE(stream, at + 8);
    return buffer;
  }

  readonly #onTurnEnd = (): void => {
    this.#scheduled = false;
    this.flush();
  };
}
