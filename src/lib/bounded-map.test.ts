import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { BoundedMap } from "./bounded-map.ts";

test("what is asked for stays, what is not is forgotten, and the bound holds", () => {
  const map = new BoundedMap<string, number>(10);
  map.set("kept", 1);
  map.set("left", 2);
  for (let index = 0; index < 100; index += 1) {
    map.set(`${index}`, index);
    assert.equal(map.get("kept"), 1);
    assert.ok(map.size <= 10);
  }
  assert.equal(map.get("left"), undefined);
  assert.equal(map.get("99"), 99);
});

test("a deleted or replaced value never comes back from the other generation", () => {
  const step = fc.record({
    key: fc.integer({ min: 0, max: 9 }),
    verb: fc.constantFrom("set", "get", "delete", "clear"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const map = new BoundedMap<number, number>(6);
      const model = new Map<number, number>();
      for (const [index, { key, verb }] of steps.entries()) {
        if (verb === "set") {
          map.set(key, index);
          model.set(key, index);
        } else if (verb === "delete") {
          map.delete(key);
          model.delete(key);
        } else if (verb === "clear") {
          map.clear();
          model.clear();
        }
        const value = map.get(key);
        assert.ok(value === undefined || value === model.get(key));
        assert.ok(map.size <= 6);
      }
    }),
  );
});
