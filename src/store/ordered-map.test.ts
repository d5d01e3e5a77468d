import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { OrderedMap } from "./ordered-map.ts";

const key = fc.string({ unit: fc.constantFrom("a", "b", "\xff"), maxLength: 7 });
const step = fc.record({ key, isDelete: fc.boolean() });

test("an ordered map holds what a Map holds, in the order of its keys, in both directions and any range", () => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 200, maxLength: 1500, size: "max" }),
      key,
      fc.option(key),
      (steps, start, end) => {
        const map = new OrderedMap<number>();
        const model = new Map<string, number>();
        for (const [index, { key, isDelete }] of steps.entries()) {
          if (isDelete) assert.equal(map.delete(key), model.delete(key));
          else {
            map.set(key, index);
            model.set(key, index);
          }
        }
        assert.equal(map.size, model.size);
        const sorted = [...model].toSorted(([a], [b]) => (a < b ? -1 : 1));
        assert.deepEqual([...map.scan("", null)], sorted);
        const inside = sorted.filter(([key]) => key >= start && (end === null || key < end));
        assert.deepEqual([...map.scan(start, end)], inside);
        assert.deepEqual([...map.scan(start, end, true)], inside.toReversed());
      },
    ),
  );
});

test("keys added in order stay in order, and a map that was emptied is used again", () => {
  const map = new OrderedMap<number>();
  const keys = Array.from({ length: 1000 }, (_, index) => String(index).padStart(4, "0"));
  for (const [index, key] of keys.entries()) map.set(key, index);
  assert.deepEqual(
    [...map.scan("0100", "0103")],
    [
      ["0100", 100],
      ["0101", 101],
      ["0102", 102],
    ],
  );
  map.clear();
  assert.deepEqual([...map.scan("", null)], []);
  map.set("x", 1);
  assert.deepEqual([...map.scan("", null, true)], [["x", 1]]);
  assert.equal(map.get("0001"), undefined);
});
