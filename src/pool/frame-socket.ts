/**
 * The node's end of an instance's socket. Two things must hold here:
 *
 * - What the instance wrote before it died is read first: `begun` among it decides what may run elsewhere. Node closes a
 *   socket, unread bytes and all, when a write to it fails. So writes go to the descriptor itself and fail unheard; that
 *   the other end is gone is learned by reading.
 * - An instance that does not read cannot make this process hold ever more: beyond a bound of unsent bytes it is not read
 *   either, so it gets no answers to further questions.
 */
import { writeSync } from "node:fs";
import type { Socket } from "node:net";
import { limits } from "../contract/limits.ts";
import { FrameReader, type OnFrame, WireError } from "../wire/reader.ts";
import { FrameWriter } from "../wire/writer.ts";

export class FrameSocket {
  readonly writer: FrameWriter;
  /** Resolves when nothing more can come. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  #pendingWrites = 0;
  #isPaused = false;
  /** The instance broke the protocol: what it still writes has no meaning. */
  #isBroken = false;
  #isCut = false;

  /** `onViolation` is called at most once, and no frame after it. */
  constructor(socket: Socket, onFrame: OnFrame, onViolation: (message: string) => void) {
    this.#socket = socket;
    this.writer = new FrameWriter(this.#send);
    const reader = new FrameReader(onFrame);
    socket.on("data", (chunk: Buffer) => {
      if (this.#isBroken) return;
      try {
        reader.push(chunk);
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        this.#isBroken = true;
        onViolation(error.message);
      }
    });
    socket.on("error", () => {
      // With bytes waiting to be read, they are lost with the socket.
      if (this.#isPaused) this.#isCut = true;
    });
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
  }

  /**
   * The process has ended: reads what it left behind. false: some of it may be lost, so nothing can be said of what has
   * not begun.
   */
  async readRest(withinMs: number): Promise<boolean> {
    this.#resume();
    const timer = setTimeout(() => {
      this.#isCut = true;
      this.#socket.destroy();
    }, withinMs);
    await this.closed;
    clearTimeout(timer);
    return !this.#isCut && !this.#isBroken;
  }

  readonly #send = (bytes: Buffer, sent: () => void): void => {
    const taken = this.#pendingWrites === 0 ? this.#writeNow(bytes) : 0;
    if (taken === bytes.length) {
      sent();
      return;
    }
    this.#pendingWrites += 1;
    this.#socket.write(taken === 0 ? bytes : bytes.subarray(taken), () => {
      this.#pendingWrites -= 1;
      sent();
      if (this.#isPaused && this.writer.unsentBytes < limits.unsentBytesPerInstance / 2) this.#resume();
    });
    if (!this.#isPaused && this.writer.unsentBytes > limits.unsentBytesPerInstance) {
      this.#isPaused = true;
      this.#socket.pause();
    }
  };

  /** How many bytes the kernel took at once; all of them when nobody is left to read them. */
  #writeNow(bytes: Buffer): number {
    // Asked for each time: the number of a closed descriptor may be somebody else's.
    const descriptor = (this.#socket as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
    if (descriptor < 0) return this.#socket.destroyed ? bytes.length : 0;
    try {
      return writeSync(descriptor, bytes);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "EAGAIN" ? 0 : bytes.length;
    }
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#socket.resume();
  }
}
