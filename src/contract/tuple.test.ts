import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { appendedKey, decodeTuple, encodeTuple, type Tuple, type TupleElement, tupleRange } from "./tuple.ts";

const bytes = fc.uint8Array({ maxLength: 6 });
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 8 }), // well-formed, all of Unicode
  fc.constantFrom("", "\0", "a", "a\0", "a\0b", "\uffff", "\u{10000}", "é", "x".repeat(60), `${"x".repeat(60)}\0`),
);
const integer = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(0, 1, -1, 255, 256, -255, -256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, -(2 ** 32), 2 ** 53 - 1),
  fc.constantFrom(2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n, -(2n ** 53n)),
);
const tuple = fc.array(fc.oneof(bytes, text, integer), { maxLength: 5 });

test("the order of encoded tuples is the order of the tuples", () => {
  fc.assert(
    fc.property(tuple, tuple, (a, b) => {
      assert.equal(Math.sign(Buffer.compare(encodeTuple(a), encodeTuple(b))), compareTuples(a, b));
    }),
    { numRuns: 5000 },
  );
});

test("tuples that share their beginning are told apart in order", () => {
  fc.assert(
    fc.property(tuple, tuple, tuple, (shared, a, b) => {
      const [left, right] = [
        [...shared, ...a],
        [...shared, ...b],
      ];
      assert.equal(Math.sign(Buffer.compare(encodeTuple(left), encodeTuple(right))), compareTuples(left, right));
    }),
    { numRuns: 2000 },
  );
});

test("what was encoded is decoded again", () => {
  fc.assert(
    fc.property(tuple, (elements) => {
      assert.deepEqual(decodeTuple(encodeTuple(elements)), elements.map(canonical));
    }),
    { numRuns: 2000 },
  );
});

test("a range holds exactly the tuples that begin with its elements and go on", () => {
  fc.assert(
    fc.property(tuple, tuple, (prefix, other) => {
      const { start, end } = tupleRange(prefix);
      const isInside = (key: Uint8Array): boolean => Buffer.compare(key, start) >= 0 && Buffer.compare(key, end) < 0;
      if (other.length > 0) assert.ok(isInside(encodeTuple([...prefix, ...other])));
      const continues = other.length > prefix.length && compareTuples(other.slice(0, prefix.length), prefix) === 0;
      assert.equal(isInside(encodeTuple(other)), continues);
    }),
    { numRuns: 5000 },
  );
});

test("keys appended under one prefix are in the order of commits, then of their writes", () => {
  const prefix = encodeTuple(["queue", 7]);
  const stamps = [
    [1, 0],
    [1, 1],
    [1, 300],
    [2, 0],
    [255, 9],
    [256, 0],
    [2 ** 40, 0],
  ] as const;
  const keys = stamps.map(([version, index]) => appendedKey(prefix, version, index));
  assert.deepEqual(keys.toSorted(Buffer.compare), keys);
  assert.deepEqual(decodeTuple(keys.at(-1)!), ["queue", 7, 2 ** 40, 0]);
});

test("what no key can hold is refused", () => {
  const table: [Tuple, RegExp][] = [
    [["\ud800"], /lone surrogate/],
    [[`${"x".repeat(100)}\udc00`], /lone surrogate/],
    [[1.5], /1\.5 in a key/],
    [[2 ** 53], /no integer of 64 bits/],
    [[Number.NaN], /NaN in a key/],
    [[2n ** 63n], /no integer of 64 bits/],
    [[-(2n ** 63n) - 1n], /no integer of 64 bits/],
    [["x".repeat(1023)], /at most 1024/],
    [["é".repeat(600)], /at most 1024/],
    [["x".repeat(1_000_000)], /at most 1024/],
    [[new Uint8Array(600)], /at most 1024/],
    [[...Array<number>(1025).fill(0)], /at most 1024/],
  ];
  for (const [elements, message] of table) assert.throws(() => encodeTuple(elements), { code: "KEY_INVALID", message });
  assert.equal(encodeTuple(["x".repeat(1022)]).length, 1024);
  assert.equal(encodeTuple([new Uint8Array(511)]).length, 1024);
});

test("bytes that are no tuple are refused", () => {
  for (const hex of ["00", "03", "0b", "1d", "ff", "0261", "0161", "15", "1c01"]) {
    assert.throws(() => decodeTuple(Buffer.from(hex, "hex")), { code: "KEY_INVALID" }, hex);
  }
});

/** By what the encoding promises, without looking at bytes of it. */
function compareTuples(a: Tuple, b: Tuple): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const order = compareElements(a[i]!, b[i]!);
    if (order !== 0) return order;
  }
  return Math.sign(a.length - b.length);
}

function compareElements(a: TupleElement, b: TupleElement): number {
  const kinds = [a, b].map((each) => (typeof each === "object" ? 0 : typeof each === "string" ? 1 : 2));
  if (kinds[0] !== kinds[1]) return Math.sign(kinds[0]! - kinds[1]!);
  if (typeof a === "object" && typeof b === "object") return Math.sign(Buffer.compare(a, b));
  if (typeof a === "string" && typeof b === "string") {
    return compareLists(Array.from(a, codePoint), Array.from(b, codePoint));
  }
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareLists(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, index) => value !== b[index]);
  if (at === -1) return Math.sign(a.length - b.length);
  return Math.sign(a[at]! - (b[at] ?? -1));
}

function codePoint(character: string): number {
  return character.codePointAt(0)!;
}

function canonical(element: TupleElement): TupleElement {
  if (typeof element === "bigint") return Number.isSafeInteger(Number(element)) ? Number(element) : element;
  return element === 0 ? 0 : element;
}
