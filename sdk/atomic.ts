import { stateHost } from "./state-host.ts";

/**
 * Commits everything that `work` writes together, or nothing of it, under the check that what it has read (lists included)
 * still holds; when it does not, `work` runs again, so it should do nothing to the world outside. For handlers of requests and
 * `fn`; an event's handler is one such block as a whole, and a block within another belongs to it. What `work` throws is
 * thrown, and nothing is written. Rejects with the code `HOT_KEY` after 100 runs that others overtook.
 *
 *     const isSold = await atomic(async () => {
 *       const left = (await stock.get(item)) ?? 0;
 *       if (left > 0) await stock.set(item, left - 1);
 *       return left > 0;
 *     });
 */
export async function atomic<T>(work: () => Promise<T>): Promise<T> {
  return await stateHost().atomic(work);
}
