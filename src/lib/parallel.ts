/** Calls `work` for every item, at most `limit` at once; stops taking items at the first failure and rejects with it. */
export async function forEachParallel<T>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items[Symbol.iterator]();
  let failed = false;
  async function takeAll(): Promise<void> {
    for (let next = rest.next(); next.done !== true && !failed; next = rest.next()) {
      try {
        await work(next.value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  }
  // All of them settle before the rejection, so that nothing of this runs on when the caller cleans up.
  const outcomes = await Promise.allSettled(Array.from({ length: limit }, takeAll));
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}
