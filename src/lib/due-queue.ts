/** Things by the time at which they are due, the earliest first: a binary heap. A thing has one time; setting it again moves it. */
export class DueQueue<T> {
  readonly #heap: { readonly thing: T; readonly atMs: number }[] = [];
  /** The entry that counts; others of the same thing are dropped when they come up. */
  readonly #current = new Map<T, { readonly thing: T; readonly atMs: number }>();

  get size(): number {
    return this.#current.size;
  }

  set(thing: T, atMs: number): void {
    const entry = { thing, atMs };
    this.#current.set(thing, entry);
    this.#heap.push(entry);
    this.#rise(this.#heap.length - 1);
    if (this.#heap.length > 2 * this.#current.size + 64) this.#rebuild();
  }

  delete(thing: T): void {
    this.#current.delete(thing);
  }

  /** When the first is due; null when there is none. */
  nextMs(): number | null {
    this.#dropStale();
    return this.#heap[0]?.atMs ?? null;
  }

  /** Takes out the first one that is due by then; null when none is. */
  take(nowMs: number): T | null {
    this.#dropStale();
    const first = this.#heap[0];
    if (first === undefined || first.atMs > nowMs) return null;
    this.#pop();
    this.#current.delete(first.thing);
    return first.thing;
  }

  #dropStale(): void {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (this.#current.get(first.thing) === first) return;
      this.#pop();
    }
  }

  #rebuild(): void {
    const entries = [...this.#current.values()].toSorted((a, b) => a.atMs - b.atMs);
    this.#heap.splice(0, this.#heap.length, ...entries);
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sink(0);
  }

  #rise(begin: number): void {
    for (let at = begin; at > 0;) {
      const parent = (at - 1) >> 1;
      if (this.#atMs(parent) <= this.#atMs(at)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #sink(begin: number): void {
    for (let at = begin; ;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) if (this.#atMs(child) < this.#atMs(least)) least = child;
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #atMs(at: number): number {
    return this.#heap[at]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  #swap(a: number, b: number): void {
    const [one, other] = [this.#heap[a], this.#heap[b]];
    if (one === undefined || other === undefined) return;
    this.#heap[a] = other;
    this.#heap[b] = one;
  }
}
