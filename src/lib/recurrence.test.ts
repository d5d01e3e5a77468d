import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { formatSchedule, nextRun, parseCron, parseEvery, type Recurrence } from "./recurrence.ts";

function runs(schedule: Recurrence, after: string, count: number): string[] {
  const found: string[] = [];
  for (let at = Date.parse(after); found.length < count;) {
    const next = nextRun(schedule, at);
    assert.ok(next !== null && next > at);
    found.push(new Date(next).toISOString().replace(":00.000Z", "Z"));
    at = next;
  }
  return found;
}

const table: [what: string, pattern: string, timezone: string, after: string, expected: string[]][] = [
  [
    "a named time stays at its hour of the wall clock",
    "0 3 * * *",
    "Europe/Berlin",
    "2026-10-24T00:00:00Z",
    ["2026-10-24T01:00Z", "2026-10-25T02:00Z", "2026-10-26T02:00Z"],
  ],
  [
    "a named time in the gap of spring comes right after the gap, once",
    "30 2 * * *",
    "Europe/Berlin",
    "2026-03-28T00:00:00Z",
    ["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z"],
  ],
  [
    "a named time that autumn has twice comes the first time only",
    "30 2 * * *",
    "Europe/Berlin",
    "2026-10-24T12:00:00Z",
    ["2026-10-25T00:30Z", "2026-10-26T01:30Z"],
  ],
  [
    "a list of hours is named too",
    "30 1,14 * * *",
    "America/New_York",
    "2026-11-01T00:00:00Z",
    ["2026-11-01T05:30Z", "2026-11-01T19:30Z", "2026-11-02T06:30Z"],
  ],
  [
    "a step goes through both hours of autumn",
    "*/30 * * * *",
    "America/New_York",
    "2026-11-01T04:59:00Z",
    ["2026-11-01T05:00Z", "2026-11-01T05:30Z", "2026-11-01T06:00Z", "2026-11-01T06:30Z", "2026-11-01T07:00Z"],
  ],
  [
    "a step leaves out the gap of spring",
    "0 * * * *",
    "America/New_York",
    "2026-03-08T05:30:00Z",
    ["2026-03-08T06:00Z", "2026-03-08T07:00Z", "2026-03-08T08:00Z"],
  ],
  [
    "a zone without changes",
    "0 3 * * *",
    "Asia/Shanghai",
    "2026-03-28T00:00:00Z",
    ["2026-03-28T19:00Z", "2026-03-29T19:00Z"],
  ],
  [
    "a change by half an hour: 02:15 is in the gap and comes at 02:30",
    "15 2 * * *",
    "Australia/Lord_Howe",
    "2026-10-03T00:00:00Z",
    ["2026-10-03T15:30Z", "2026-10-04T15:15Z"],
  ],
  [
    "the half hour that autumn repeats there comes once",
    "45 1 * * *",
    "Australia/Lord_Howe",
    "2026-04-04T00:00:00Z",
    ["2026-04-04T14:45Z", "2026-04-05T15:15Z"],
  ],
  [
    "the last day of a month, and a leap day",
    "0 0 L 2 *",
    "UTC",
    "2027-01-01T00:00:00Z",
    ["2027-02-28T00:00Z", "2028-02-29T00:00Z"],
  ],
  ["a name", "@daily", "UTC", "2026-03-28T10:00:00Z", ["2026-03-29T00:00Z"]],
];

for (const [what, pattern, timezone, after, expected] of table) {
  test(`${what}: ${pattern} in ${timezone}`, () => {
    assert.deepEqual(runs(parseCron(pattern, timezone), after, expected.length), expected);
  });
}

const refused: [pattern: string, timezone: string | undefined, message: RegExp][] = [
  ["", undefined, /has 0 fields/],
  ["0 3 * *", undefined, /has 4 fields/],
  ["0 0 3 * * * 2020", undefined, /has 7 fields/],
  ["2030-01-01T00:00:00", undefined, /has 1 fields/],
  ["61 * * * *", undefined, /no cron pattern: Invalid value for minute: 61/],
  ["*/0 * * * *", undefined, /no cron pattern: .*stepping/],
  ["0 0 30 2 *", undefined, /never comes/],
  ["0 0 31 4,6,9,11 *", "Europe/Berlin", /never comes/],
  ["0 3 * * *", "Europe/Nowhere", /there is no time zone "Europe\/Nowhere"/],
  ["0 3 * * *", "", /there is no time zone ""/],
];

for (const [pattern, timezone, message] of refused) {
  test(`refused: "${pattern}" in ${timezone ?? "UTC"}`, () => {
    assert.throws(() => parseCron(pattern, timezone), message);
  });
}

test("an interval is counted from the epoch", () => {
  const schedule = parseEvery(10_000);
  assert.equal(nextRun(schedule, 0), 10_000);
  assert.equal(nextRun(schedule, 9999), 10_000);
  assert.equal(nextRun(schedule, 10_000), 20_000);
  for (const ms of [0, 999, -5, 1.5, Number.NaN, 1e15]) assert.throws(() => parseEvery(ms), /not allowed/);
});

test("the next run is after the time asked for, and none lies in between", () => {
  const schedules = [parseCron("*/7 3-5 * * 1-5", "Europe/Berlin"), parseCron("15 30 2 * * *", "America/New_York")];
  const times = fc.integer({ min: Date.UTC(2020, 0, 1), max: Date.UTC(2040, 0, 1) });
  fc.assert(
    fc.property(fc.constantFrom(...schedules), times, fc.double({ min: 0, max: 1, noNaN: true }), (one, at, share) => {
      const next = nextRun(one, at);
      assert.ok(next !== null && next > at);
      const between = Math.floor(at + (next - 1 - at) * share);
      assert.equal(nextRun(one, between), next);
    }),
    { numRuns: 100 },
  );
});

test("a schedule is written for reading", () => {
  assert.equal(formatSchedule(parseCron("0  3 * * *", "Asia/Shanghai")), "0 3 * * * (Asia/Shanghai)");
  assert.equal(formatSchedule(parseCron("0 3 * * *")), "0 3 * * *");
  assert.equal(formatSchedule(parseEvery(10_000)), "every 10s");
});
