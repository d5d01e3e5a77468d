import assert from "node:assert/strict";
import { test } from "node:test";
import { TokenBucket } from "./token-bucket.ts";

test("a bucket gives its burst at once and its rate afterwards", () => {
  const bucket = new TokenBucket(10, 3, 1000);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => bucket.take(1000)),
    [true, true, true, false],
  );
  assert.equal(bucket.take(1099), false);
  assert.equal(bucket.take(1100), true);
  assert.equal(bucket.take(1100), false);
});

test("a bucket never holds more than its burst", () => {
  const bucket = new TokenBucket(10, 3, 0);
  assert.equal(bucket.take(3_600_000, 4), false);
  assert.equal(bucket.take(3_600_000, 3), true);
  assert.equal(bucket.take(3_600_000), false);
});

test("a clock that goes back neither fills nor empties a bucket", () => {
  const bucket = new TokenBucket(1000, 1, 5000);
  assert.equal(bucket.take(5000), true);
  assert.equal(bucket.take(4000), false);
  assert.equal(bucket.take(5001), true);
});

test("a bucket tells how long tokens take to come", () => {
  const bucket = new TokenBucket(10, 5, 0);
  assert.equal(bucket.waitMs(0, 5), 0);
  bucket.take(0, 5);
  assert.equal(bucket.waitMs(0, 2), 200);
  assert.equal(bucket.waitMs(0, 6), Infinity);
});
