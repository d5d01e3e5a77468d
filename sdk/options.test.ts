import assert from "node:assert/strict";
import { test } from "node:test";
import { type FunctionOptions, limitsFrom } from "./options.ts";

test("options become limits in the platform's units", () => {
  assert.deepEqual(limitsFrom({}), {});
  assert.deepEqual(limitsFrom({ memory: "1.5GiB", timeout: "20s", keepAlive: "1.5m", concurrency: 1 }), {
    memoryMiB: 1536,
    timeoutMs: 20_000,
    keepAliveMs: 90_000,
    concurrency: 1,
  });
  assert.deepEqual(
    limitsFrom({ memoryMiB: 512, timeout: 250, minInstances: 1, maxInstances: 2, keepAlive: undefined }),
    {
      memoryMiB: 512,
      timeoutMs: 250,
      minInstances: 1,
      maxInstances: 2,
    },
  );
});

test("options that are not valid are refused with what they may be", () => {
  const cases: readonly [unknown, RegExp][] = [
    [{ timeout: "20" }, /timeout is "20"; write a number of milliseconds, or text like "20s"/],
    [{ timeout: -1 }, /timeout is -1; it must be a whole number/],
    [{ keepAlive: Number.NaN }, /keepAlive is NaN/],
    [{ memory: "512" }, /memory is "512"; write text like "512MiB"/],
    [{ memory: "0.3MiB" }, /must be a whole number of MiB/],
    [{ memory: "512MiB", memoryMiB: 512 }, /give memory or memoryMiB, not both/],
    [{ concurrency: "4" }, /concurrency is "4"/],
    [{ timeoutMs: 3 }, /there is no option "timeoutMs"; there are memory, memoryMiB, timeout/],
  ];
  for (const [options, reason] of cases) assert.throws(() => limitsFrom(options as FunctionOptions), reason);
});
