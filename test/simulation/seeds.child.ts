/** The thread that runs seeds: see `seeds.ts`. */
import assert from "node:assert/strict";
import { parentPort, workerData } from "node:worker_threads";
import type { Counts, SeedRun } from "./seeds.ts";
import { simulateCalls } from "./calls.ts";
import { simulateCrons } from "./crons.ts";
import { simulateEffects } from "./effects.ts";
import { simulateQueues } from "./queues.ts";
import { simulateStreams } from "./streams.ts";
import { simulateWindows } from "./windows.ts";

const scenarios = {
  calls: simulateCalls,
  crons: simulateCrons,
  effects: simulateEffects,
  queues: simulateQueues,
  streams: simulateStreams,
  windows: simulateWindows,
} as const satisfies Record<string, (seed: number) => Promise<Counts>>;

export type ScenarioName = keyof typeof scenarios;

const { scenario, first, count } = workerData as SeedRun;
const simulate = scenarios[scenario];
const sums: Record<string, number> = {};
/** What nobody has caught, of whichever part of the simulation; it fails the seed that runs. */
let uncaught: Error | null = null;
process.on("unhandledRejection", (error) => (uncaught ??= error as Error));

for (let seed = first; seed < first + count; seed += 1) {
  try {
    for (const [what, times] of Object.entries(await simulate(seed))) sums[what] = (sums[what] ?? 0) + times;
    await new Promise((resolve) => setImmediate(resolve));
    if (uncaught !== null) throw uncaught as Error;
  } catch (error) {
    const command = `ALOFT_SEED=${seed} node --test test/simulation/${scenario}.test.ts`;
    throw new Error(`seed ${seed} of ${scenario} failed; alone: ${command}`, { cause: error });
  }
}
assert.ok(parentPort !== null);
parentPort.postMessage(sums, []);
