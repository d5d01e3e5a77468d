import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { countStart, createZygoteDemand, decideZygotes, nextZygoteStep, peakStarts } from "./zygote-target.ts";
import type { ZygotePolicy, ZygoteStock } from "./zygote-target.ts";

const policy: ZygotePolicy = { least: 2, most: 8, bytesEach: 20, budgetBytes: 1_000, startsAtOnce: 1 };

test("each class gets what its busiest second wanted, within the cap and the memory", () => {
  const table: [string, [number, number][], Partial<ZygotePolicy>, [number, number][]][] = [
    ["nothing happened", [], {}, [[256, 2]]],
    ["less than the minimum", [[256, 1]], {}, [[256, 2]]],
    ["a busy second", [[256, 5]], {}, [[256, 5]]],
    ["a burst over the cap", [[256, 50]], {}, [[256, 8]]],
    [
      "another class",
      [[512, 3]],
      {},
      [
        [256, 2],
        [512, 3],
      ],
    ],
    [
      "a class nobody asks for any more",
      [[512, 0]],
      {},
      [
        [256, 2],
        [512, 0],
      ],
    ],
    [
      "two classes share what there is",
      [
        [256, 10],
        [512, 10],
      ],
      {},
      [
        [256, 4],
        [512, 4],
      ],
    ],
    [
      "every class that is asked for gets one",
      [
        [64, 1],
        [256, 20],
        [1024, 1],
      ],
      {},
      [
        [64, 1],
        [256, 6],
        [1024, 1],
      ],
    ],
    ["memory for three", [[256, 9]], { budgetBytes: 79 }, [[256, 3]]],
    ["memory for less than the minimum", [], { budgetBytes: 20 }, [[256, 1]]],
    ["switched off", [[256, 9]], { most: 0 }, [[256, 0]]],
    ["no minimum", [], { least: 0 }, [[256, 0]]],
  ];
  for (const [name, demands, over, expected] of table) {
    const targets = decideZygotes(
      demands.map(([memoryMiB, peak]) => ({ memoryMiB, peak })),
      { ...policy, ...over },
    );
    assert.deepEqual(
      targets.map(({ memoryMiB, target }) => [memoryMiB, target]),
      expected,
      name,
    );
  }
});

test("targets never pass the cap or the memory, and no class gets more than it wants", () => {
  const small = fc.integer({ min: 0, max: 40 });
  const demand = fc.record({ memoryMiB: fc.constantFrom(64, 128, 256, 512, 1024), peak: small });
  const demands = fc.uniqueArray(demand, { selector: (each) => each.memoryMiB });
  fc.assert(
    fc.property(demands, small, small, fc.integer({ min: 0, max: 900 }), (classes, least, most, budgetBytes) => {
      const targets = decideZygotes(classes, { ...policy, least, most, budgetBytes });
      const sum = targets.reduce((total, { target }) => total + target, 0);
      assert.ok(sum <= most && sum * policy.bytesEach <= budgetBytes);
      for (const { memoryMiB, target } of targets) {
        const peak = classes.find((each) => each.memoryMiB === memoryMiB)?.peak ?? 0;
        assert.ok(target <= Math.max(peak, memoryMiB === 256 ? least : 0));
      }
    }),
  );
});

test("demand is the busiest second, remembered for ten minutes", () => {
  const demand = createZygoteDemand(256);
  assert.equal(peakStarts(demand, 5_000), 0);
  for (let index = 0; index < 7; index += 1) countStart(demand, 10_000 + index * 100);
  for (let index = 0; index < 3; index += 1) countStart(demand, 15_000 + index);
  assert.equal(peakStarts(demand, 20_000), 7);
  countStart(demand, 300_000);
  assert.equal(peakStarts(demand, 609_999), 7);
  assert.equal(peakStarts(demand, 610_000), 1);
  assert.equal(peakStarts(demand, 10_000_000), 0);
});

test("refilling waits for a pause in the cold starts, but not for ever", () => {
  const quiet = { coldStarts: 0, lastColdEndMs: 0, missingSinceMs: 990 };
  const stock = (...rows: [number, number, number, number][]): ZygoteStock[] =>
    rows.map(([memoryMiB, target, ready, starting]) => ({ memoryMiB, target, ready, starting }));
  const one = stock([256, 4, 3, 0]);
  const table: [string, ZygoteStock[], Partial<typeof quiet>, string | null][] = [
    ["all is there", stock([256, 4, 4, 0]), {}, null],
    ["one on its way is enough", stock([256, 4, 3, 1]), {}, null],
    ["one is missing", one, {}, "start 256"],
    ["a cold start is under way", one, { coldStarts: 1 }, null],
    ["one has only just ended", one, { lastColdEndMs: 981 }, null],
    ["one ended a moment ago", one, { lastColdEndMs: 980 }, "start 256"],
    ["cold starts without end", one, { coldStarts: 3, missingSinceMs: 750 }, "start 256"],
    ["as many on their way as may be", stock([256, 4, 0, 1]), {}, null],
    ["the emptiest class first", stock([256, 4, 3, 0], [512, 2, 0, 0], [1024, 2, 1, 0]), {}, "start 512"],
    ["too many end", stock([256, 2, 2, 0], [512, 0, 1, 0]), { coldStarts: 1 }, "end 512"],
    ["what is missing comes before what is too much", stock([256, 2, 1, 0], [512, 0, 1, 0]), { coldStarts: 1 }, null],
    ["nothing at all", [], {}, null],
  ];
  for (const [name, rows, over, expected] of table) {
    const step = nextZygoteStep(rows, { ...quiet, ...over }, policy, 1_000);
    assert.equal(step === null ? null : `${step.kind} ${step.memoryMiB}`, expected, name);
  }
});
