/**
 * Runs a simulation over many seeds, in a thread of its own: there the test runner does not follow every promise, which costs
 * more than the promises do. A failing seed is named in the error, and runs alone with ALOFT_SEED; `npm run soak` multiplies
 * their number and begins elsewhere each time.
 */
import assert from "node:assert/strict";
import { Worker } from "node:worker_threads";
import type { ScenarioName } from "./seeds.child.ts";

/** How often something has happened in one run, or in all of them: by its name. */
export type Counts = Readonly<Record<string, number>>;

export interface SeedRun {
  readonly scenario: ScenarioName;
  readonly first: number;
  readonly count: number;
}

/** A seed is a whole number of 32 bits. */
const soakBegin = 2 ** 31;
const soak = Number(process.env["ALOFT_SOAK"] ?? 1);
const only = process.env["ALOFT_SEED"];

/**
 * `least`: how often these must have happened over all seeds. A simulation in which nothing goes wrong shows nothing.
 */
export async function overSeeds(scenario: ScenarioName, count: number, least: Counts): Promise<void> {
  const run = planned(scenario, count);
  const found = await inThread(run);
  if (only !== undefined) return;
  for (const [what, times] of Object.entries(least)) {
    assert.ok((found[what] ?? 0) >= times, `${what}: ${found[what] ?? 0} times in ${run.count} seeds, not ${times}`);
  }
}

function planned(scenario: ScenarioName, count: number): SeedRun {
  if (only !== undefined) return { scenario, first: Number(only), count: 1 };
  if (soak === 1) return { scenario, first: 1, count };
  const first = Math.floor(Math.random() * soakBegin);
  console.log(`${scenario}: ${count * soak} seeds from ${first} on`);
  return { scenario, first, count: count * soak };
}

async function inThread(run: SeedRun): Promise<Counts> {
  const worker = new Worker(new URL("./seeds.child.ts", import.meta.url), { workerData: run });
  return await new Promise<Counts>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`the thread ended with ${code}`)));
  });
}
