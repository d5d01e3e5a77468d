import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { nextRun, parseCron, parseEvery } from "../../lib/recurrence.ts";
import { dueTicks, jitterOf, ticksBetween } from "./due-ticks.ts";

const minute = 60_000;
const everyMinute = parseEvery(minute);

test("the latest ticks are the end of all ticks", () => {
  const schedules = [parseEvery(7000), parseCron("*/5 * * * *", "Europe/Berlin"), parseCron("0 0 1 1 *")];
  const begin = Date.UTC(2026, 9, 24);
  fc.assert(
    fc.property(fc.constantFrom(...schedules), fc.nat(200_000), fc.nat(20), (schedule, lengthMs, most) => {
      const all: number[] = [];
      const untilMs = begin + lengthMs;
      for (let at = nextRun(schedule, begin - 1); at !== null && at <= untilMs; at = nextRun(schedule, at))
        all.push(at);
      assert.deepEqual(ticksBetween(schedule, begin, untilMs, most + 1), all.slice(-most - 1));
    }),
    { numRuns: 60 },
  );
});

const due = { schedule: everyMinute, nextMs: minute, graceMs: minute, most: 100 };

test("ticks that were missed: none, the latest, or all", () => {
  const nowMs = 10 * minute + 30_000;
  const late = { ...due, schedule: parseEvery(5 * minute), nextMs: 5 * minute, nowMs: 13 * minute };
  assert.deepEqual(dueTicks({ ...late, missed: "skip", overlap: "skip" }), []);
  assert.deepEqual(dueTicks({ ...late, missed: "once", overlap: "skip" }), [10 * minute]);
  assert.deepEqual(dueTicks({ ...late, missed: "all", overlap: "skip" }), [5 * minute, 10 * minute]);
  assert.deepEqual(dueTicks({ ...due, nowMs, missed: "once", overlap: "skip" }), [10 * minute]);
  assert.deepEqual(dueTicks({ ...due, nowMs, missed: "all", overlap: "skip", most: 3 }), [
    8 * minute,
    9 * minute,
    10 * minute,
  ]);
  assert.deepEqual(dueTicks({ ...due, nowMs: 59_999, missed: "all", overlap: "skip" }), []);
});

test("a schedule of seconds that was down for a month is decided at once", () => {
  const month = 31 * 24 * 60 * minute;
  const seconds = parseCron("* * * * * *");
  const nowMs = Date.UTC(2026, 5, 1);
  const ticks = dueTicks({ ...due, schedule: seconds, nextMs: nowMs - month, nowMs, missed: "all", overlap: "skip" });
  assert.equal(ticks.length, 100);
  assert.equal(ticks.at(-1), nowMs);
});

test("jitter is the same each time, within its bound, and spread", () => {
  const delays = Array.from({ length: 200 }, (_, tick) => jitterOf("app nightly", tick * minute, 10_000));
  assert.deepEqual(delays[7], jitterOf("app nightly", 7 * minute, 10_000));
  assert.ok(delays.every((delay) => delay >= 0 && delay <= 10_000));
  assert.ok(new Set(delays).size > 150);
  assert.equal(jitterOf("app nightly", 5, 0), 0);
});
