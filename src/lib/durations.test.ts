import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDuration, formatMicros, parseDurationMs } from "./durations.ts";

test("a duration is read in its unit", () => {
  const table: [string, number | null][] = [
    ["250ms", 250],
    ["20s", 20_000],
    ["1.5s", 1500],
    ["10m", 600_000],
    ["1h", 3_600_000],
    ["7d", 604_800_000],
    [" 3s ", 3000],
    ["20", null],
    ["-1s", null],
    ["s", null],
    ["1 s", null],
    ["99999999999999999999d", null],
  ];
  for (const [text, expected] of table) assert.equal(parseDurationMs(text), expected, text);
});

test("a duration is written in the largest unit that divides it", () => {
  assert.deepEqual([0, 250, 1500, 60_000, 90_000, 86_400_000].map(formatDuration), [
    "0s",
    "250ms",
    "1500ms",
    "1m",
    "90s",
    "1d",
  ]);
});

test("microseconds are written for reading", () => {
  assert.deepEqual([310, 42_000, 1_500_000].map(formatMicros), ["0.31 ms", "42.0 ms", "1.50 s"]);
});
