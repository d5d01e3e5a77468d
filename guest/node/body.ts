/**
 * A request's body as it comes over the wire: whole with the invocation, or in pieces that are asked for by credit.
 * Read once, as bytes or as a stream.
 */

/** How the source tells the node that there is room for more. */
export type Grant = (bytes: number) => void;

export class BodySource {
  readonly #grant: Grant;
  #chunks: Buffer[] = [];
  #isComplete: boolean;
  #error: Error | null = null;
  #wake: (() => void) | null = null;

  /** `isComplete`: `first` is all there is. */
  constructor(first: Buffer | null, isComplete: boolean, grant: Grant) {
    if (first !== null && first.length > 0) this.#chunks.push(first);
    this.#isComplete = isComplete;
    this.#grant = grant;
  }

  /** From the wire. The bytes are kept, so they must be the caller's to give away. */
  push(chunk: Buffer, isLast: boolean): void {
    if (this.#isComplete || this.#error !== null) return;
    if (chunk.length > 0) this.#chunks.push(chunk);
    if (isLast) this.#isComplete = true;
    this.#notify();
  }

  /** The sender went away: whoever reads gets this error. */
  fail(error: Error): void {
    if (this.#isComplete || this.#error !== null) return;
    this.#error = error;
    this.#notify();
  }

  /** All of it. */
  async bytes(): Promise<Buffer> {
    if (this.#isComplete && this.#chunks.length <= 1) return this.#chunks.pop() ?? Buffer.alloc(0);
    const parts: Buffer[] = [];
    for (;;) {
      const chunk = await this.#next();
      if (chunk === null) break;
      parts.push(chunk);
    }
    return Buffer.concat(parts);
  }

  stream(): ReadableStream<Uint8Array> {
    const next = (): Promise<Buffer | null> => this.#next();
    const abandon = (): void => this.#abandon();
    return new ReadableStream(
      {
        type: "bytes",
        async pull(controller) {
          const chunk = await next();
          if (chunk === null) {
            controller.close();
            // A byob reader waits for this answer after the close.
            controller.byobRequest?.respond(0);
            return;
          }
          // Copied, because a byte stream takes its chunks' memory away and small buffers share theirs.
          controller.enqueue(new Uint8Array(chunk));
        },
        cancel: abandon,
      },
      { highWaterMark: 0 },
    );
  }

  /** The rest is not wanted: it is let through and dropped. */
  #abandon(): void {
    this.#chunks = [];
    void this.bytes().catch(() => {});
  }

  async #next(): Promise<Buffer | null> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        if (!this.#isComplete) this.#grant(chunk.length);
        return chunk;
      }
      if (this.#error !== null) throw this.#error;
      if (this.#isComplete) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }
}
