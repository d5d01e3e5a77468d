import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { crashBackoffMs } from "./crash-backoff.ts";
import { chooseEvictions, idleVictims, pickInstance } from "./instance-choice.ts";
import type { ChoosableInstance } from "./instance-choice.ts";

interface Named extends ChoosableInstance {
  readonly name: string;
}

function instance(name: string, over: Partial<ChoosableInstance> = {}): Named {
  return { name, inFlight: 0, accepting: true, idleSinceMs: 0, memoryBytes: 100, kept: false, ...over };
}

const anyInstance = fc.record({
  inFlight: fc.integer({ min: 0, max: 3 }),
  accepting: fc.boolean(),
  idleSinceMs: fc.integer({ min: 0, max: 1_000 }),
  memoryBytes: fc.integer({ min: 0, max: 1_000 }),
  kept: fc.boolean(),
});

test("a request goes to the instance with the fewest in flight, the first among equals", () => {
  const at = (...loads: number[]) => loads.map((inFlight, index) => instance(`${index}`, { inFlight }));
  const table: [Named[], number, string | null][] = [
    [[], 64, null],
    [at(0, 0, 0), 64, "0"],
    [at(3, 1, 2), 64, "1"],
    [at(2, 2), 64, "0"],
    [at(64, 63), 64, "1"],
    [at(64, 64), 64, null],
    [at(1, 0), 1, "1"],
    [at(1, 1), 1, null],
    [[instance("a", { accepting: false }), instance("b", { inFlight: 9 })], 64, "b"],
    [[instance("a", { accepting: false })], 64, null],
  ];
  for (const [instances, concurrency, expected] of table) {
    assert.equal(pickInstance(instances, concurrency)?.name ?? null, expected);
  }
});

test("idle instances end longest idle first, never below what is desired or the least", () => {
  const policy = { minInstances: 0, keepAliveMs: 100 };
  const old = instance("old", { idleSinceMs: 0 });
  const older = instance("older", { idleSinceMs: -50 });
  const fresh = instance("fresh", { idleSinceMs: 950 });
  const busy = instance("busy", { inFlight: 1 });
  const draining = instance("draining", { accepting: false });
  const table: [string, Named[], number, Partial<typeof policy>, string[]][] = [
    ["none", [], 0, {}, []],
    ["one too many: the longest idle", [old, older, busy], 2, {}, ["older"]],
    ["two too many", [old, older, busy], 1, {}, ["older", "old"]],
    ["desired keeps them beside one that works", [old, older, busy], 3, {}, []],
    ["surplus, but not idle for long enough", [fresh, busy], 1, {}, []],
    ["surplus, but working", [busy, instance("busy2", { inFlight: 5 })], 0, {}, []],
    ["all have idled out: zero, though the window still wants one", [old, older], 2, {}, ["older", "old"]],
    ["all have idled out, down to the least", [old, older], 0, { minInstances: 1 }, ["older"]],
    ["the least counts before desired", [old, older, fresh], 0, { minInstances: 3 }, []],
    ["a draining one is neither counted nor chosen", [old, draining, busy], 1, {}, ["old"]],
    ["keep-alive 0 ends at once", [instance("now", { idleSinceMs: 1_000 })], 1, { keepAliveMs: 0 }, ["now"]],
  ];
  for (const [name, instances, desired, over, expected] of table) {
    const victims = idleVictims(instances, desired, 1_000, { ...policy, ...over });
    assert.deepEqual(
      victims.map((victim) => victim.name),
      expected,
      name,
    );
  }
});

test("no choice of victims ever takes an instance with work or goes below the least", () => {
  const desired = fc.integer({ min: 0, max: 10 });
  fc.assert(
    fc.property(fc.array(anyInstance, { maxLength: 12 }), desired, desired, (instances, wanted, minInstances) => {
      const victims = idleVictims(instances, wanted, 1_000, { minInstances, keepAliveMs: 500 });
      const before = instances.filter((one) => one.accepting).length;
      assert.ok(victims.every((one) => one.accepting && one.inFlight === 0 && one.idleSinceMs <= 500));
      assert.ok(victims.length === 0 || before - victims.length >= minInstances);
    }),
  );
});

test("memory is made by ending the least recently used idle instances, and only as many as needed", () => {
  const a = instance("a", { idleSinceMs: 30 });
  const b = instance("b", { idleSinceMs: 10 });
  const c = instance("c", { idleSinceMs: 20 });
  const busy = instance("busy", { inFlight: 2, idleSinceMs: 0 });
  const kept = instance("kept", { kept: true, idleSinceMs: 0 });
  const table: [string, Named[], number, number, string[] | null][] = [
    ["it fits", [a, b], 100, 300, []],
    ["one goes", [a, b, c], 100, 300, ["b"]],
    ["two go", [a, b, c], 101, 300, ["b", "c"]],
    ["working and kept ones stay", [busy, kept, a], 100, 300, ["a"]],
    ["not enough to end: none is", [busy, kept, a], 201, 300, null],
    ["more than the budget itself", [a], 301, 300, null],
  ];
  for (const [name, instances, need, budget, expected] of table) {
    const chosen = chooseEvictions(instances, need, budget);
    assert.deepEqual(chosen?.map((one) => one.name) ?? null, expected, name);
  }
});

test("evictions always make the room they promise", () => {
  const bytes = fc.integer({ min: 0, max: 4_000 });
  fc.assert(
    fc.property(fc.array(anyInstance, { maxLength: 12 }), bytes, bytes, (instances, need, budget) => {
      const chosen = chooseEvictions(instances, need, budget);
      if (chosen === null) return;
      const left = instances.filter((one) => !chosen.includes(one));
      assert.ok(chosen.length === 0 || left.reduce((sum, one) => sum + one.memoryBytes, need) <= budget);
      assert.ok(chosen.every((one) => one.inFlight === 0 && !one.kept));
    }),
  );
});

test("starts that keep failing are tried ever more rarely", () => {
  const waits = [0, 1, 2, 3, 4, 5, 6, 7, 8, 100, 5_000].map(crashBackoffMs);
  assert.deepEqual(waits, [0, 0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 30_000]);
});
