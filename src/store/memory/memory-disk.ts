/**
 * What outlives a crash of the memory driver: the entries, the last version, the last time. Several keyspaces may be open on
 * one disk, as several nodes share a store.
 */
import { judge, onlyDeletes, type Standing, type Verdict, type View } from "../judge.ts";
import type { KeyText } from "../key-text.ts";
import type { Order } from "../order.ts";
import { OrderedMap } from "../ordered-map.ts";
import { Watchers } from "../watchers.ts";

export type DiskVerdict = Verdict | { readonly kind: "refused"; readonly code: "DISK_FULL" };

/** Expired entries are looked for after so many commits with writes. */
const sweepCommits = 1000;

export class MemoryDisk implements View {
  /** While true, commits that need room are refused, as by a real disk that is full. */
  isFull = false;
  readonly watchers = new Watchers();
  readonly #cells = new OrderedMap<Standing>();
  #version = 0;
  #timeMs = 0;
  #commitsSinceSweep = 0;

  get version(): number {
    return this.#version;
  }

  /** The last time that was committed. */
  get timeMs(): number {
    return this.#timeMs;
  }

  /** Entries held, those that have expired and were not swept yet included. */
  get size(): number {
    return this.#cells.size;
  }

  /** Judges the commit and, when it is accepted, carries it out; `changed` gets the watchers to wake. */
  commit(order: Order, nowMs: number, changed: Set<() => void>): DiskVerdict {
    const timeMs = Math.max(nowMs, this.#timeMs);
    if (this.isFull && !order.isEssential && order.writes.length > 0 && !onlyDeletes(order)) {
      return { kind: "refused", code: "DISK_FULL" };
    }
    const version = this.#version + 1;
    const verdict = judge(order, this, version, timeMs);
    if (verdict.kind !== "accepted" || (order.writes.length === 0 && order.once === null)) return verdict;
    this.#version = version;
    this.#timeMs = timeMs;
    for (const [key, { value, expiresAtMs }] of verdict.changes) {
      if (value === null) this.#cells.delete(key);
      else this.#cells.set(key, { version, expiresAtMs, value });
      this.watchers.collect(key, changed);
    }
    if (++this.#commitsSinceSweep >= sweepCommits) this.#sweep();
    return verdict;
  }

  find(key: KeyText, nowMs: number): Standing | null {
    const cell = this.#cells.get(key);
    return cell !== undefined && cell.expiresAtMs > nowMs ? cell : null;
  }

  *scan(start: KeyText, end: KeyText, nowMs: number, isReverse: boolean): Generator<readonly [KeyText, Standing]> {
    for (const found of this.#cells.scan(start, end, isReverse)) if (found[1].expiresAtMs > nowMs) yield found;
  }

  measure(start: KeyText, end: KeyText, nowMs: number, most: number): { count: number; highestVersion: number } {
    let count = 0;
    let highestVersion = 0;
    for (const [, { version }] of this.scan(start, end, nowMs, false)) {
      highestVersion = Math.max(highestVersion, version);
      if (++count >= most) break;
    }
    return { count, highestVersion };
  }

  listKeys(start: KeyText, end: KeyText, nowMs: number, most: number): KeyText[] {
    const keys: KeyText[] = [];
    for (const [key] of this.scan(start, end, nowMs, false)) if (keys.push(key) >= most) break;
    return keys;
  }

  #sweep(): void {
    this.#commitsSinceSweep = 0;
    const expired = [...this.#cells.scan("", null)].filter(([, { expiresAtMs }]) => expiresAtMs <= this.#timeMs);
    for (const [key] of expired) this.#cells.delete(key);
  }
}
