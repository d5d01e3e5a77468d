/** Where the CPU time of a Node contestant's processes goes, by part of the code; a load of its own for each process. */
import type { Running } from "./lib/contestant.ts";
import { jobs } from "./lib/job.ts";
import { type Share, sharesOf } from "./lib/profile-shares.ts";
import { cpuBetween, snapshotCpu } from "./lib/processes.ts";
import { profileDuring } from "./lib/profiler.ts";
import type { Table } from "./lib/report.ts";
import { runLoad } from "./lib/run-load.ts";

export interface ProcessShares {
  readonly contestant: string;
  readonly role: string;
  readonly shares: readonly Share[];
}

const connections = 32;
const sharesShown = 12;
const busyFraction = 0.05;

/** Processes that take less than a twentieth of one core are left out: zygotes, instances in reserve. */
export async function profileContestant(
  contestant: string,
  running: Running,
  seconds: number,
): Promise<ProcessShares[]> {
  const load = (): Promise<unknown> =>
    runLoad({
      url: running.url,
      ...(running.host === undefined ? {} : { host: running.host }),
      ...jobs.get,
      connections,
      seconds,
    });
  const before = snapshotCpu(running.processes());
  await load();
  const after = snapshotCpu(running.processes());
  const found: ProcessShares[] = [];
  for (const [pid, sample] of after) {
    const use = cpuBetween(before, new Map([[pid, sample]]))[sample.role];
    if (use === undefined || use.userUs + use.systemUs < busyFraction * seconds * 1e6) continue;
    found.push({ contestant, role: sample.role, shares: sharesOf(await profileDuring(pid, load)) });
  }
  return found;
}

export function sharesTable(all: readonly ProcessShares[]): Table {
  return {
    title: `warm: where the event loop's busy time goes, GET at ${connections}, in percent`,
    columns: ["process", "part of the code", "percent"],
    rows: all.flatMap(({ contestant, role, shares }) =>
      shares
        .slice(0, sharesShown)
        .map(({ part, fraction }) => [`${contestant} ${role}`, part, (fraction * 100).toFixed(1)]),
    ),
  };
}
