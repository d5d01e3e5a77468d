/** Waits for what comes about by itself: asks again and again, and says what was missing when it never comes. */
import { readFile } from "node:fs/promises";

const everyMs = 10;
const boundMs = 30_000;

/** The first answer that is neither null, undefined nor false. The bound only ends a test that would hang. */
export async function until<T>(
  what: string,
  attempt: () => Promise<T | null | undefined | false> | T | null | undefined | false,
): Promise<T> {
  const endMs = performance.now() + boundMs;
  let lastError: unknown;
  for (;;) {
    try {
      const found = await attempt();
      if (found !== null && found !== undefined && found !== false) return found;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > endMs) throw new Error(`waited in vain: ${what}`, { cause: lastError });
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** Whether a process of this number runs; one that has ended and was not waited for counts as ended. */
export async function hasEnded(pid: number): Promise<boolean> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
  } catch {
    return true;
  }
}
