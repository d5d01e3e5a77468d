/** Ends what a test opened in reverse order; the runner's own hooks run in the order they were given. */
import type { TestContext } from "node:test";

export interface Scope {
  after(end: () => Promise<void> | void): void;
}

export function lastFirst(t: Pick<TestContext, "after">): Scope {
  const ends: (() => Promise<void> | void)[] = [];
  t.after(async () => {
    for (const end of ends.toReversed()) await end();
  });
  return { after: (end) => void ends.push(end) };
}
