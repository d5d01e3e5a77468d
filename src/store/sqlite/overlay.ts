/**
 * What is committed and not yet in the tree: in the log on disk, and in memory on both threads, the writer's with the group
 * that it is committing, the server's as of the last group it has heard of. Whoever reads looks here first.
 */
import type { KeyText } from "../key-text.ts";
import { OrderedMap } from "../ordered-map.ts";

/** `large` 0 and `value` null: the entry is gone. */
export interface Cell {
  readonly version: number;
  /** Infinity: never. */
  readonly expiresAtMs: number;
  readonly value: Uint8Array | null;
  /** Id in the table of large values, or 0. */
  readonly large: number;
}

/** Part of the keys, from `start` to before `end` (null: to the last), whose cells up to a version are in the tree now. */
export interface MergedPart {
  readonly start: KeyText;
  readonly end: KeyText | null;
  readonly version: number;
}

export class Overlay {
  readonly #cells = new OrderedMap<Cell>();
  #bytes = 0;

  get size(): number {
    return this.#cells.size;
  }

  /** Of keys and values. */
  get bytes(): number {
    return this.#bytes;
  }

  get(key: KeyText): Cell | undefined {
    return this.#cells.get(key);
  }

  /** The answer is the cell in whose place this one is now. */
  set(key: KeyText, cell: Cell): Cell | undefined {
    const former = this.#cells.set(key, cell);
    this.#bytes += bytesOf(cell) - (former === undefined ? -key.length : bytesOf(former));
    return former;
  }

  scan(start: KeyText, end: KeyText | null, isReverse = false): Iterable<readonly [KeyText, Cell]> {
    return this.#cells.scan(start, end, isReverse);
  }

  hasAny(start: KeyText, end: KeyText): boolean {
    return this.#cells.scan(start, end).next().done !== true;
  }

  drop({ start, end, version }: MergedPart): void {
    const merged: [KeyText, Cell][] = [];
    for (const [key, cell] of this.#cells.scan(start, end)) if (cell.version <= version) merged.push([key, cell]);
    for (const [key, cell] of merged) {
      this.#cells.delete(key);
      this.#bytes -= key.length + bytesOf(cell);
    }
  }

  clear(): void {
    this.#cells.clear();
    this.#bytes = 0;
  }
}

function bytesOf(cell: Cell): number {
  return cell.value === null ? 0 : cell.value.length;
}
