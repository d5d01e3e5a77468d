import assert from "node:assert/strict";
import { test } from "node:test";
import { createIds, isTraceparent, traceIdOf, traceparent } from "./ids.ts";

const startMs = 1_700_000_000_000;

test("an id is 32 hexadecimal digits that begin with its time", () => {
  const ids = createIds(startMs);
  for (const nowMs of [startMs, startMs + 0.7, startMs + 5, startMs + 1e9, 2 ** 47]) {
    const id = ids.invocationId(nowMs);
    assert.match(id, /^[0-9a-f]{32}$/);
    assert.equal(Number.parseInt(id.slice(0, 12), 16), Math.floor(nowMs));
  }
});

test("ids never repeat and sort by time, within a millisecond up to 64 of them", () => {
  const ids = createIds(startMs);
  const seen: string[] = [];
  for (let index = 0; index < 64_000; index += 1) seen.push(ids.invocationId(startMs + Math.floor(index / 64)));
  assert.equal(new Set(seen).size, seen.length);
  assert.deepEqual(seen, seen.toSorted());
  for (let index = 0; index < 10_000; index += 1) seen.push(ids.invocationId(startMs + 5_000));
  assert.equal(new Set(seen).size, seen.length);
});

test("a clock that steps back does not take the ids with it", () => {
  const ids = createIds(startMs);
  const before = ids.invocationId(startMs + 100);
  assert.ok(ids.invocationId(startMs - 60_000) > before);
});

test("every random bit takes both values", () => {
  const ids = createIds(startMs);
  let ones = 0n;
  let zeros = 0n;
  for (let index = 0; index < 2_000; index += 1) {
    const id = BigInt(`0x${ids.invocationId(startMs)}`);
    ones |= id;
    zeros |= ~id;
  }
  const random = (1n << 74n) - 1n;
  assert.equal(ones & random, random);
  assert.equal(zeros & random, random);
});

const trace = "0af7651916cd43dd8448eb211c80319c";
const span = "b7ad6b7169203331";

test("only what the standard calls a traceparent is one", () => {
  const table: [string, boolean][] = [
    [`00-${trace}-${span}-01`, true],
    [`00-${trace}-${span}-00`, true],
    [`01-${trace}-${span}-01`, true],
    [`cc-${trace}-${span}-01-what-the-future-holds`, true],
    [`00-${trace}-${span}-01-more`, false],
    [`cc-${trace}-${span}-01.more`, false],
    [`ff-${trace}-${span}-01`, false],
    [`00-${"0".repeat(32)}-${span}-01`, false],
    [`00-${trace}-${"0".repeat(16)}-01`, false],
    [`00-${trace.toUpperCase()}-${span}-01`, false],
    [`00-${trace}-${span}-1`, false],
    [`00-${trace}-${span}`, false],
    [`0-${trace}-${span}-01`, false],
    [` 00-${trace}-${span}-01`, false],
    ["", false],
  ];
  for (const [text, expected] of table) assert.equal(isTraceparent(text), expected, text);
});

test("an invocation joins its caller's trace or begins one", () => {
  const id = createIds(startMs).invocationId(startMs);
  const own = `00-${id}-${id.slice(16)}-01`;
  const table: [string | null, string, string][] = [
    [null, own, id],
    ["broken", own, id],
    [`00-${trace}-${span}-00`, `00-${trace}-${id.slice(16)}-00`, trace],
    [`cc-${trace}-${span}-03-new`, `00-${trace}-${id.slice(16)}-03`, trace],
  ];
  for (const [incoming, expected, traceId] of table) {
    assert.equal(traceparent(incoming, id), expected);
    assert.equal(traceIdOf(incoming, id), traceId);
  }
});
