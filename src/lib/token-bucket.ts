/**
 * A token bucket: `ratePerSecond` on average, `burst` at once. It holds at most `burst` tokens and begins full; time is passed
 * in, monotonic milliseconds, so that it has no timer and costs two numbers.
 */
export class TokenBucket {
  readonly #ratePerMs: number;
  readonly #burst: number;
  #tokens: number;
  #filledAtMs: number;

  constructor(ratePerSecond: number, burst: number, nowMs: number) {
    this.#ratePerMs = ratePerSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
    this.#filledAtMs = nowMs;
  }

  /** Takes `count` tokens, or none and says false. */
  take(nowMs: number, count = 1): boolean {
    this.#fill(nowMs);
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** Milliseconds until `count` tokens are there; 0 when they are, infinite when there never will be. */
  waitMs(nowMs: number, count = 1): number {
    this.#fill(nowMs);
    if (count > this.#burst) return Infinity;
    return this.#tokens >= count ? 0 : (count - this.#tokens) / this.#ratePerMs;
  }

  #fill(nowMs: number): void {
    if (nowMs <= this.#filledAtMs) return;
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#filledAtMs) * this.#ratePerMs);
    this.#filledAtMs = nowMs;
  }
}
