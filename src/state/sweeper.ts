/**
 * Removes what deleted apps have left in the keyspace: in slices, one after the other, so that no commit waits long for
 * any of it (rule 6).
 */
import { type Environment, KeyClass } from "../contract/durable.ts";
import type { Keyspace } from "../contract/keyspace.ts";
import { decodeTuple, tupleRange } from "../contract/tuple.ts";
import { deleteInSlices } from "./delete-slices.ts";

const swept = [
  KeyClass.queue,
  KeyClass.stream,
  KeyClass.kv,
  KeyClass.blob,
  KeyClass.cron,
  KeyClass.async,
  KeyClass.subscription,
];

export interface Sweeper {
  /** Resolves when nothing is left to be swept, or it was closed. */
  sweep(): Promise<void>;
  /** Resolves when the slice under way is done. */
  close(): Promise<void>;
}

/** `onSwept` is told of an environment before it is forgotten: what it has outside the keyspace goes too. */
export function createSweeper(
  keyspace: Keyspace,
  pause: () => Promise<void>,
  onSwept: (environment: Pick<Environment, "id" | "generation">) => Promise<void> = () => Promise.resolve(),
): Sweeper {
  let running: Promise<void> = Promise.resolve();
  const closing = new AbortController();
  const { signal } = closing;

  async function sweepAll(): Promise<void> {
    const { entries } = await keyspace.range(tupleRange([KeyClass.meta, "retired"]));
    for (const { key } of entries) {
      const [, , id, generation] = decodeTuple(key) as [string, string, number, number];
      for (const keyClass of swept) {
        await deleteInSlices(keyspace, tupleRange([keyClass, id, generation]), {
          isStopped: () => signal.aborted,
          pause,
        });
      }
      if (signal.aborted) return;
      await onSwept({ id, generation });
      await keyspace.commit({ checks: [], writes: [{ kind: "delete", key }] });
    }
  }

  return {
    sweep() {
      running = running.then(() => (signal.aborted ? undefined : sweepAll()));
      const own = running;
      running = own.catch(() => {});
      return own;
    },
    async close() {
      closing.abort();
      await running;
    },
  };
}
