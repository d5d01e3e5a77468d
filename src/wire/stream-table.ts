/**
 * What is open on a connection, by stream id: a ring of slots, the id's low bits say which.
 *
 * Not a Map, though it does what a Map does. A Map that entries come to and go from thousands of times a second is laid
 * out anew every few dozen of them, and each former layout, once it has grown old, keeps the next one and what was open
 * at the time alive until a full collection. Measured at 32 requests at once: a young collection took 10 ms instead of
 * 0.5, because half of all requests' objects survived it.
 */

const slotsMin = 64;
const idMax = 0xffffffff;

export class StreamTable<Value> {
  #values: (Value | null)[] = newSlots<Value>(slotsMin);
  #ids: number[] = Array.from({ length: slotsMin }, () => 0);
  #size = 0;
  #lastId = 0;

  get size(): number {
    return this.#size;
  }

  /** Opens a new stream: ids count up, and skip those whose place is taken. */
  open(value: Value): number {
    if (this.#size * 2 >= this.#values.length) this.#grow();
    let id = this.#lastId;
    do {
      id = id >= idMax ? 1 : id + 1;
    } while (this.#values[id & (this.#values.length - 1)] !== null);
    this.#lastId = id;
    this.#put(id, value);
    return id;
  }

  /** Takes in a stream that the other side has opened. false: the id is in use. */
  add(id: number, value: Value): boolean {
    for (;;) {
      const slot = id & (this.#values.length - 1);
      if (this.#values[slot] === null) break;
      if (this.#ids[slot] === id) return false;
      this.#grow();
    }
    this.#put(id, value);
    return true;
  }

  /** The id that was opened last; 0 before the first. */
  get lastId(): number {
    return this.#lastId;
  }

  has(id: number): boolean {
    return this.get(id) !== null;
  }

  get(id: number): Value | null {
    const slot = id & (this.#values.length - 1);
    return this.#ids[slot] === id ? (this.#values[slot] ?? null) : null;
  }

  delete(id: number): void {
    const slot = id & (this.#values.length - 1);
    if (this.#ids[slot] !== id || this.#values[slot] === null) return;
    this.#values[slot] = null;
    this.#ids[slot] = 0;
    this.#size -= 1;
  }

  clear(): void {
    this.#values.fill(null);
    this.#ids.fill(0);
    this.#size = 0;
  }

  /** In no particular order. Entries may be deleted while it is walked. */
  *values(): IterableIterator<Value> {
    if (this.#size === 0) return;
    for (const value of this.#values) if (value !== null) yield value;
  }

  #put(id: number, value: Value): void {
    const slot = id & (this.#values.length - 1);
    this.#values[slot] = value;
    this.#ids[slot] = id;
    this.#size += 1;
  }

  /** Ids that differ in their low bits still do with one bit more, so twice the slots always take them all. */
  #grow(): void {
    const values = this.#values;
    const ids = this.#ids;
    this.#values = newSlots<Value>(values.length * 2);
    this.#ids = Array.from({ length: values.length * 2 }, () => 0);
    this.#size = 0;
    for (const [slot, value] of values.entries()) if (value !== null) this.#put(ids[slot] as number, value);
  }
}

function newSlots<Value>(length: number): (Value | null)[] {
  return Array.from({ length }, () => null);
}
