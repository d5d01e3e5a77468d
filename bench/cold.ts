/**
 * Cold: the first byte from an app that has no instance.
 *
 * So many different apps, each asked once, one every 100 ms, on a connection of its own whose set-up is counted; then all
 * of them once more, warm, so that what is not the cold start's doing shows. The server is started anew before every
 * series: nothing runs, zygotes apart. Bursts ask 20 sleeping apps in one turn of the event loop, with 20 zygotes ready.
 */
import { rm, mkdtemp } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { type App, deployAll, textApps } from "./aloft/apps.ts";
import { AloftServer } from "./aloft/server.ts";
import { askSpaced, askTogether } from "./cold-arrivals.ts";
import { type ColdRecord, breakdownTable, readRecords } from "./cold-records.ts";
import { type Goal, type Report, type Table, formatMs } from "./lib/report.ts";
import { median, percentile } from "./lib/stats.ts";
import type { BenchOptions } from "./options.ts";

const lonesMs = 100;
const warmsMs = 10;
const burstApps = 20;
const zygotesLone = 8;
const zygotesBurst = 20;

interface Series {
  readonly coldUs: readonly number[];
  readonly warmUs: readonly number[];
  readonly records: readonly ColdRecord[];
}

interface ColdRound {
  readonly zygotes: Series;
  readonly none: Series;
  /** The last first byte of each burst. */
  readonly burstLastUs: readonly number[];
  readonly burstNoneLastUs: readonly number[];
}

export async function benchCold(options: BenchOptions): Promise<Report> {
  const dataFolder = await mkdtemp(join(tmpdir(), "aloft-bench-cold-"));
  const apps = textApps("cold", options.coldApps);
  const rounds: ColdRound[] = [];
  try {
    console.log(`cold: deploying ${apps.length} apps`);
    await withServer(dataFolder, 0, (server) => deployAll(server, apps));
    for (let round = 0; round < options.rounds; round += 1) {
      console.log(`cold: round ${round + 1}`);
      rounds.push({
        zygotes: await withServer(dataFolder, zygotesLone, (server) => series(server, apps)),
        none: await withServer(dataFolder, 0, (server) => series(server, apps)),
        burstLastUs: await withServer(dataFolder, zygotesBurst, (server) => bursts(server, apps, zygotesBurst)),
        burstNoneLastUs: await withServer(dataFolder, 0, (server) => bursts(server, apps.slice(0, 2 * burstApps), 0)),
      });
    }
  } finally {
    await rm(dataFolder, { recursive: true, force: true });
  }
  return {
    part: "cold",
    tables: [
      firstByteTable(rounds),
      burstTable(rounds),
      breakdownTable(rounds.flatMap(({ zygotes }) => zygotes.records)),
    ],
    goals: goalsOf(rounds),
    notes: [
      "first byte counts from before connecting; p50 and p99 are of each round's apps, then the median of the rounds",
    ],
    samples: rounds,
  };
}

async function withServer<T>(
  dataFolder: string,
  zygotes: number,
  use: (server: AloftServer) => Promise<T>,
): Promise<T> {
  const flags = ["--zygotes", String(zygotes), "--zygotes-max", String(zygotes)];
  const server = await AloftServer.start({ dataFolder, flags });
  try {
    await asleep(server, zygotes);
    return await use(server);
  } finally {
    await server.stop();
  }
}

/** Nothing runs and so many zygotes are ready. */
function asleep(server: AloftServer, zygotes: number): Promise<true> {
  return server.until(`${zygotes} zygotes are ready and nothing runs`, (status) => {
    const instances = status.groups.reduce((sum, group) => sum + group.instances, 0);
    return status.zygotes === zygotes && instances === 0 ? true : null;
  });
}

async function series(server: AloftServer, apps: readonly App[]): Promise<Series> {
  const coldUs = await askSpaced(server.url, apps, lonesMs);
  const records = await readRecords(server, apps);
  const warmUs = await askSpaced(server.url, apps, warmsMs);
  return { coldUs, warmUs, records };
}

async function bursts(server: AloftServer, apps: readonly App[], zygotes: number): Promise<number[]> {
  const lastUs: number[] = [];
  for (let first = 0; first + burstApps <= apps.length; first += burstApps) {
    await server.until(`${zygotes} zygotes are ready`, (status) => (status.zygotes >= zygotes ? true : null));
    lastUs.push(Math.max(...(await askTogether(server.url, apps.slice(first, first + burstApps)))));
  }
  return lastUs;
}

function firstByteTable(rounds: readonly ColdRound[]): Table {
  const row = (name: string, pick: (round: ColdRound) => readonly number[]): string[] => [
    name,
    ...[0.5, 0.9, 0.99, 1].map((fraction) =>
      formatMs(median(rounds.map((round) => percentile(pick(round), fraction)))),
    ),
  ];
  return {
    title: `cold: first byte in ms, ${rounds[0]?.zygotes.coldUs.length ?? 0} apps ${lonesMs} ms apart`,
    columns: ["", "p50", "p90", "p99", "max"],
    rows: [
      row(`cold, ${zygotesLone} zygotes`, ({ zygotes }) => zygotes.coldUs),
      row("warm, the same apps again", ({ zygotes }) => zygotes.warmUs),
      row("cold, no zygotes", ({ none }) => none.coldUs),
    ],
  };
}

function burstTable(rounds: readonly ColdRound[]): Table {
  const row = (name: string, values: readonly number[]): string[] => [
    name,
    ...[median(values), Math.min(...values), Math.max(...values)].map(formatMs),
  ];
  return {
    title: `cold: bursts of ${burstApps} at once, last first byte in ms`,
    columns: ["", "median", "least", "most"],
    rows: [
      row(
        `${zygotesBurst} zygotes`,
        rounds.flatMap(({ burstLastUs }) => burstLastUs),
      ),
      row(
        "no zygotes",
        rounds.flatMap(({ burstNoneLastUs }) => burstNoneLastUs),
      ),
    ],
  };
}

function goalsOf(rounds: readonly ColdRound[]): Goal[] {
  const lone = (fraction: number): number => median(rounds.map(({ zygotes }) => percentile(zygotes.coldUs, fraction)));
  const [p50, p99] = [lone(0.5), lone(0.99)];
  const burst = median(rounds.flatMap(({ burstLastUs }) => burstLastUs));
  const burstLimit = (1.5 * burstApps * p50) / availableParallelism();
  return [
    { what: "first byte p50", limit: "<= 5 ms", reached: `${formatMs(p50)} ms`, met: p50 <= 5000 },
    { what: "first byte p99", limit: "<= 20 ms", reached: `${formatMs(p99)} ms`, met: p99 <= 20_000 },
    {
      what: `burst of ${burstApps}, last first byte`,
      limit: `<= 1.5 x ${burstApps} x lone p50 / cores = ${formatMs(burstLimit)} ms`,
      reached: `${formatMs(burst)} ms`,
      met: burst <= burstLimit,
    },
  ];
}
