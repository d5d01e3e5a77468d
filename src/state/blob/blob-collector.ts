/** Runs after what may have freed contents, and once for each environment after a start; one environment at a time. */
import { limits } from "../../contract/limits.ts";
import type { BlobContents } from "./blob-contents.ts";
import type { Place } from "./blob-keys.ts";

export interface BlobCollector {
  /** What the environment no longer names is removed in a while. */
  soon(environment: Place): void;
  /** Collects what is due now. */
  collect(): Promise<void>;
  close(): Promise<void>;
}

export function createBlobCollector(contents: BlobContents, onError: (error: unknown) => void): BlobCollector {
  const due = new Map<string, Place>();
  const closing = new AbortController();
  let running: Promise<void> = Promise.resolve();
  const timer = setInterval(() => void collect(), limits.blobCollectMs).unref();

  function soon({ id, generation }: Place): void {
    due.set(`${id} ${generation}`, { id, generation });
  }

  function collect(): Promise<void> {
    running = running.then(collectDue);
    return running;
  }

  async function collectDue(): Promise<void> {
    const environments = [...due.values()];
    due.clear();
    for (const environment of environments) {
      if (closing.signal.aborted) return;
      try {
        if (await contents.collect(environment)) soon(environment);
      } catch (error) {
        soon(environment);
        onError(error);
      }
    }
  }

  return {
    soon,
    collect,
    async close() {
      closing.abort();
      clearInterval(timer);
      await running;
    },
  };
}
