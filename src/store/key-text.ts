/**
 * Keys inside the drivers: a string with one character for each byte. Such strings are kept one byte a character, compare in
 * the order of the bytes and are keys of a Map, which no array of bytes is.
 */
import { AloftError } from "../contract/errors.ts";
import type { Key } from "../contract/keyspace.ts";
import { limits } from "../contract/limits.ts";

export type KeyText = string;

/** Throws KEY_INVALID when the key is too long. */
export function textOfKey(key: Key): KeyText {
  assertKeyLength(key);
  return Buffer.prototype.latin1Slice.call(key, 0, key.length);
}

/** Of the start or end of a range, which may have one byte more than a key. Throws KEY_INVALID. */
export function boundText(bound: Key): KeyText {
  assertBoundLength(bound);
  return Buffer.prototype.latin1Slice.call(bound, 0, bound.length);
}

export function keyOfText(text: KeyText): Key {
  const key = new Uint8Array(text.length);
  Buffer.prototype.latin1Write.call(key, text, 0, text.length);
  return key;
}

export function assertKeyLength(key: Key): void {
  if (key.length <= limits.keyBytes) return;
  throw new AloftError("KEY_INVALID", `the key has ${key.length} bytes, at most ${limits.keyBytes} are allowed`);
}

export function assertBoundLength(bound: Key): void {
  if (bound.length > limits.keyBytes) assertKeyLength(bound.subarray(1));
}
