/**
 * Due times in the keyspace, for millions of them: keys (prefix, due time, ...), read from the front in windows, and one alarm for
 * the earliest that is not due yet. Nothing of it is held in memory between two readings.
 *
 * Who uses it writes and deletes the keys, each in the commit that it belongs to: an entry that is due is handed out until it
 * is gone, after a crash too. So a handler that fails loses nothing, and one that has succeeded has deleted its entry.
 */
import type { Entry, Keyspace } from "../contract/keyspace.ts";
import { decodeTuple, encodeTuple, type Tuple, tupleRange } from "../contract/tuple.ts";
import type { Alarms } from "./alarms.ts";

/** Entries handed out together. */
const windowEntries = 256;
/** Entries that a handler has left are tried again after this long. */
const againMs = 1_000;
/** With so many of them, nothing further is handed out until then. */
const leftMost = 1_024;

export interface DueIndexOptions {
  readonly keyspace: Keyspace;
  readonly alarms: Alarms;
  readonly prefix: Tuple;
  /** Gets entries whose time has come, the earliest first; resolves when it is done with them. Its errors are told to onError. */
  readonly onDue: (entries: readonly Entry[]) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

export interface DueIndex {
  /** Looks again: for who cannot rely on a wake-up. */
  look(): void;
  /** Resolves when no handler of it runs any more. */
  close(): Promise<void>;
}

/** Begins with a look. */
export function openDueIndex(options: DueIndexOptions): DueIndex {
  const { keyspace, alarms, prefix } = options;
  const { start, end } = tupleRange(prefix);
  const alarm = alarms.create(look);
  const unwatch = keyspace.watch(encodeTuple(prefix), look);
  let looking: Promise<void> | null = null;
  /** Handed out and still there: not again before `againAtMs`. */
  const left = new Set<string>();
  let againAtMs = 0;
  let isStale = false;
  const closed = new AbortController();

  function look(): void {
    isStale = true;
    looking ??= lookUntilFresh().finally(() => {
      looking = null;
    });
  }

  async function lookUntilFresh(): Promise<void> {
    while (isStale && !closed.signal.aborted) {
      isStale = false;
      try {
        alarm.set(await handOut());
      } catch (error) {
        options.onError(error);
        alarm.set(keyspace.clock.nowMs() + againMs);
      }
    }
  }

  /** When to look next. */
  async function handOut(): Promise<number | null> {
    const beganMs = keyspace.clock.nowMs();
    if (beganMs >= againAtMs) left.clear();
    for (let from = start; !closed.signal.aborted;) {
      const nowMs = keyspace.clock.nowMs();
      const { entries } = await keyspace.range({ start: from, end, limit: windowEntries });
      const due = entries.filter(({ key }) => dueMsOf(key, prefix) <= nowMs);
      const fresh = due.filter(({ key }) => !left.has(textOf(key)));
      if (fresh.length > 0) {
        await options.onDue(fresh);
        await noteLeft(fresh);
      }
      const next = entries[due.length];
      if (next !== undefined || entries.length < windowEntries || left.size >= leftMost) {
        const nextMs = next === undefined ? null : dueMsOf(next.key, prefix);
        return left.size === 0 ? nextMs : Math.min(nextMs ?? Infinity, againAtMs);
      }
      from = after((due.at(-1) as Entry).key);
    }
    return null;
  }

  async function noteLeft(entries: readonly Entry[]): Promise<void> {
    const kept = await keyspace.get(entries.map(({ key }) => key));
    if (left.size === 0) againAtMs = keyspace.clock.nowMs() + againMs;
    for (const entry of kept) if (entry !== null) left.add(textOf(entry.key));
  }

  look();
  return {
    look,
    async close() {
      closed.abort();
      unwatch();
      alarm.set(null);
      await looking;
    },
  };
}

function dueMsOf(key: Uint8Array, prefix: Tuple): number {
  return Number(decodeTuple(key)[prefix.length]);
}

function textOf(key: Uint8Array): string {
  return Buffer.prototype.latin1Slice.call(key, 0, key.length);
}

/** The smallest key behind this one. */
function after(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
