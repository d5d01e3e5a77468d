/**
 * What is there, then what comes, as one stream without a gap and without doubles. Following begins before the look at
 * what is stored; whatever was accepted in between is in both and is sent once.
 */
export interface FollowOptions<T> {
  readonly subscribe: (onValue: (value: T) => void) => () => void;
  /** Oldest first. */
  readonly listStored: () => Promise<readonly T[]>;
  readonly signal: AbortSignal;
  /** Stands in the stream where a slow reader lost so many; absent: nothing does. */
  readonly lost?: (count: number) => T;
}

const waitingMax = 10_000; // values for a reader that is slower than what comes; more are dropped and counted

export async function* follow<T>({ subscribe, listStored, signal, lost }: FollowOptions<T>): AsyncGenerator<T> {
  let waiting: T[] = [];
  let lostCount = 0;
  let wake = (): void => {};
  const stop = subscribe((value) => {
    if (waiting.length < waitingMax) waiting.push(value);
    else lostCount++;
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort);
  try {
    const stored = await listStored();
    const also = countByText(waiting);
    for (const value of stored) {
      const text = JSON.stringify(value);
      const count = also.get(text) ?? 0;
      if (count > 0) also.set(text, count - 1);
      else yield value;
    }
    while (!signal.aborted) {
      const values = waiting;
      const count = lostCount;
      [waiting, lostCount] = [[], 0];
      yield* values;
      if (count > 0 && lost !== undefined) yield lost(count);
      if (waiting.length > 0 || signal.aborted) continue;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    stop();
  }
}

function countByText(values: readonly unknown[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const value of values) {
    const text = JSON.stringify(value);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return counts;
}
