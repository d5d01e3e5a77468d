/**
 * Keys and values of a kv store as they travel, and the order of keys. A key is well-formed text; keys are in the order of
 * their code points, which is that of their UTF-8 and of the keyspace.
 */

/** `b64`: bytes. `big`: an integer beyond those that JSON's readers keep exact, in decimal. */
export type KvValue = { readonly json: unknown } | { readonly b64: string } | { readonly big: string };

export interface KvEntry {
  readonly key: string;
  readonly value: KvValue;
  readonly version: number;
  /** Epoch milliseconds; absent: never. */
  readonly expiresAtMs?: number;
}

export interface KvPage {
  /** In the order of their keys, or against it when the list was asked for in reverse. */
  readonly entries: readonly KvEntry[];
  /** Where the next page begins (in reverse: what it ends before); null: there is no more. */
  readonly next: string | null;
}

const surrogatesBegin = 0xd800;
const lastCodePoint = 0x10ffff;

/** Of keys by their code points: below, equal to or above 0. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const left = a.charCodeAt(at);
    const right = b.charCodeAt(at);
    if (left === right) continue;
    // Two units of a character beyond U+FFFF are numbered below U+E000, and their character is above it.
    return left >= surrogatesBegin && right >= surrogatesBegin ? rank(left) - rank(right) : left - right;
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000;
}

/** The first key that comes after all keys with this prefix; null: none does. */
export function afterPrefix(prefix: string): string | null {
  const points = Array.from(prefix, (character) => character.codePointAt(0) as number);
  while (points.length > 0) {
    const last = points.pop() as number;
    if (last === lastCodePoint) continue;
    // Nothing lies between the last code point before the surrogates and the first one after them.
    points.push(last + 1 === surrogatesBegin ? 0xe000 : last + 1);
    return String.fromCodePoint(...points);
  }
  return null;
}

/** The key that comes next after this one, whether it exists or not. */
export function nextKey(key: string): string {
  return `${key}\0`;
}

/** The part of [start, end) that has the prefix. */
export function cutBounds(prefix: string, start: string, end: string | null): { start: string; end: string | null } {
  const stop = afterPrefix(prefix);
  return {
    start: compareKeys(prefix, start) > 0 ? prefix : start,
    end: stop === null || (end !== null && compareKeys(end, stop) < 0) ? end : stop,
  };
}
