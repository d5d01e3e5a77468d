/** A list that grows and shrinks at both ends in constant time: two stacks back to back. */
export class Deque<T> {
  /** The front of the list, reversed. */
  #front: T[] = [];
  #back: T[] = [];
  /** How many of `#back` were taken from its beginning. */
  #taken = 0;

  get size(): number {
    return this.#front.length + this.#back.length - this.#taken;
  }

  push(item: T): void {
    this.#back.push(item);
  }

  unshift(item: T): void {
    this.#front.push(item);
  }

  peek(): T | undefined {
    return this.#front.length > 0 ? this.#front.at(-1) : this.#back[this.#taken];
  }

  shift(): T | undefined {
    if (this.#front.length > 0) return this.#front.pop();
    const item = this.#back[this.#taken];
    if (item === undefined) return undefined;
    this.#taken += 1;
    if (this.#taken === this.#back.length || this.#taken >= 1024) {
      this.#back = this.#back.slice(this.#taken);
      this.#taken = 0;
    }
    return item;
  }

  *[Symbol.iterator](): Generator<T> {
    for (let at = this.#front.length - 1; at >= 0; at--) yield this.#front[at] as T;
    for (let at = this.#taken; at < this.#back.length; at++) yield this.#back[at] as T;
  }

  clear(): void {
    this.#front = [];
    this.#back = [];
    this.#taken = 0;
  }
}
