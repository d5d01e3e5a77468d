/**
 * Cold: the first byte from an app that has no instance.
 *
 * So many different apps, each asked once, one every 100 ms (containers: 500 ms), on a connection of its own whose set-up
 * is counted; then all of them once more, warm, so that what is not the cold start's doing shows. The server is started
 * anew before every series: nothing runs, zygotes apart. Bursts ask 20 sleeping apps in one turn of the event loop, with
 * 20 zygotes ready.
 */
import { rm, mkdtemp } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { type App, deployAll, textApps } from "./aloft/apps.ts";
import { AloftServer } from "./aloft/server.ts";
import { askSpaced, askTogether } from "./cold-arrivals.ts";
import { plainRuncUs } from "./cold-runc.ts";
import { type ColdRecord, breakdownTable, readRecords } from "./cold-records.ts";
import { type Goal, type Report, type Table, formatMs, formatRatio } from "./lib/report.ts";
import { median, percentile } from "./lib/stats.ts";
import type { BenchOptions } from "./options.ts";

const lonesMs = 100;
/** A container takes more processor time than two cores have in 100 ms, that of a zygote's replacement too. */
const loneContainersMs = 500;
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
  /** The same without Aloft, where it is containers that are measured. */
  readonly runcUs: readonly number[];
  /** The last first byte of each burst. */
  readonly burstLastUs: readonly number[];
  readonly burstNoneLastUs: readonly number[];
}

export async function benchCold(options: BenchOptions): Promise<Report> {
  const dataFolder = await mkdtemp(join(tmpdir(), "aloft-bench-cold-"));
  const apps = textApps("cold", options.coldApps);
  const rounds: ColdRound[] = [];
  const spacingMs = options.sandbox === "oci" ? loneContainersMs : lonesMs;
  const started = <T>(zygotes: number, use: (server: AloftServer) => Promise<T>): Promise<T> =>
    withServer(dataFolder, zygotes, options.sandbox, use);
  try {
    console.log(`cold: deploying ${apps.length} apps`);
    await withServer(dataFolder, 0, options.sandbox, (server) => deployAll(server, apps));
    for (let round = 0; round < options.rounds; round += 1) {
      console.log(`cold: round ${round + 1}`);
      rounds.push({
        zygotes: await started(zygotesLone, (server) => series(server, apps, spacingMs)),
        none: await started(0, (server) => series(server, apps, spacingMs)),
        runcUs: options.sandbox === "oci" ? await plainRuncUs() : [],
        burstLastUs: await started(zygotesBurst, (server) => bursts(server, apps, zygotesBurst)),
        burstNoneLastUs: await started(0, (server) => bursts(server, apps.slice(0, 2 * burstApps), 0)),
      });
    }
  } finally {
    await rm(dataFolder, { recursive: true, force: true });
  }
  return {
    part: "cold",
    tables: [
      firstByteTable(rounds, spacingMs),
      burstTable(rounds),
      breakdownTable(rounds.flatMap(({ zygotes }) => zygotes.records)),
    ],
    goals: goalsOf(rounds, options),
    notes: [
      "first byte counts from before connecting; p50 and p99 are of each round's apps, then the median of the rounds",
    ],
    samples: rounds,
  };
}

async function withServer<T>(
  dataFolder: string,
  zygotes: number,
  sandbox: string,
  use: (server: AloftServer) => Promise<T>,
): Promise<T> {
  const flags = ["--zygotes", String(zygotes), "--zygotes-max", String(zygotes), "--sandbox", sandbox];
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

async function series(server: AloftServer, apps: readonly App[], spacingMs: number): Promise<Series> {
  const coldUs = await askSpaced(server.url, apps, spacingMs);
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

function firstByteTable(rounds: readonly ColdRound[], spacingMs: number): Table {
  const row = (name: string, pick: (round: ColdRound) => readonly number[]): string[] => [
    name,
    ...[0.5, 0.9, 0.99, 1].map((fraction) =>
      formatMs(median(rounds.map((round) => percentile(pick(round), fraction)))),
    ),
  ];
  return {
    title: `cold: first byte in ms, ${rounds[0]?.zygotes.coldUs.length ?? 0} apps ${spacingMs} ms apart`,
    columns: ["", "p50", "p90", "p99", "max"],
    rows: [
      row(`cold, ${zygotesLone} zygotes`, ({ zygotes }) => zygotes.coldUs),
      row("warm, the same apps again", ({ zygotes }) => zygotes.warmUs),
      row("cold, no zygotes", ({ none }) => none.coldUs),
      ...(rounds.some(({ runcUs }) => runcUs.length > 0) ? [row("a plain runc run", ({ runcUs }) => runcUs)] : []),
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

function goalsOf(rounds: readonly ColdRound[], { sandbox }: BenchOptions): Goal[] {
  const lone = (fraction: number): number => median(rounds.map(({ zygotes }) => percentile(zygotes.coldUs, fraction)));
  const [p50, p99] = [lone(0.5), lone(0.99)];
  const burst = median(rounds.flatMap(({ burstLastUs }) => burstLastUs));
  const burstLimit = (1.5 * burstApps * p50) / availableParallelism();
  return [
    goalOf("first byte p50", p50, sandbox === "oci" ? 6 : 5),
    goalOf("first byte p99", p99, sandbox === "oci" ? 25 : 20),
    ...(sandbox === "oci" ? [withoutZygotes(rounds)] : []),
    {
      what: `burst of ${burstApps}, last first byte`,
      limit: `<= 1.5 x ${burstApps} x lone p50 / cores = ${formatMs(burstLimit)} ms`,
      reached: `${formatMs(burst)} ms`,
      met: burst <= burstLimit,
    },
  ];
}

function goalOf(what: string, us: number, limitMs: number): Goal {
  return { what, limit: `<= ${limitMs} ms`, reached: `${formatMs(us)} ms`, met: us <= limitMs * 1000 };
}

/** Within each round, for whatever slows the machine slows both. */
function withoutZygotes(rounds: readonly ColdRound[]): Goal {
  const ratio = median(rounds.map(({ none, runcUs }) => median(none.coldUs) / median(runcUs)));
  const what = "first byte p50 without zygotes";
  return { what, limit: "<= 1.3 x a plain runc run", reached: formatRatio(ratio), met: ratio <= 1.3 };
}
