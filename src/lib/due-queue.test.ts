import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { DueQueue } from "./due-queue.ts";

type Step =
  | { kind: "set"; thing: number; atMs: number }
  | { kind: "delete"; thing: number }
  | { kind: "take"; nowMs: number };

test("it does what a sorted list of the last times does", () => {
  const thing = fc.nat(20);
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ kind: fc.constant("set" as const), thing, atMs: fc.nat(100) }),
    fc.record({ kind: fc.constant("delete" as const), thing }),
    fc.record({ kind: fc.constant("take" as const), nowMs: fc.nat(100) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const queue = new DueQueue<number>();
      const model = new Map<number, number>();
      for (const one of steps) {
        if (one.kind === "set") {
          queue.set(one.thing, one.atMs);
          model.set(one.thing, one.atMs);
        } else if (one.kind === "delete") {
          queue.delete(one.thing);
          model.delete(one.thing);
        } else {
          const taken = queue.take(one.nowMs);
          const least = Math.min(...model.values());
          if (taken === null) assert.ok(least > one.nowMs);
          else {
            assert.equal(model.get(taken), least);
            model.delete(taken);
          }
        }
        assert.equal(queue.size, model.size);
        assert.equal(queue.nextMs(), model.size === 0 ? null : Math.min(...model.values()));
      }
    }),
  );
});
