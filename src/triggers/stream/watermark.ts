/**
 * How far event time has come in a consumer (rule 12 of docs/exactly-once.md): the least, over the lanes that are not idle, of
 * the latest event time that each has committed. A lane is idle when it is caught up and has been silent for `idleMs`. When
 * all are idle the watermark is the latest event time of any of them.
 *
 * It never goes back: a window that was ended by it stays ended. So what it has been is stored with whatever relied on it, and
 * a consumer that recovers begins from there.
 */
export interface WatermarkOptions {
  readonly lanes: number;
  readonly idleMs: number;
  /** What it has been before; null when it has not begun. */
  readonly floorMs: number | null;
  readonly nowMs: number;
}

interface Lane {
  /** The latest event time that has committed; null when there was none. */
  maxMs: number | null;
  isCaughtUp: boolean;
  /** Since when it has been caught up without a record. */
  silentSinceMs: number;
}

export class Watermark {
  readonly #lanes: Lane[];
  readonly #idleMs: number;
  #valueMs: number | null;

  constructor({ lanes, idleMs, floorMs, nowMs }: WatermarkOptions) {
    this.#idleMs = idleMs;
    this.#valueMs = floorMs;
    this.#lanes = Array.from({ length: lanes }, () => ({ maxMs: null, isCaughtUp: false, silentSinceMs: nowMs }));
  }

  /** A batch of the lane has committed, with this as its latest event time. */
  observe(lane: number, maxMs: number | null, nowMs: number): void {
    const found = this.#lane(lane);
    if (maxMs !== null) found.maxMs = Math.max(found.maxMs ?? maxMs, maxMs);
    found.silentSinceMs = nowMs;
  }

  /** At least so far, whatever the lanes say. */
  raise(ms: number): void {
    this.#valueMs = Math.max(this.#valueMs ?? ms, ms);
  }

  /** False as soon as there is a record for it that has not committed. */
  setCaughtUp(lane: number, isCaughtUp: boolean, nowMs: number): void {
    const found = this.#lane(lane);
    if (found.isCaughtUp !== isCaughtUp) found.silentSinceMs = nowMs;
    found.isCaughtUp = isCaughtUp;
  }

  /** null: nothing is known yet. */
  valueMs(nowMs: number): number | null {
    let least: number | null = null;
    let isHeld = false;
    for (const lane of this.#lanes) {
      if (this.#isIdle(lane, nowMs)) continue;
      if (lane.maxMs === null) isHeld = true;
      else least = Math.min(least ?? lane.maxMs, lane.maxMs);
    }
    if (!isHeld && least === null) least = this.#greatest();
    if (!isHeld && least !== null) this.#valueMs = Math.max(this.#valueMs ?? least, least);
    return this.#valueMs;
  }

  /** When to look again, for a lane becomes idle then and may let it rise; null: not by time alone. */
  nextIdleMs(nowMs: number): number | null {
    let next: number | null = null;
    for (const lane of this.#lanes) {
      if (!lane.isCaughtUp || this.#isIdle(lane, nowMs)) continue;
      const atMs = lane.silentSinceMs + this.#idleMs;
      next = Math.min(next ?? atMs, atMs);
    }
    return next;
  }

  #isIdle(lane: Lane, nowMs: number): boolean {
    return lane.isCaughtUp && nowMs - lane.silentSinceMs >= this.#idleMs;
  }

  #greatest(): number | null {
    let greatest: number | null = null;
    for (const { maxMs } of this.#lanes) if (maxMs !== null) greatest = Math.max(greatest ?? maxMs, maxMs);
    return greatest;
  }

  #lane(lane: number): Lane {
    const found = this.#lanes[lane];
    if (found === undefined) throw new Error(`there is no lane ${lane}`);
    return found;
  }
}
