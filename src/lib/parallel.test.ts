import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachParallel } from "./parallel.ts";

test("every item is worked on once, and never more than the limit at once", async () => {
  const done: number[] = [];
  let atOnce = 0;
  let most = 0;
  await forEachParallel([1, 2, 3, 4, 5, 6, 7], 3, async (item) => {
    most = Math.max(most, ++atOnce);
    await new Promise(setImmediate);
    atOnce--;
    done.push(item);
  });
  assert.deepEqual(done.toSorted(), [1, 2, 3, 4, 5, 6, 7]);
  assert.equal(most, 3);
});

test("after a failure no further item is taken", async () => {
  const taken: number[] = [];
  const failing = forEachParallel([1, 2, 3, 4], 1, async (item) => {
    taken.push(item);
    if (item === 2) throw new Error("two");
  });
  await assert.rejects(failing, { message: "two" });
  assert.deepEqual(taken, [1, 2]);
});
