/**
 * An ordered map of strings in memory: a hash map for the values and one sorted array for the order. Ten thousand apps
 * are some fifty thousand keys; at that size moving the tail of an array costs less than the nodes of a tree.
 */
import type { MetaCell, MetaEntry } from "./meta-store.ts";

/** From this many new keys at once, sorting anew (the sort finds the two runs) beats inserting one by one. */
const bulkKeys = 32;

export class OrderedMap {
  readonly #values = new Map<string, string>();
  #keys: string[] = [];

  get(key: string): string | null {
    return this.#values.get(key) ?? null;
  }

  list(prefix: string): MetaEntry[] {
    const entries: MetaEntry[] = [];
    for (let at = this.#position(prefix); at < this.#keys.length; at++) {
      const key = this.#keys[at];
      if (key === undefined || !key.startsWith(prefix)) break;
      entries.push({ key, value: this.#values.get(key) ?? "" });
    }
    return entries;
  }

  /** Of several writes to one key the last one counts. */
  apply(writes: readonly MetaCell[]): void {
    const added: string[] = [];
    const removed: string[] = [];
    for (const [key, value] of new Map(writes.map((cell) => [cell.key, cell.value]))) {
      const known = this.#values.has(key);
      if (value === null) {
        this.#values.delete(key);
        if (known) removed.push(key);
      } else {
        this.#values.set(key, value);
        if (!known) added.push(key);
      }
    }
    this.#insert(added);
    this.#remove(removed);
  }

  /** As `apply`, for the many writes of a file: the order is made once, by `sortLoaded` after the last of them. */
  load(writes: readonly MetaCell[]): void {
    for (const { key, value } of writes) {
      if (value === null) this.#values.delete(key);
      else this.#values.set(key, value);
    }
  }

  sortLoaded(): void {
    this.#keys = [...this.#values.keys()].sort(byCodeUnit);
  }

  *entries(): Generator<MetaEntry> {
    for (const key of this.#keys) yield { key, value: this.#values.get(key) ?? "" };
  }

  #insert(keys: readonly string[]): void {
    if (keys.length < bulkKeys) {
      for (const key of keys) this.#keys.splice(this.#position(key), 0, key);
      return;
    }
    for (const key of keys) this.#keys.push(key);
    this.#keys.sort(byCodeUnit);
  }

  #remove(keys: readonly string[]): void {
    if (keys.length < bulkKeys) {
      for (const key of keys) this.#keys.splice(this.#position(key), 1);
      return;
    }
    const gone = new Set(keys);
    this.#keys = this.#keys.filter((key) => !gone.has(key));
  }

  /** Index of the first key that is not before `key`. */
  #position(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] ?? "") < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
