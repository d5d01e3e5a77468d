import assert from "node:assert/strict";
import { test } from "node:test";
import { BodySource } from "./body.ts";

test("room is granted only for what a reader has taken", async () => {
  const granted: number[] = [];
  const source = new BodySource(null, false, (bytes) => granted.push(bytes));
  source.push(Buffer.from("abc"), false);
  source.push(Buffer.from("de"), false);
  assert.deepEqual(granted, []);
  const reader = source.stream().getReader();
  assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), "abc");
  assert.deepEqual(granted, [3]);
  source.push(Buffer.alloc(0), true);
  assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), "de");
  assert.equal((await reader.read()).done, true);
});

test("whoever waits for a body that fails gets the error", async () => {
  const source = new BodySource(Buffer.from("part"), false, () => {});
  const reading = source.bytes();
  source.fail(new Error("the sender went away"));
  await assert.rejects(reading, /the sender went away/);
});

test("a failure after the last byte changes nothing", async () => {
  const source = new BodySource(Buffer.from("all"), true, () => {});
  source.fail(new Error("late"));
  assert.equal((await source.bytes()).toString(), "all");
});

test("a stream that is cancelled lets the rest through, so that the sender is not held up", async () => {
  const granted: number[] = [];
  const source = new BodySource(null, false, (bytes) => granted.push(bytes));
  await source.stream().cancel();
  source.push(Buffer.alloc(100), false);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(granted, [100]);
});
