import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { StreamTable } from "./stream-table.ts";

test("it holds what a Map would hold, whatever is opened and closed", () => {
  const step = fc.oneof(
    fc.record({ open: fc.string() }),
    fc.record({ close: fc.nat({ max: 300 }) }),
    fc.record({ add: fc.integer({ min: 1, max: 5000 }), value: fc.string() }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const table = new StreamTable<string>();
      const model = new Map<number, string>();
      for (const one of steps) {
        if ("open" in one) {
          const id = table.open(one.open);
          assert.equal(model.has(id), false);
          model.set(id, one.open);
        } else if ("add" in one) {
          assert.equal(table.add(one.add, one.value), !model.has(one.add));
          if (!model.has(one.add)) model.set(one.add, one.value);
        } else {
          const id = [...model.keys()][one.close % Math.max(1, model.size)] ?? one.close;
          table.delete(id);
          model.delete(id);
        }
        assert.equal(table.size, model.size);
      }
      for (const [id, value] of model) assert.equal(table.get(id), value);
      assert.deepEqual([...table.values()].toSorted(), [...model.values()].toSorted());
      table.clear();
      assert.equal(table.size, 0);
      assert.deepEqual([...table.values()], []);
    }),
  );
});

test("ids count up and skip those whose place is taken", () => {
  const table = new StreamTable<string>();
  const first = table.open("stays");
  const seen = new Set([first]);
  for (let round = 0; round < 1000; round += 1) {
    const id = table.open("goes");
    assert.ok(id > first && !seen.has(id));
    seen.add(id);
    table.delete(id);
  }
  assert.equal(table.get(first), "stays");
});

test("a stream that is not open is not found, though another one has its place", () => {
  const table = new StreamTable<string>();
  const id = table.open("here");
  assert.equal(table.get(id + 64), null);
  table.delete(id + 64);
  assert.equal(table.get(id), "here");
});
