/**
 * Tuples as keys: the order of the bytes is the order of the tuples, element by element, and a tuple comes before every
 * longer one that begins with it. A subset of FoundationDB's tuple layer
 * (https://github.com/apple/foundationdb/blob/main/design/tuple.md):
 *
 *   bytes     01, the bytes with 00 written as 00 FF, then 00
 *   string    02, its UTF-8 in the same way; a lone surrogate has no UTF-8 and is refused
 *   integer   14 plus or minus its number of bytes (0C to 1C), then these, highest first; of a negative one the complement
 *
 * Bytes come before strings, strings before integers. Strings are in the order of their code points, which differs from
 * JavaScript's own where characters beyond U+FFFF meet those of U+E000 and above.
 */
import { AloftError } from "./errors.ts";
import type { Key } from "./keyspace.ts";
import { limits } from "./limits.ts";

export type TupleElement = string | number | bigint | Uint8Array;
export type Tuple = readonly TupleElement[];

const bytesMark = 0x01;
const stringMark = 0x02;
const zeroMark = 0x14;
const escapeMark = 0xff;
const integerMin = -(2n ** 63n);
const integerMax = 2n ** 63n - 1n;
/** Above this the built-in encoder is faster than a loop over the characters. */
const loopChars = 40;

/** A key under construction; what passes its end was too long for a key anyway. */
const scratch = Buffer.allocUnsafeSlow(limits.keyBytes + 16);

/** Throws KEY_INVALID for a lone surrogate, an integer beyond 64 bits, a number that is no safe integer, or too many bytes. */
export function encodeTuple(tuple: Tuple): Key {
  return new Uint8Array(scratch.subarray(0, writeTuple(tuple)));
}

/** Throws KEY_INVALID for anything that encodeTuple does not make. Integers come as numbers where these are safe. */
export function decodeTuple(key: Key): TupleElement[] {
  const elements: TupleElement[] = [];
  for (let at = 0; at < key.length;) at = readElement(key, at, elements);
  return elements;
}

/** The range of all tuples that begin with these elements and have at least one more. */
export function tupleRange(prefix: Tuple): { readonly start: Key; readonly end: Key } {
  const bytes = writeTuple(prefix);
  if (bytes >= limits.keyBytes) throw tooLong(bytes + 1);
  scratch[bytes] = 0; // below every mark
  const start = new Uint8Array(scratch.subarray(0, bytes + 1));
  const end = start.slice();
  end[bytes] = 0xff; // above every mark, and below what an escaped 00 at this place is followed by
  return { start, end };
}

/** What an append puts behind its prefix: the commit's version and the write's index in it. */
export function encodeStamp(version: number, index: number): Key {
  return new Uint8Array(scratch.subarray(0, writeInteger(index, writeInteger(version, 0))));
}

/** The key that the write at `index` of the commit with this version has appended under `prefix`. */
export function appendedKey(prefix: Key, version: number, index: number): Key {
  const stamp = encodeStamp(version, index);
  const key = new Uint8Array(prefix.length + stamp.length);
  key.set(prefix);
  key.set(stamp, prefix.length);
  return key;
}

function writeTuple(tuple: Tuple): number {
  let at = 0;
  for (const element of tuple) {
    if (typeof element === "string") at = writeString(element, at);
    else if (typeof element === "number") at = writeInteger(element, at);
    else if (typeof element === "bigint") at = writeBigInteger(element, at);
    else at = writeBytes(element, at);
    if (at > limits.keyBytes) throw tooLong(at);
  }
  return at;
}

function writeString(text: string, begin: number): number {
  let at = begin;
  scratch[at++] = stringMark;
  if (at + text.length > limits.keyBytes) throw tooLong(at + text.length);
  if (text.length <= loopChars) {
    let i = 0;
    for (; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code === 0 || code > 0x7f) break;
      scratch[at + i] = code;
    }
    if (i === text.length) {
      scratch[at + i] = 0;
      return at + i + 1;
    }
  }
  if (!text.isWellFormed()) {
    throw new AloftError("KEY_INVALID", "a string of the key has a lone surrogate", {
      hint: "use well-formed Unicode; String.prototype.toWellFormed() replaces what is not",
    });
  }
  return writeEscaped(Buffer.from(text, "utf8"), at);
}

function writeBytes(bytes: Uint8Array, at: number): number {
  scratch[at] = bytesMark;
  return writeEscaped(bytes, at + 1);
}

function writeEscaped(bytes: Uint8Array, begin: number): number {
  let at = begin;
  if (at + bytes.length > limits.keyBytes) throw tooLong(at + bytes.length);
  for (const byte of bytes) {
    if (at > limits.keyBytes) throw tooLong(at);
    scratch[at++] = byte;
    if (byte === 0) scratch[at++] = escapeMark;
  }
  scratch[at++] = 0;
  return at;
}

function writeInteger(value: number, at: number): number {
  if (!Number.isSafeInteger(value)) throw badInteger(value);
  if (value === 0) {
    scratch[at] = zeroMark;
    return at + 1;
  }
  const magnitude = Math.abs(value);
  let low = magnitude >>> 0;
  const high = (magnitude - low) / 0x1_0000_0000;
  const length = high === 0 ? 4 - (Math.clz32(low) >> 3) : 8 - (Math.clz32(high) >> 3);
  const flip = value < 0 ? 0xff : 0;
  scratch[at] = value < 0 ? zeroMark - length : zeroMark + length;
  for (let i = length; i > 0; i--) {
    scratch[at + i] = (low & 0xff) ^ flip;
    low = i === length - 3 ? high : low >>> 8;
  }
  return at + 1 + length;
}

function writeBigInteger(value: bigint, at: number): number {
  if (value < integerMin || value > integerMax) throw badInteger(value);
  if (value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER) return writeInteger(Number(value), at);
  let rest = value < 0 ? -value : value;
  let length = 0;
  for (let left = rest; left > 0n; left >>= 8n) length++;
  const flip = value < 0 ? 0xff : 0;
  scratch[at] = value < 0 ? zeroMark - length : zeroMark + length;
  for (let i = length; i > 0; i--, rest >>= 8n) scratch[at + i] = Number(rest & 0xffn) ^ flip;
  return at + 1 + length;
}

/** Pushes the element that begins at `at`; the answer is where the next one begins. */
function readElement(key: Key, at: number, into: TupleElement[]): number {
  const mark = key[at] ?? 0;
  if (mark === bytesMark || mark === stringMark) {
    const end = key.indexOf(0, at + 1);
    if (end === -1) throw notATuple(at);
    if (key[end + 1] === escapeMark) return readEscaped(key, at, into);
    into.push(mark === bytesMark ? key.slice(at + 1, end) : Buffer.prototype.utf8Slice.call(key, at + 1, end));
    return end + 1;
  }
  const length = Math.abs(mark - zeroMark);
  if (length > 8 || at + length >= key.length) throw notATuple(at);
  const flip = mark < zeroMark ? 0xff : 0;
  let magnitude = 0n;
  for (let i = 1; i <= length; i++) magnitude = (magnitude << 8n) | BigInt((key[at + i] ?? 0) ^ flip);
  const value = mark < zeroMark ? -magnitude : magnitude;
  const isSafe = magnitude <= Number.MAX_SAFE_INTEGER;
  into.push(isSafe ? Number(value) : value);
  return at + 1 + length;
}

/** Of bytes or a string that holds a zero. */
function readEscaped(key: Key, at: number, into: TupleElement[]): number {
  const bytes: number[] = [];
  let next = at + 1;
  for (; ; next++) {
    const byte = key[next];
    if (byte === undefined) throw notATuple(at);
    if (byte === 0 && key[next + 1] !== escapeMark) break;
    bytes.push(byte);
    if (byte === 0) next++;
  }
  into.push(key[at] === bytesMark ? Uint8Array.from(bytes) : Buffer.from(bytes).toString("utf8"));
  return next + 1;
}

function tooLong(bytes: number): AloftError {
  return new AloftError("KEY_INVALID", `the key has at least ${bytes} bytes, at most ${limits.keyBytes} are allowed`, {
    hint: "shorten the names and ids that the key is made of",
  });
}

function badInteger(value: number | bigint): AloftError {
  return new AloftError("KEY_INVALID", `${value} in a key is no integer of 64 bits`, {
    hint: "a number must be a safe integer; use a bigint beyond that",
  });
}

function notATuple(at: number): AloftError {
  return new AloftError("KEY_INVALID", `the key is no tuple: nothing that begins at byte ${at} is an element`);
}
