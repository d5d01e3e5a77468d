import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCronOptions, scheduleOf } from "./cron-options.ts";

test("a cron without options has the platform's", () => {
  assert.deepEqual(parseCronOptions("0 3 * * *", {}), {
    timezone: "UTC",
    missed: "once",
    overlap: "skip",
    jitterMs: 0,
    attempts: 3,
    backoffMs: 10_000,
  });
});

test("an interval is written in two ways", () => {
  assert.deepEqual(scheduleOf("every 10s", "UTC"), { kind: "every", everyMs: 10_000 });
  assert.deepEqual(scheduleOf("rate(5 minutes)", "UTC"), { kind: "every", everyMs: 300_000 });
  assert.deepEqual(scheduleOf("rate(1 day)", "UTC"), { kind: "every", everyMs: 86_400_000 });
});

const refused: [name: string, options: Record<string, unknown>, message: RegExp][] = [
  ["0 0 30 2 *", {}, /never comes/],
  ["0 3 * * *", { timezone: "Mars/Olympus" }, /no time zone "Mars\/Olympus"/],
  ["0 3 * * *", { timezone: 5 }, /timezone is 5/],
  ["every soon", {}, /no duration after "every"/],
  ["every 1ms", {}, /interval of 1 ms is not allowed/],
  ["every -5s", {}, /no duration/],
  ["0 3 * * *", { missed: "never" }, /missed is "never"; allowed is "skip", "once", "all"/],
  ["0 3 * * *", { overlap: true }, /overlap is true/],
  ["0 3 * * *", { jitter: "-1s" }, /jitter is "-1s"/],
  ["0 3 * * *", { attempts: 0 }, /attempts is 0; allowed is a whole number from 1/],
  ["0 3 * * *", { time_zone: "UTC" }, /no option "time_zone"; did you mean "timezone"/],
];

for (const [name, options, message] of refused) {
  test(`refused: ${name} with ${JSON.stringify(options)}`, () => {
    assert.throws(() => parseCronOptions(name, options), message);
  });
}
