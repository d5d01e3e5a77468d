/**
 * One warm measurement: a contestant under one load for a few seconds, with everything that can make it void.
 *
 * A sample is void when an answer was bad or missing, a checked body was wrong, the machine swapped, or (Aloft) the
 * records do not account for every request. The load tool counts answers that it received in full; when it stops, each of
 * its connections may have one request on its way that the server counts and the tool does not. So
 *
 *     requests of the tool + requests of the checker <= records accepted <= the same + connections
 *
 * and all accepted records are written, none dropped. That leaves a gap as wide as the connections, which an exact load
 * after it closes: so many requests, all answered and checked, and exactly as many records.
 */
import { type Checked, sendExactly, startChecker } from "./lib/checker.ts";
import type { Account, Running } from "./lib/contestant.ts";
import { type CpuByRole, perRequest } from "./lib/cpu-per-request.ts";
import { type JobKind, jobs } from "./lib/job.ts";
import type { Load, LoadResult } from "./lib/load.ts";
import { swappedPages } from "./lib/machine.ts";
import { cpuBetween, snapshotCpu } from "./lib/processes.ts";
import { runLoad } from "./lib/run-load.ts";

export interface WarmSample {
  readonly load: LoadResult;
  readonly checked: Checked;
  readonly cpu: CpuByRole;
  /** CPU time of the load tool for one request. */
  readonly toolCpuUs: number;
  /** Empty: the sample counts. */
  readonly voidBecause: readonly string[];
}

export interface WarmCase {
  readonly kind: JobKind;
  readonly connections: number;
  /** By the contestant's name, in the order of the rounds. */
  readonly samples: ReadonlyMap<string, readonly WarmSample[]>;
}

const warmUpSeconds = 1;
const warmUpsMax = 20;
const exactRequests = 2000;

export async function sampleWarm(
  running: Running,
  kind: JobKind,
  connections: number,
  seconds: number,
): Promise<WarmSample> {
  const job = jobs[kind];
  const load = { url: running.url, ...(running.host === undefined ? {} : { host: running.host }), ...job, connections };
  const warmUp = await warmUpWith(load);
  const accountBefore = await running.account?.();
  const pagesBefore = swappedPages();
  const cpuBefore = snapshotCpu(running.processes());

  const checker = startChecker(running, job, Math.max(100, warmUp.perSecond));
  const result = await runLoad({ ...load, seconds });
  const cpuAfter = snapshotCpu(running.processes());
  const checked = await checker.stop();

  const pages = swappedPages() - pagesBefore;
  const accountAfter = await running.account?.();
  const requests = result.requests + checked.requests;
  return {
    load: result,
    checked,
    cpu: perRequest(cpuBetween(cpuBefore, cpuAfter), requests),
    toolCpuUs: result.cpuUs / result.requests,
    voidBecause: [
      ...(result.badStatus > 0 ? [`${result.badStatus} answers with a bad status`] : []),
      ...(result.failures > 0 ? [`${result.failures} requests failed`] : []),
      ...(checked.wrong > 0
        ? [`${checked.wrong} of ${checked.requests} checked answers were wrong: ${checked.firstWrong}`]
        : []),
      ...(pages > 0 ? [`the machine swapped ${pages} pages`] : []),
      ...complaints(accountBefore, accountAfter, requests, connections),
      ...(await exactComplaints(running, kind, connections)),
    ],
  };
}

/** Again until each connection has been answered once: some start a thread or a process for each of them. */
async function warmUpWith(load: Omit<Load, "seconds">): Promise<LoadResult> {
  for (let tries = 1; ; tries += 1) {
    const result = await runLoad({ ...load, seconds: warmUpSeconds });
    if (result.requests >= load.connections || tries === warmUpsMax) return result;
  }
}

async function exactComplaints(running: Running, kind: JobKind, connections: number): Promise<string[]> {
  if (running.account === undefined) return [];
  const before = await running.account();
  const { requests, wrong, firstWrong } = await sendExactly(running, jobs[kind], exactRequests, connections);
  const after = await running.account();
  return [
    ...(wrong > 0 ? [`${wrong} of ${requests} answers were wrong: ${firstWrong}`] : []),
    ...complaints(before, after, requests, 0),
  ];
}

function complaints(
  before: Account | undefined,
  after: Account | undefined,
  requests: number,
  onTheWay: number,
): string[] {
  if (before === undefined || after === undefined) return [];
  const accepted = after.accepted - before.accepted;
  const written = after.written - before.written;
  const dropped = after.dropped - before.dropped;
  const found: string[] = [];
  if (accepted < requests || accepted > requests + onTheWay) {
    found.push(`${accepted} records for ${requests} requests (and at most ${onTheWay} on their way)`);
  }
  if (written !== accepted || dropped !== 0)
    found.push(`of ${accepted} records ${written} were written and ${dropped} dropped`);
  return found;
}
