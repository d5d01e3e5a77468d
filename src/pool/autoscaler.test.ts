import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { createScalerState, decideScale, tickMs, wantsInstanceNow } from "./autoscaler.ts";
import type { ScalePolicy, ScaleSample } from "./autoscaler.ts";

const policy: ScalePolicy = { concurrency: 64, minInstances: 0, maxInstances: 100, cores: 2 };
const single: ScalePolicy = { ...policy, concurrency: 1 };

/** Drives one group by hand; instances become ready as soon as they are asked for unless `ready` says otherwise. */
function group(over: Partial<ScalePolicy> = {}, startReady = 0, base = policy) {
  const own = { ...base, ...over };
  let nowMs = 1_000_000;
  let ready = startReady;
  const state = createScalerState(startReady, nowMs);
  return {
    state,
    hold(seconds: number, sample: Partial<ScaleSample>): number {
      let desired = ready;
      for (let tick = 0; tick < seconds * 4; tick += 1) {
        nowMs += tickMs;
        const full = { load: 0, loopUse: 0, ready, spareCores: Infinity, ...sample };
        desired = decideScale(state, full, own, nowMs).desired;
        ready = sample.ready ?? desired;
      }
      return desired;
    },
  };
}

test("the number of instances follows the load over the target", () => {
  const table: [string, ScalePolicy, number, number][] = [
    ["nothing", policy, 0, 0],
    ["a trace of load is one instance", policy, 0.01, 1],
    ["exactly the target", policy, 44.8, 1],
    ["just over the target", policy, 45, 2],
    ["256 connections, 64 places each, 0.7 of them used", policy, 256, 6],
    ["300 at once", policy, 300, 7],
    ["concurrency 1 has no slack", single, 7, 7],
    ["concurrency 1, half busy", single, 0.5, 1],
    ["concurrency 10", { ...policy, concurrency: 10 }, 15, 3],
    ["never above the most", { ...policy, maxInstances: 4 }, 10_000, 4],
    ["never below the least", { ...policy, minInstances: 3 }, 0, 3],
  ];
  for (const [name, own, load, expected] of table) {
    assert.equal(group(own).hold(70, { load }), expected, name);
  }
});

test("a burst from zero is answered in the first tick", () => {
  assert.equal(group().hold(0.25, { load: 300 }), 7);
  assert.equal(group({}, 0, single).hold(0.25, { load: 40 }), 40);
});

test("a burst onto a steady group makes it panic: the six-second window decides, not the minute", () => {
  const burst = group();
  assert.equal(burst.hold(120, { load: 20 }), 1);
  assert.equal(burst.hold(1.25, { load: 300 }), 2);
  assert.equal(burst.hold(4.75, { load: 300 }), 7);
  assert.ok(burst.state.panicAtMs > 0);
});

test("in panic the number never goes down", () => {
  const it = group();
  it.hold(10, { load: 20 });
  const most = it.hold(10, { load: 300 });
  assert.equal(it.hold(50, { load: 0 }), most);
});

test("panic ends a stable window after the last time the short window asked for twice as much", () => {
  const it = group();
  it.hold(120, { load: 20 });
  assert.equal(it.hold(6, { load: 300 }), 7);
  assert.equal(it.hold(30, { load: 20 }), 7);
  assert.ok(it.state.panicAtMs > 0);
  it.hold(36, { load: 20 });
  assert.equal(it.state.panicAtMs, -1);
  assert.equal(it.state.panicMost, 0);
  assert.equal(it.hold(120, { load: 20 }), 1);
});

test("a group that is taken over with several instances starts in panic and keeps them", () => {
  const it = group({}, 8);
  assert.equal(it.hold(59, { load: 1 }), 8);
  assert.ok(it.hold(120, { load: 1 }) < 8);
  assert.equal(createScalerState(1, 5).panicAtMs, -1);
});

test("load that ends decays to zero within the two windows", () => {
  const it = group();
  const peak = it.hold(180, { load: 400 });
  const seen: number[] = [];
  for (let second = 0; second < 125; second += 1) seen.push(it.hold(1, { load: 0 }));
  assert.equal(peak, 9);
  assert.ok(
    seen.every((desired, index) => desired <= (seen[index - 1] ?? peak)),
    seen.join(" "),
  );
  assert.equal(seen.at(-1), 0);
});

test("one tick goes down to no less than half of what is ready", () => {
  const it = group();
  it.hold(70, { load: 0, ready: 9 });
  assert.equal(it.hold(0.25, { load: 0, ready: 9 }), 4);
});

test("flapping load does not flap the number of instances", () => {
  const it = group();
  it.hold(60, { load: 200 });
  const seen = new Set<number>();
  for (let round = 0; round < 40; round += 1) {
    seen.add(it.hold(3, { load: 400 }));
    seen.add(it.hold(3, { load: 0 }));
  }
  assert.ok(Math.max(...seen) - Math.min(...seen) <= 4, [...seen].join(" "));
  assert.ok(Math.min(...seen) >= 5, [...seen].join(" "));
});

test("event-loop utilisation adds instances only where they can run and have something to do", () => {
  const busy = { load: 8, loopUse: 1, ready: 1, spareCores: 1 };
  const table: [string, Partial<ScalePolicy>, Partial<ScaleSample>, number][] = [
    ["CPU-bound, a core free", {}, busy, 2],
    ["CPU-bound, doubled towards many cores", { cores: 16 }, { ...busy, loopUse: 4, ready: 4, spareCores: 9 }, 8],
    ["never more than cores", { cores: 2 }, { ...busy, loopUse: 2, ready: 2 }, 2],
    ["not full: 0.9 is enough for one", {}, { ...busy, loopUse: 0.9 }, 1],
    ["no core is free", {}, { ...busy, spareCores: 0.2 }, 1],
    ["one caller after the other: nothing to share", {}, { ...busy, load: 0.95 }, 1],
    ["two callers share", {}, { ...busy, load: 1.8 }, 2],
    ["two instances needed stay", {}, { ...busy, loopUse: 1.2, ready: 2, spareCores: 0 }, 2],
    ["two instances of which one would do", {}, { ...busy, loopUse: 0.7, ready: 2 }, 1],
  ];
  for (const [name, own, sample, expected] of table) {
    const it = group(own);
    assert.equal(it.hold(70, sample), expected, name);
  }
});

test("many connections to busy instances on a full machine stop at the number of cores", () => {
  const table: [string, Partial<ScaleSample>, number][] = [
    ["instances compute, no core free", { loopUse: 0.65, ready: 1, spareCores: 0 }, 2],
    ["instances compute, cores free", { loopUse: 0.65, ready: 1, spareCores: 1 }, 6],
    ["instances wait for a database", { loopUse: 0.2, ready: 1, spareCores: 0 }, 6],
    ["what is there is not taken away", { loopUse: 4, ready: 5, spareCores: 0 }, 5],
  ];
  for (const [name, sample, expected] of table)
    assert.equal(group().hold(70, { load: 256, ...sample }), expected, name);
});

test("an arrival starts an instance at once when there is no place for it", () => {
  const table: [string, ScalePolicy, number, number, number, number, boolean][] = [
    // in flight, waiting, ready, starting
    ["the first request of a sleeping group", policy, 0, 1, 0, 0, true],
    ["the second one while the first instance starts", policy, 0, 2, 0, 1, false],
    ["more than the starting one can hold", policy, 0, 65, 0, 1, true],
    ["all places taken", policy, 64, 1, 1, 0, true],
    ["all places taken, but as many as cores are there", policy, 128, 1, 2, 0, false],
    ["nothing waits", policy, 64, 0, 1, 0, false],
    ["at the most", { ...policy, maxInstances: 1 }, 64, 1, 1, 0, false],
    ["concurrency 1, one busy", single, 1, 1, 1, 0, true],
    ["concurrency 1, one on its way for it", single, 1, 1, 1, 1, false],
    ["concurrency 1, far beyond the cores", single, 30, 5, 30, 4, true],
    ["concurrency 1, at the most", { ...single, maxInstances: 34 }, 30, 5, 30, 4, false],
    ["nothing at all", policy, 0, 0, 0, 0, false],
  ];
  for (const [name, own, inFlight, waiting, ready, starting, expected] of table) {
    assert.equal(wantsInstanceNow(inFlight, waiting, ready, starting, own), expected, name);
  }
});

const anyPolicy = fc
  .record({
    concurrency: fc.integer({ min: 1, max: 1000 }),
    minInstances: fc.integer({ min: 0, max: 20 }),
    more: fc.integer({ min: 1, max: 1000 }),
    cores: fc.integer({ min: 1, max: 64 }),
  })
  .map(({ more, ...rest }): ScalePolicy => ({ ...rest, maxInstances: rest.minInstances + more }));

const anyTick = fc.record({
  load: fc.double({ min: 0, max: 5_000, noNaN: true }),
  extra: fc.double({ min: 0, max: 5_000, noNaN: true }),
  perLoop: fc.double({ min: 0, max: 1, noNaN: true }),
  ready: fc.integer({ min: 0, max: 50 }),
  spareCores: fc.double({ min: 0, max: 64, noNaN: true }),
  waitMs: fc.integer({ min: 1, max: 5_000 }),
});

test("for any history the number is whole, within bounds, and more load never means fewer instances", () => {
  fc.assert(
    fc.property(anyPolicy, fc.array(anyTick, { minLength: 1, maxLength: 60 }), (own, ticks) => {
      const lower = createScalerState(0, 0);
      const higher = createScalerState(0, 0);
      let nowMs = 0;
      for (const { load, extra, perLoop, ready, spareCores, waitMs } of ticks) {
        nowMs += waitMs;
        const sample = { load, loopUse: perLoop * ready, ready, spareCores };
        const less = decideScale(lower, sample, own, nowMs).desired;
        const more = decideScale(higher, { ...sample, load: load + extra }, own, nowMs).desired;
        assert.ok(Number.isInteger(less) && less >= own.minInstances && less <= own.maxInstances, `${less}`);
        assert.ok(more >= less, `${more} for more load, ${less} for less`);
      }
    }),
  );
});
