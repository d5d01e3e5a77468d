/**
 * Faults: what the visitors of one app notice while another app on the same machine misbehaves, and how soon a server
 * that was killed answers again. That the faults themselves are handled rightly is the tests' business; here they are
 * load. A misbehaving app may take CPU from its neighbour (two cores are two cores), but never a request.
 */
import { deployAll, jobSource } from "./aloft/apps.ts";
import { AloftServer } from "./aloft/server.ts";
import { recoverOnce, type Recovery } from "./faults-recovery.ts";
import { type Fault, faults, nuisanceSource, startTrouble } from "./faults-trouble.ts";
import { jobs } from "./lib/job.ts";
import type { LoadResult } from "./lib/load.ts";
import { type Goal, type Report, type Table, formatMs, formatRate, formatRatio } from "./lib/report.ts";
import { interleave, ratiosByRound } from "./lib/rounds.ts";
import { runLoad } from "./lib/run-load.ts";
import { median } from "./lib/stats.ts";
import type { BenchOptions } from "./options.ts";

const connections = 32;
const quiet = "nothing";

interface Disturbed {
  readonly load: LoadResult;
  /** Requests to the misbehaving app in that time. */
  readonly troubles: number;
}

type Samples = ReadonlyMap<Fault | typeof quiet, readonly Disturbed[]>;

export async function benchFaults(options: BenchOptions): Promise<Report> {
  const samples = await measureNeighbours(options);
  const recoveries: Recovery[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    console.log(`faults: kill -9, round ${round + 1}`);
    recoveries.push(await recoverOnce());
  }
  const failures = [...samples.values()].flat().reduce((sum, { load }) => sum + load.failures + load.badStatus, 0);
  const lost = recoveries.filter(({ live, acknowledged }) => live < acknowledged).length;
  const goals: Goal[] = [
    { what: "failed requests of a neighbour", limit: "0", reached: String(failures), met: failures === 0 },
    {
      what: "acknowledged deploys lost by kill -9",
      limit: "0",
      reached: `${lost} of ${recoveries.length} times`,
      met: lost === 0,
    },
  ];
  return {
    part: "faults",
    tables: [neighbourTable(samples), recoveryTable(recoveries)],
    goals,
    notes: [],
    samples: { neighbours: Object.fromEntries(samples), recoveries },
  };
}

async function measureNeighbours(options: BenchOptions): Promise<Samples> {
  const server = await AloftServer.start();
  try {
    await deployAll(server, [
      { name: "quiet", source: await jobSource() },
      { name: "nuisance", source: nuisanceSource },
    ]);
    console.log("faults: neighbours");
    return await interleave([quiet, ...faults] as const, options.rounds, async (fault) => {
      const visits = { url: server.url, host: "quiet.localhost", ...jobs.get, connections };
      await runLoad({ ...visits, seconds: 1 });
      const trouble = fault === quiet ? null : startTrouble(server, fault);
      const load = await runLoad({ ...visits, seconds: options.seconds });
      const troubles = (await trouble?.stop()) ?? 0;
      return { load, troubles };
    });
  } finally {
    await server.stop();
  }
}

function neighbourTable(samples: Samples): Table {
  const rates = (all: readonly Disturbed[] = []): number[] => all.map(({ load }) => load.perSecond);
  return {
    title: `faults: hello at ${connections} connections while another app does this (medians; latency in ms)`,
    columns: ["the other app", "requests/s", "x quiet", "p50", "p99", "failed", "its requests"],
    rows: [...samples].map(([fault, all]) => [
      fault,
      formatRate(median(rates(all))),
      formatRatio(median(ratiosByRound(rates(all), rates(samples.get(quiet))))),
      formatMs(median(all.map(({ load }) => load.latencyUs.p50))),
      formatMs(median(all.map(({ load }) => load.latencyUs.p99))),
      String(all.reduce((sum, { load }) => sum + load.failures + load.badStatus, 0)),
      String(median(all.map(({ troubles }) => troubles))),
    ]),
  };
}

function recoveryTable(recoveries: readonly Recovery[]): Table {
  const cell = (pick: (one: Recovery) => number): string => formatMs(median(recoveries.map(pick)));
  return {
    title: "faults: kill -9 during a deploy and under load, then a new start (medians in ms)",
    columns: ["", "ready line", "first right answer"],
    rows: [["after the new start", cell(({ readyUs }) => readyUs), cell(({ answeredUs }) => answeredUs)]],
  };
}
