/** The body of an upload that no function takes. */
import type { IncomingMessage } from "node:http";
import { AloftError } from "../../contract/errors.ts";
import { limits } from "../../contract/limits.ts";

/**
 * Its bytes, no faster than they are taken. Throws BODY_TOO_LARGE as soon as there are too many, REQUEST_TIMEOUT when none come
 * for limits.responseIdleMs, and Node's own error when the client is gone. The request stays open: it can still be answered.
 */
export async function* bodyWithin(
  req: IncomingMessage,
  contentLength: number,
  bytesMax: number,
): AsyncGenerator<Uint8Array> {
  if (contentLength > bytesMax) throw tooLarge(`of ${contentLength} bytes`, bytesMax);
  const chunks = req.iterator({ destroyOnReturn: false });
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await inTime(chunks.next());
      if (done === true) return;
      bytes += (value as Buffer).length;
      if (bytes > bytesMax) throw tooLarge("", bytesMax);
      yield value as Buffer;
    }
  } finally {
    // Not waited for: it comes behind a byte that may never come.
    void chunks.return?.();
  }
}

/** Resolves when the client has read the refusal and ended, or has sent as much, or as long, as is let through. */
export async function letThrough(req: IncomingMessage): Promise<void> {
  if (req.complete || req.destroyed) return;
  let bytes = 0;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, limits.refusedBodyMs);
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    req.once("end", end).once("close", end).once("error", end);
    req.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > limits.refusedBodyBytes) end();
    });
    req.resume();
  });
}

async function inTime<T>(next: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const error = (): AloftError =>
      new AloftError("REQUEST_TIMEOUT", `no byte of the upload has come for ${limits.responseIdleMs / 1000} s`);
    timer = setTimeout(() => reject(error()), limits.responseIdleMs);
  });
  // Nobody waits for it after it was late.
  next.catch(() => {});
  try {
    return await Promise.race([next, late]);
  } finally {
    clearTimeout(timer);
  }
}

function tooLarge(what: string, bytesMax: number): AloftError {
  const message = `the upload ${what === "" ? "" : `${what} `}is over the ${bytesMax} bytes that the link is for`;
  return new AloftError("BODY_TOO_LARGE", message);
}
