/** The keyspace as a thread sees it: its overlay, and below it the tree. */
import type { Entry, RangePage, RangeQuery } from "../../contract/keyspace.ts";
import type { Standing, View } from "../judge.ts";
import { keyOfText, type KeyText } from "../key-text.ts";
import { cutPage, pageLimit } from "../page.ts";
import type { Cell, Overlay } from "./overlay.ts";
import type { Tree } from "./tree.ts";

/** Stands for the value of an entry whose real one is elsewhere: it only must not have 8 bytes. */
const elsewhere = new Uint8Array(0);

export class Layers implements View {
  readonly #overlay: Overlay;
  readonly #tree: Tree;

  constructor(overlay: Overlay, tree: Tree) {
    this.#overlay = overlay;
    this.#tree = tree;
  }

  find(key: KeyText, nowMs: number): Standing | null {
    const cell = this.#cell(key, nowMs);
    if (cell === null) return null;
    return { version: cell.version, expiresAtMs: cell.expiresAtMs, value: cell.value ?? elsewhere };
  }

  measure(start: KeyText, end: KeyText, nowMs: number, most: number): { count: number; highestVersion: number } {
    if (start >= end) return { count: 0, highestVersion: 0 };
    if (!this.#overlay.hasAny(start, end)) return this.#tree.measure(start, end, nowMs, most);
    let count = 0;
    let highestVersion = 0;
    for (const [, { version }] of this.#scan(start, end, nowMs, false)) {
      if (version > highestVersion) highestVersion = version;
      if (++count >= most) break;
    }
    return { count, highestVersion };
  }

  listKeys(start: KeyText, end: KeyText, nowMs: number, most: number): KeyText[] {
    const keys: KeyText[] = [];
    for (const [key] of this.#scan(start, end, nowMs, false)) if (keys.push(key) >= most) break;
    return keys;
  }

  getEntry(key: KeyText, nowMs: number): Entry | null {
    const cell = this.#cell(key, nowMs);
    return cell === null ? null : this.#entryOf(key, cell);
  }

  /** `bounds` are those of the query. */
  getPage(query: RangeQuery, bounds: { start: KeyText; end: KeyText }, nowMs: number): RangePage {
    const most = pageLimit(query) + 1;
    return cutPage(query, this.#entries(this.#scan(bounds.start, bounds.end, nowMs, query.isReverse === true, most)));
  }

  #cell(key: KeyText, nowMs: number): Cell | null {
    const cell = this.#overlay.get(key) ?? this.#tree.find(key);
    return cell === null || !isThere(cell, nowMs) ? null : cell;
  }

  *#entries(found: Iterable<readonly [KeyText, Cell]>): Generator<Entry> {
    for (const [key, cell] of found) yield this.#entryOf(key, cell);
  }

  #entryOf(key: KeyText, { version, expiresAtMs, value, large }: Cell): Entry {
    return {
      key: keyOfText(key),
      value: large === 0 ? (value ?? elsewhere) : this.#tree.loadLarge(large),
      version,
      expiresAtMs: expiresAtMs === Infinity ? null : expiresAtMs,
    };
  }

  /** Both in the order of keys; of two cells of one key the overlay's counts. */
  *#scan(
    start: KeyText,
    end: KeyText,
    nowMs: number,
    isReverse: boolean,
    most?: number,
  ): Generator<readonly [KeyText, Cell]> {
    const uppers = this.#overlay.scan(start, end, isReverse)[Symbol.iterator]();
    let upper = uppers.next();
    for (const lower of this.#tree.scan(start, end, isReverse, most)) {
      while (upper.done !== true && comesFirst(upper.value[0], lower[0], isReverse)) {
        if (isThere(upper.value[1], nowMs)) yield upper.value;
        upper = uppers.next();
      }
      if (upper.done !== true && upper.value[0] === lower[0]) continue;
      if (isThere(lower[1], nowMs)) yield lower;
    }
    for (; upper.done !== true; upper = uppers.next()) if (isThere(upper.value[1], nowMs)) yield upper.value;
  }
}

function isThere(cell: Cell, nowMs: number): boolean {
  return cell.expiresAtMs > nowMs && (cell.value !== null || cell.large !== 0);
}

function comesFirst(a: KeyText, b: KeyText, isReverse: boolean): boolean {
  return isReverse ? a > b : a < b;
}
