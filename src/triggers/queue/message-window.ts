/**
 * The part of a queue that its owner has in memory: read ahead of what is delivered, in pages, never more than its bounds. What
 * is in the store is the truth, this is a window on it: it can be thrown away and read again at any time.
 *
 *   waiting   ready to be picked: by priority, or in line with its group
 *   picked    in a delivery; it is skipped when its lane is read again
 *   gone      its commit has deleted or moved it
 *
 * The lane `m` is read forward from a cursor, for whatever is committed later comes later. `h` and `d` are read from their
 * beginning, for anything may come in anywhere; there, what is held already is skipped.
 */
import type { Entry, Key, Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { Deque } from "../../lib/deque.ts";
import type { Alarm } from "../../shards/alarms.ts";
import { dueEnd, dueMsOf, keyAfter, type Lane, type QueueKeys, type QueuePlace } from "../../state/queue/queue-keys.ts";
import { decodeMessage, type StoredMessage } from "../../state/queue/stored-message.ts";

export interface Held {
  readonly key: Key;
  /** The key as text, to find it by. */
  readonly text: string;
  readonly lane: Lane;
  readonly generation: number;
  readonly group: string | null;
  readonly priority: number;
  version: number;
  /** null: too far behind in its group to be kept; read again when its turn comes. */
  message: StoredMessage | null;
  bytes: number;
  /** Largest batch that it may be part of: halved when one failed, 1 once an attempt has failed. */
  batchMost: number;
}

interface Group {
  readonly name: string;
  readonly waiting: Deque<Held>;
  /** Deliveries that hold messages of it. */
  running: number;
  isLoading: boolean;
}

export interface WindowOptions {
  readonly keyspace: Keyspace;
  readonly place: QueuePlace;
  readonly keys: QueueKeys;
  readonly groupConcurrency: number;
  /** How many messages to have ready, at most. */
  readonly readAhead: number;
  /** Bodies kept of what waits in line in one group; those behind are read again when their turn comes. */
  readonly bodiesPerGroup: number;
  /** Rings when something of the lane `d`, or a group that waits, may have become due: then look. */
  readonly alarm: Alarm;
  /** A group that could not be picked can be now. */
  readonly onLoaded: () => void;
}

/** Messages for one delivery. */
interface Basket {
  readonly picked: Held[];
  /** How many it may have. */
  room: number;
}

/** How a consumer that changes while it runs wants it. */
export type WindowTuning = Pick<WindowOptions, "groupConcurrency" | "readAhead" | "bodiesPerGroup">;

export class MessageWindow {
  #options: WindowOptions;
  readonly #held = new Map<string, Held>();
  readonly #levels = Array.from({ length: limits.messagePriority + 1 }, () => new Deque<Held>());
  readonly #groups = new Map<string, Group>();
  /** Groups that have something to pick, the one that waits longest first. */
  readonly #readyGroups = new Set<Group>();
  /** Groups whose first message is to be tried again later. */
  readonly #pausedGroups = new Set<Group>();
  readonly #stale = new Set<Lane>(["m", "h", "d"]);
  /** Gone while a page was being read: that page may still show them. */
  readonly #goneMeanwhile = new Set<string>();
  #cursor: Key;
  #ready = 0;
  #bytes = 0;
  #nextDueMs: number | null = null;
  #reading = false;
  #restarts = 0;
  #groupsFirst = false;
  #isClosed = false;

  constructor(options: WindowOptions, cursor: Key | null) {
    this.#options = options;
    this.#cursor = cursor ?? options.keys.lanes.m.start;
  }

  tune(tuning: WindowTuning): void {
    this.#options = { ...this.#options, ...tuning };
    for (const group of [...this.#groups.values()]) this.#placeGroup(group);
  }

  /** The window is not looked through any more: it leaves the alarm alone. */
  close(): void {
    this.#isClosed = true;
  }

  /** Messages that wait outside of groups. */
  get ready(): number {
    return this.#ready;
  }

  get hasGroupReady(): boolean {
    return this.#readyGroups.size > 0;
  }

  get size(): number {
    return this.#held.size;
  }

  /** Something was written to the lane. */
  touch(lane: Lane): void {
    this.#stale.add(lane);
  }

  touchAll(): void {
    for (const lane of ["m", "h", "d"] as const) this.#stale.add(lane);
  }

  /** Whether reading would find room for what it finds. */
  get wantsMore(): boolean {
    return this.#stale.size > 0 && !this.#reading && this.#room() > this.#options.readAhead / 2;
  }

  /** The alarm has rung. */
  wake(): void {
    if (this.#nextDueMs !== null && this.#nextDueMs <= this.#options.keyspace.clock.nowMs()) {
      this.#nextDueMs = null;
      this.touch("d");
    }
    this.#setAlarm();
  }

  /** Reads what has become stale, as far as there is room. */
  async fill(): Promise<void> {
    this.#reading = true;
    this.#goneMeanwhile.clear();
    try {
      for (const lane of ["h", "d", "m"] as const) {
        if (!this.#stale.has(lane) || this.#room() <= 0) continue;
        this.#stale.delete(lane);
        try {
          if (lane === "m") await this.#readForward();
          else if (lane === "h") await this.#readFromStart("h");
          else await this.#readDue();
        } catch (error) {
          this.#stale.add(lane);
          throw error;
        }
      }
    } finally {
      this.#reading = false;
      this.#goneMeanwhile.clear();
    }
    this.#setAlarm();
  }

  /** Up to `most` messages for one delivery, in order. Groups and what stands outside of them take turns. */
  pick(most: number): Held[] {
    const basket: Basket = { picked: [], room: most };
    for (let level = this.#levels.length - 1; level > 0; level--) this.#pickLevel(level, basket);
    this.#groupsFirst = !this.#groupsFirst;
    if (this.#groupsFirst) this.#pickGroups(basket);
    this.#pickLevel(0, basket);
    if (!this.#groupsFirst) this.#pickGroups(basket);
    return basket.picked;
  }

  #pickLevel(level: number, basket: Basket): void {
    const waiting = this.#levels[level] as Deque<Held>;
    for (let next = waiting.peek(); next !== undefined && take(next, basket); next = waiting.peek()) {
      waiting.shift();
      this.#ready -= 1;
    }
  }

  #pickGroups(basket: Basket): void {
    for (const group of [...this.#readyGroups].slice(0, Math.max(0, basket.room - basket.picked.length))) {
      this.#readyGroups.delete(group);
      const before = basket.picked.length;
      for (let next = group.waiting.peek(); next !== undefined; next = group.waiting.peek()) {
        if (next.message === null) {
          void this.#loadBodies(group);
          break;
        }
        if (!take(next, basket)) break;
        group.waiting.shift();
      }
      if (basket.picked.length > before) group.running += 1;
      this.#placeGroup(group);
      if (basket.picked.length >= basket.room) break;
    }
  }

  /** The delivery is over: what of it is gone, and what waits again in its old place (with `batchMost` as it is now). */
  settle(picked: readonly Held[], back: readonly Held[]): void {
    const stays = new Set(back);
    const groups = new Set<string>();
    for (const held of picked) {
      if (held.group !== null) groups.add(held.group);
      if (!stays.has(held)) this.#forget(held);
    }
    for (const held of back.toReversed()) {
      if (held.group === null) {
        (this.#levels[held.priority] as Deque<Held>).unshift(held);
        this.#ready += 1;
      } else {
        this.#groups.get(held.group)?.waiting.unshift(held);
      }
    }
    for (const name of groups) {
      const group = this.#groups.get(name);
      if (group === undefined) continue;
      group.running -= 1;
      this.#placeGroup(group);
    }
    this.#setAlarm();
  }

  /** A message of a group was written again in its place. */
  update(held: Held, message: StoredMessage, version: number): void {
    held.message = message;
    held.version = version;
    held.batchMost = batchMostOf(message);
  }

  /** Forgets what waits and reads it again, from the beginning of what is left. */
  restart(): void {
    for (const level of this.#levels) {
      for (const held of level) this.#forget(held);
      level.clear();
    }
    this.#ready = 0;
    for (const group of this.#groups.values()) {
      for (const held of group.waiting) this.#forget(held);
      group.waiting.clear();
      this.#placeGroup(group);
    }
    this.#cursor = this.#options.keys.lanes.m.start;
    // Pages that are on their way are thrown away, so what has gone since is in none that counts.
    this.#restarts += 1;
    this.#goneMeanwhile.clear();
    this.touchAll();
  }

  /** Before this position nothing of the lane `m` is left. */
  position(): Key {
    let first: Held | null = null;
    for (const held of this.#held.values()) {
      if (held.lane === "m" && (first === null || held.text < first.text)) first = held;
    }
    return first?.key ?? this.#cursor;
  }

  #room(): number {
    if (this.#bytes >= limits.queueHeldBytes || this.#held.size >= limits.queueHeldMessages) return 0;
    return this.#options.readAhead - this.#ready;
  }

  async #readForward(): Promise<void> {
    const { end } = this.#options.keys.lanes.m;
    const restarts = this.#restarts;
    for (let room = this.#room(); room > 0; room = this.#room()) {
      const limit = Math.min(room, limits.rangePageEntries);
      const { entries, next } = await this.#options.keyspace.range({ start: this.#cursor, end, limit });
      if (this.#restarts !== restarts) return;
      for (const entry of entries) this.#hold(entry, "m");
      const last = entries.at(-1);
      if (last !== undefined) this.#cursor = keyAfter(last.key);
      if (next === null) return;
    }
    this.#stale.add("m");
  }

  async #readFromStart(lane: "h" | "d", to?: Key): Promise<Entry | null> {
    const { start, end } = this.#options.keys.lanes[lane];
    const restarts = this.#restarts;
    for (let from = start; ;) {
      const { entries, next } = await this.#options.keyspace.range({ start: from, end: to ?? end });
      if (this.#restarts !== restarts) return null;
      for (const [index, entry] of entries.entries()) {
        if (this.#room() <= 0) {
          this.#stale.add(lane);
          return entries[index] as Entry;
        }
        this.#hold(entry, lane);
      }
      const last = entries.at(-1);
      if (next === null || last === undefined) return null;
      from = keyAfter(last.key);
    }
  }

  async #readDue(): Promise<void> {
    const { keyspace, place, keys } = this.#options;
    const to = dueEnd(place, keys, keyspace.clock.nowMs());
    if ((await this.#readFromStart("d", to)) !== null) return;
    const { entries } = await keyspace.range({ start: to, end: keys.lanes.d.end, limit: 1 });
    const [first] = entries;
    this.#nextDueMs = first === undefined ? null : dueMsOf(first.key);
  }

  #hold(entry: Entry, lane: Lane): void {
    const text = Buffer.prototype.latin1Slice.call(entry.key, 0, entry.key.length);
    if (this.#held.has(text) || this.#goneMeanwhile.has(text)) return;
    const message = decodeMessage(entry.value);
    const held: Held = {
      key: new Uint8Array(entry.key),
      text,
      lane,
      generation: this.#options.keys.generation,
      group: message.group ?? null,
      priority: message.priority ?? 0,
      version: entry.version,
      message,
      bytes: entry.value.length,
      batchMost: batchMostOf(message),
    };
    this.#held.set(text, held);
    this.#bytes += held.bytes;
    if (held.group === null) {
      (this.#levels[held.priority] as Deque<Held>).push(held);
      this.#ready += 1;
      return;
    }
    const group = this.#groupOf(held.group);
    group.waiting.push(held);
    if (group.waiting.size > this.#options.bodiesPerGroup) this.#dropBody(held);
    this.#placeGroup(group);
  }

  #groupOf(name: string): Group {
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = { name, waiting: new Deque(), running: 0, isLoading: false };
      this.#groups.set(name, group);
    }
    return group;
  }

  /** Among those that are ready, that are paused, or neither. */
  #placeGroup(group: Group): void {
    const first = group.waiting.peek();
    const isFree = first !== undefined && group.running < this.#options.groupConcurrency && !group.isLoading;
    const isPaused = isFree && (first.message?.notBeforeMs ?? 0) > this.#options.keyspace.clock.nowMs();
    if (isPaused) this.#pausedGroups.add(group);
    else this.#pausedGroups.delete(group);
    if (!isFree || isPaused) this.#readyGroups.delete(group);
    else this.#readyGroups.add(group);
    if (first === undefined && group.running === 0) this.#groups.delete(group.name);
  }

  /** Groups whose time has come are ready; the alarm rings for the next. */
  #setAlarm(): void {
    let nextMs = this.#nextDueMs ?? Infinity;
    for (const group of [...this.#pausedGroups]) {
      this.#placeGroup(group);
      if (this.#pausedGroups.has(group))
        nextMs = Math.min(nextMs, group.waiting.peek()?.message?.notBeforeMs ?? Infinity);
    }
    if (!this.#isClosed) this.#options.alarm.set(nextMs === Infinity ? null : nextMs);
  }

  #dropBody(held: Held): void {
    this.#bytes -= held.bytes;
    held.bytes = 0;
    held.message = null;
  }

  async #loadBodies(group: Group): Promise<void> {
    group.isLoading = true;
    let hasFailed = false;
    const wanted: Held[] = [];
    for (const held of group.waiting) {
      if (wanted.length >= this.#options.bodiesPerGroup || held.message !== null) break;
      wanted.push(held);
    }
    try {
      const entries = await this.#options.keyspace.get(wanted.map(({ key }) => key));
      for (const [index, entry] of entries.entries()) {
        const held = wanted[index] as Held;
        if (!this.#held.has(held.text) || held.message !== null) continue;
        if (entry === null) {
          this.#forget(held); // purged
          continue;
        }
        held.message = decodeMessage(entry.value);
        held.version = entry.version;
        held.bytes = entry.value.length;
        this.#bytes += held.bytes;
      }
      while (group.waiting.peek() !== undefined && !this.#held.has((group.waiting.peek() as Held).text))
        group.waiting.shift();
    } catch {
      hasFailed = true; // it is tried again when it is to be picked again
    }
    group.isLoading = false;
    this.#placeGroup(group);
    if (!hasFailed) this.#options.onLoaded();
  }

  #forget(held: Held): void {
    if (!this.#held.delete(held.text)) return;
    this.#bytes -= held.bytes;
    if (this.#reading) this.#goneMeanwhile.add(held.text);
  }
}

/** Of the batch that these were: what each of them may be part of from now on. */
export function halfOf(batch: readonly Held[]): number {
  const half = Math.max(1, Math.ceil(batch.length / 2));
  return batch.reduce((least, { batchMost }) => Math.min(least, batchMost), half);
}

function batchMostOf({ attempts, batchMost }: StoredMessage): number {
  return attempts === 0 ? (batchMost ?? Infinity) : 1;
}

/** Whether it went in: a batch is as large as the least of its messages allows. */
function take(held: Held, basket: Basket): boolean {
  const { picked, room } = basket;
  if (picked.length >= room || picked.length >= held.batchMost) return false;
  basket.room = Math.min(room, held.batchMost);
  picked.push(held);
  return true;
}
