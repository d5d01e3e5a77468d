/**
 * Who wants to hear of which keys. Prefixes are found by their length, so that a thousand watchers cost a key no more than the
 * number of different lengths among them.
 */
import type { KeyText } from "./key-text.ts";

type OnWake = () => void;

export class Watchers {
  readonly #byLength = new Map<number, Map<KeyText, Set<OnWake>>>();

  get isEmpty(): boolean {
    return this.#byLength.size === 0;
  }

  /** The answer removes it. */
  add(prefix: KeyText, onWake: OnWake): () => void {
    const watch: OnWake = () => onWake(); // the same function may watch twice
    const byPrefix = this.#byLength.get(prefix.length) ?? new Map<KeyText, Set<OnWake>>();
    const watches = byPrefix.get(prefix) ?? new Set();
    watches.add(watch);
    byPrefix.set(prefix, watches);
    this.#byLength.set(prefix.length, byPrefix);
    return () => {
      watches.delete(watch);
      if (watches.size === 0 && byPrefix.get(prefix) === watches) byPrefix.delete(prefix);
      if (byPrefix.size === 0 && this.#byLength.get(prefix.length) === byPrefix) this.#byLength.delete(prefix.length);
    };
  }

  /** Adds those who watch this key. */
  collect(key: KeyText, into: Set<OnWake>): void {
    for (const [length, byPrefix] of this.#byLength) {
      if (length > key.length) continue;
      for (const watch of byPrefix.get(key.slice(0, length)) ?? []) into.add(watch);
    }
  }

  clear(): void {
    this.#byLength.clear();
  }
}
