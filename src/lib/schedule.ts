/** Calls `work` once, after so many milliseconds. The answer takes it back. Passed in, so that tests and simulations move time. */
export type Schedule = (delayMs: number, work: () => void) => () => void;

/** What setTimeout can wait for; longer waits look again in between. */
const delayMsMax = 2 ** 31 - 1;

/** Does not keep the process running. */
export const systemSchedule: Schedule = (delayMs, work) => {
  const timeout = setTimeout(work, Math.min(Math.max(0, delayMs), delayMsMax)).unref();
  return () => clearTimeout(timeout);
};

/** For tests: what is due happens when time is moved, in the order of its time. */
export class ManualSchedule {
  readonly #due = new Set<{ readonly atMs: number; readonly work: () => void }>();
  readonly #advance: (ms: number) => void;
  #nowMs = 0;

  /** `advance` moves the clock along. */
  constructor(advance: (ms: number) => void) {
    this.#advance = advance;
  }

  /** How many works wait. */
  get size(): number {
    return this.#due.size;
  }

  readonly schedule: Schedule = (delayMs, work) => {
    const due = { atMs: this.#nowMs + Math.max(0, delayMs), work };
    this.#due.add(due);
    return () => this.#due.delete(due);
  };

  /** Promises settle between two works. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settled();
    for (let next = this.#earliest(endMs); next !== null; next = this.#earliest(endMs)) {
      this.#due.delete(next);
      this.#move(Math.max(next.atMs, this.#nowMs));
      next.work();
      await settled();
    }
    this.#move(endMs);
    await settled();
  }

  #move(toMs: number): void {
    this.#advance(toMs - this.#nowMs);
    this.#nowMs = toMs;
  }

  #earliest(endMs: number): { readonly atMs: number; readonly work: () => void } | null {
    let earliest: { readonly atMs: number; readonly work: () => void } | null = null;
    for (const due of this.#due)
      if (due.atMs <= endMs && (earliest === null || due.atMs < earliest.atMs)) earliest = due;
    return earliest;
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
