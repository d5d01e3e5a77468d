/** `npm run bench`: runs the parts that were asked for, one after the other, prints tables and writes JSON. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { benchCold } from "./cold.ts";
import { benchDensity } from "./density.ts";
import { benchDeploy } from "./deploy.ts";
import { benchFaults } from "./faults.ts";
import { benchKeyspace } from "./keyspace.ts";
import { benchIdle } from "./idle.ts";
import { describeMachine, refuseWhenSwapping } from "./lib/machine.ts";
import { type Report, printReport } from "./lib/report.ts";
import { loadTool } from "./lib/run-load.ts";
import { benchNeighbours } from "./neighbours.ts";
import { type BenchOptions, type PartName, parseOptions, usage } from "./options.ts";
import { benchRuntimes } from "./runtimes.ts";
import { benchQueue } from "./queue.ts";
import { benchState } from "./state.ts";
import { benchWarm } from "./warm.ts";

const parts: Readonly<Record<PartName, (options: BenchOptions) => Promise<Report>>> = {
  warm: benchWarm,
  cold: benchCold,
  density: benchDensity,
  deploy: benchDeploy,
  faults: benchFaults,
  keyspace: benchKeyspace,
  queue: benchQueue,
  idle: benchIdle,
  state: benchState,
  runtimes: benchRuntimes,
  neighbours: benchNeighbours,
};

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === null) console.log(usage);
  else process.exitCode = await bench(options);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}

/** 0 also when goals are missed: a benchmark reports. 1 when a part could not be carried out. */
async function bench(options: BenchOptions): Promise<number> {
  installPeers();
  await refuseWhenSwapping();
  const machine = describeMachine();
  console.log(
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, load by ${loadTool()}, ${options.rounds} rounds`,
  );
  if (machine.loadBefore > machine.cores / 4) {
    console.log(`note: the machine is busy (load ${machine.loadBefore.toFixed(2)}); figures will be low and uneven`);
  }
  const reports: Report[] = [];
  let failed = 0;
  for (const part of options.parts) {
    try {
      const report = await parts[part](options);
      printReport(report);
      reports.push(report);
    } catch (error) {
      failed += 1;
      console.error(`\n${part} could not be carried out:`, error);
    }
  }
  if (options.jsonFile !== null) {
    const file = resolve(options.jsonFile);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, `${JSON.stringify({ at: new Date().toISOString(), machine, options, reports }, null, 2)}\n`);
  }
  return failed === 0 ? 0 : 1;
}

/** The peers are installed here and nowhere else. None of them needs its install script. */
function installPeers(): void {
  const folder = import.meta.dirname;
  // npm writes this file last, so that an interrupted installation is begun again.
  if (existsSync(resolve(folder, "node_modules", ".package-lock.json"))) return;
  console.log("installing the peers");
  const { status } = spawnSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: folder,
    stdio: "inherit",
  });
  if (status !== 0) throw new Error("the peers could not be installed: npm ci failed in bench/");
}
