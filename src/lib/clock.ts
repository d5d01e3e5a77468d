/** Time as it is passed in, so that whatever depends on it can be driven by hand. */
export interface Clock {
  /** Epoch milliseconds by the wall clock; may step. */
  nowMs(): number;
  /** Monotonic milliseconds with a fraction, from an arbitrary beginning. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** A clock for tests: it moves when told to. */
export class ManualClock implements Clock {
  #nowMs: number;
  #monotonicMs = 0;

  constructor(nowMs = 1_700_000_000_000) {
    this.#nowMs = nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    this.#monotonicMs += ms;
  }

  /** Somebody sets the clock: the monotonic one knows nothing of it. */
  stepWall(ms: number): void {
    this.#nowMs += ms;
  }
}
