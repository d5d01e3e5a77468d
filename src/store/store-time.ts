/**
 * The store's clock on the server's thread: the wall clock, held so that it never goes back, not even behind what an earlier
 * run of the server has committed. Says so once when it has to stand still for more than a moment.
 */
import type { StoreClock } from "../contract/keyspace.ts";
import type { Clock } from "../lib/clock.ts";

/** Clocks are slewed by less than this all the time; nobody wants to hear of it. */
const tellBehindMs = 1000;

export class StoreTime implements StoreClock {
  readonly #clock: Clock;
  readonly #onWarning: (text: string) => void;
  #lastMs: number;
  #isBehind = false;

  /** `committedMs`: the last time that the store has committed, 0 when it is new. */
  constructor(clock: Clock, committedMs: number, onWarning: (text: string) => void) {
    this.#clock = clock;
    this.#lastMs = committedMs;
    this.#onWarning = onWarning;
  }

  nowMs(): number {
    const wallMs = this.#clock.nowMs();
    if (wallMs >= this.#lastMs) {
      this.#lastMs = wallMs;
      this.#isBehind = false;
    } else if (!this.#isBehind && this.#lastMs - wallMs > tellBehindMs) {
      this.#isBehind = true;
      const seconds = Math.round((this.#lastMs - wallMs) / 1000);
      this.#onWarning(
        `the wall clock is ${seconds} s behind the store's, whose time stands still until it has caught up`,
      );
    }
    return this.#lastMs;
  }

  /** Time that the store has committed and this process has not seen. */
  atLeast(committedMs: number): void {
    if (committedMs > this.#lastMs) this.#lastMs = committedMs;
  }
}
