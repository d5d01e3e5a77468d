/** A streamed answer with a head of its own: JSON metadata, 8 NUL bytes, then the body. */
import { BadResponse } from "../../node/answer.ts";

export const preludeContentType = "application/vnd.awslambda.http-integration-response";

const delimiter = Buffer.alloc(8);
/** Metadata beyond it is no head of an answer: headers have 64 KiB. */
const preludeBytesMax = 128 * 1024;

export interface Parted {
  /** As JSON says it; unchecked. */
  readonly metadata: unknown;
  readonly body: AsyncIterable<Buffer>;
}

/** Reads as far as the delimiter. Throws BadResponse when there is none, or what stands before it is not JSON. */
export async function partPrelude(stream: AsyncIterable<Buffer>): Promise<Parted> {
  const chunks = stream[Symbol.asyncIterator]();
  let read: Buffer = Buffer.alloc(0);
  try {
    for (;;) {
      const at = read.indexOf(delimiter);
      if (at >= 0) {
        return { metadata: parse(read.subarray(0, at)), body: restOf(read.subarray(at + delimiter.length), chunks) };
      }
      if (read.length > preludeBytesMax)
        throw new BadResponse(`the answer's metadata is over ${preludeBytesMax} bytes`);
      const { done, value } = await chunks.next();
      if (done === true) throw new BadResponse("the answer ended before the 8 NUL bytes behind its metadata");
      read = Buffer.concat([read, value]);
    }
  } catch (error) {
    await chunks.return?.();
    throw error;
  }
}

function parse(json: Buffer): unknown {
  try {
    return JSON.parse(json.toString());
  } catch (error) {
    throw new BadResponse(`the answer's metadata is not JSON: ${(error as Error).message}`);
  }
}

/** Not a generator: one that has not begun would not pass on that nobody wants it. */
function restOf(first: Buffer, chunks: AsyncIterator<Buffer>): AsyncIterable<Buffer> {
  let waiting: Buffer | null = first.length > 0 ? first : null;
  const iterator: AsyncIterator<Buffer> = {
    async next() {
      const value = waiting;
      waiting = null;
      return value === null ? await chunks.next() : { done: false, value };
    },
    async return() {
      await chunks.return?.();
      return { done: true, value: undefined };
    },
  };
  return { [Symbol.asyncIterator]: () => iterator };
}
