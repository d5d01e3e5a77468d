import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { changeLoad, createLoadMeter, takeLoad } from "./load-meter.ts";
import { addToWindow, createLoadWindow, windowAverage } from "./load-window.ts";

/** Spans of [milliseconds, load], beginning at `startMs`. */
function filled(startMs: number, spans: readonly (readonly [number, number])[]) {
  const window = createLoadWindow();
  let nowMs = startMs;
  addToWindow(window, spans[0]?.[1] ?? 0, 0, nowMs, 1);
  for (const [ms, load] of spans) {
    nowMs += ms;
    addToWindow(window, load, 0, nowMs, 1);
  }
  return window;
}

test("averages are weighted by time and reach back no further than the data", () => {
  const table: [string, number, [number, number][], number, number][] = [
    ["one level", 500, [[250, 7]], 60_000, 7],
    [
      "two halves of a second",
      0,
      [
        [500, 2],
        [500, 4],
      ],
      60_000,
      3,
    ],
    [
      "a short peak weighs little",
      0,
      [
        [9_900, 0],
        [100, 100],
      ],
      60_000,
      1,
    ],
    ["younger than the window", 123, [[2_000, 10]], 60_000, 10],
    [
      "only the last six seconds",
      0,
      [
        [30_000, 100],
        [6_000, 1],
      ],
      6_000,
      1,
    ],
    [
      "the oldest bucket counts in part",
      0,
      [
        [3_500, 0],
        [6_500, 0],
        [3_000, 10],
      ],
      6_000,
      5,
    ],
    [
      "all of the long window",
      0,
      [
        [60_000, 4],
        [30_000, 1],
        [30_000, 3],
      ],
      60_000,
      2,
    ],
    [
      "a gap shorter than the window is empty time",
      0,
      [
        [1_000, 30],
        [20_000, 0],
        [9_000, 0],
      ],
      60_000,
      1,
    ],
  ];
  for (const [name, startMs, spans, windowMs, expected] of table) {
    const average = windowAverage(filled(startMs, spans), "load", windowMs);
    assert.ok(Math.abs(average - expected) < 0.02, `${name}: ${average} instead of ${expected}`);
  }
});

test("after a minute without a tick the past is forgotten", () => {
  const window = filled(0, [[60_000, 50]]);
  addToWindow(window, 2, 0, 125_000, 250);
  assert.equal(windowAverage(window, "load", 60_000), 2);
});

test("the two signals do not touch each other", () => {
  const window = createLoadWindow();
  for (let ms = 250; ms <= 90_000; ms += 250) addToWindow(window, 8, 0.5, ms, 250);
  assert.ok(Math.abs(windowAverage(window, "load", 6_000) - 8) < 1e-3);
  assert.ok(Math.abs(windowAverage(window, "loopUse", 60_000) - 0.5) < 1e-4);
});

test("the average equals the one computed from every span, however irregular", () => {
  const span = fc.tuple(fc.integer({ min: 1, max: 7_000 }), fc.integer({ min: 0, max: 1_000 }));
  fc.assert(
    fc.property(
      fc.array(span, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 0, max: 5_000 }),
      (spans, startMs) => {
        const average = windowAverage(filled(startMs, spans), "load", 60_000);
        let area = 0;
        let leftMs = 60_000;
        for (const [ms, load] of spans.toReversed()) {
          area += Math.min(ms, leftMs) * load;
          leftMs -= Math.min(ms, leftMs);
        }
        const expected = area / (60_000 - leftMs);
        // The first millisecond is not in the sum; in the oldest bucket of a full window the level is taken as even.
        const tolerance = leftMs > 0 ? 1_000 / (60_000 - leftMs) : 1_000 / 60;
        return Math.abs(average - expected) <= tolerance + 0.1;
      },
    ),
  );
});

test("a meter averages every change since it was last read", () => {
  const meter = createLoadMeter(0);
  changeLoad(meter, 1, 100);
  changeLoad(meter, 1, 150);
  changeLoad(meter, -2, 200);
  assert.equal(takeLoad(meter, 250), (50 * 1 + 50 * 2) / 250);
  changeLoad(meter, 3, 250);
  assert.equal(takeLoad(meter, 250), 3);
  assert.equal(takeLoad(meter, 500), 3);
});
