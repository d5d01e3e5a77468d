/**
 * Users and groups of the host that nobody else has, two for each instance: one that owns the container's own mounts and
 * one that its program runs as. What an instance leaves behind anywhere (a file, a key, a process that hung on) must not
 * belong to the next one, so numbers rest before they are used again, the longest rested first.
 */
import { AloftError } from "../../contract/errors.ts";
import type { Clock } from "../../lib/clock.ts";
import type { HostIds } from "./oci-spec.ts";

export interface HostIdRange {
  readonly first: number;
  readonly count: number;
}

export const idRestMs = 60_000;

export class HostIdPool {
  readonly #range: HostIdRange;
  readonly #clock: Pick<Clock, "monotonicMs">;
  /** In the order of their return. */
  readonly #resting: { readonly ids: HostIds; readonly untilMs: number }[] = [];
  readonly #pairs: number;
  readonly #firstPair: number;
  #taken = 0;

  /** `random`: where in the range to begin, so that a server that starts again does not begin where it left off. */
  constructor(range: HostIdRange, clock: Pick<Clock, "monotonicMs">, random: () => number = Math.random) {
    this.#range = range;
    this.#clock = clock;
    this.#pairs = Math.floor(range.count / 2);
    this.#firstPair = Math.floor(random() * this.#pairs);
  }

  /** Throws SANDBOX_START_FAILED when all are in use or rest. */
  take(): HostIds {
    if (this.#taken < this.#pairs) {
      const owner = this.#range.first + ((this.#firstPair + this.#taken) % this.#pairs) * 2;
      this.#taken += 1;
      return { owner, program: owner + 1 };
    }
    const [oldest] = this.#resting;
    if (oldest !== undefined && this.#clock.monotonicMs() >= oldest.untilMs) {
      this.#resting.shift();
      return oldest.ids;
    }
    throw new AloftError("SANDBOX_START_FAILED", `all ${this.#range.count} user numbers of the sandbox are in use`, {
      hint: `give it a larger range with --sandbox-ids; each instance takes two, and they rest for ${idRestMs / 1000} s`,
    });
  }

  giveBack(ids: HostIds): void {
    this.#resting.push({ ids, untilMs: this.#clock.monotonicMs() + idRestMs });
  }
}
