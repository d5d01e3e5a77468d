/** Bytes into an HTTP answer, no faster than its reader takes them. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";

/** false: the reader is gone, has taken nothing for `idleMs`, or `signal` aborted; the answer is to be cut then. */
export async function writeChunks(
  response: ServerResponse,
  chunks: AsyncIterable<Uint8Array>,
  idleMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  for await (const chunk of chunks) {
    const isTaken = response.write(chunk) || (await drained(response, AbortSignal.timeout(idleMs)));
    if (!isTaken || signal?.aborted === true || response.destroyed) return false;
  }
  return true;
}

/** false: the reader is gone, or has taken nothing before `signal` aborted. */
export async function drained(response: ServerResponse, signal?: AbortSignal): Promise<boolean> {
  const gone = new AbortController();
  const stop = (): void => gone.abort();
  const ended = signal === undefined ? gone.signal : AbortSignal.any([gone.signal, signal]);
  response.once("close", stop);
  try {
    await once(response, "drain", { signal: ended });
    return true;
  } catch (error) {
    if (!ended.aborted) throw error;
    return false;
  } finally {
    response.off("close", stop);
  }
}
