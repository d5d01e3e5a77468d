/** Ends what a test opened in reverse order; the runner's own hooks run in the order they were given. */
export interface Scope {
  after(end: () => Promise<void> | void): void;
}

/** `t`: a test, or the `after` of a suite. */
export function lastFirst(t: { after(end: () => Promise<void>): void }): Scope {
  const ends: (() => Promise<void> | void)[] = [];
  t.after(async () => {
    for (const end of ends.toReversed()) await end();
  });
  return { after: (end) => void ends.push(end) };
}
