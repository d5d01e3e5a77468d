/** Density: what an idle instance takes, and what ten thousand sleeping apps cost. */
import { type AppsRound, measureApps } from "./density-apps.ts";
import { type MemoryRound, measureMemory } from "./density-memory.ts";
import { type Goal, type Report, type Table, formatMB, formatMs, formatRate, formatRatio } from "./lib/report.ts";
import type { MemoryUse } from "./lib/processes.ts";
import { median } from "./lib/stats.ts";
import type { BenchOptions } from "./options.ts";

const MB = 1e6;

export async function benchDensity(options: BenchOptions): Promise<Report> {
  const memory: MemoryRound[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    console.log(`density: memory, round ${round + 1}`);
    memory.push(await measureMemory());
  }
  const apps = await measureApps(options);
  return {
    part: "density",
    tables: [memoryTable(memory), appsTable(apps)],
    goals: [...memoryGoals(memory), ...appsGoals(apps)],
    notes: ["MB are millions of bytes"],
    samples: { memory, apps },
  };
}

const figures = { Private_Dirty: "privateDirtyBytes", PSS: "pssBytes" } as const;

function memoryTable(rounds: readonly MemoryRound[]): Table {
  const row = (name: string, uses: readonly MemoryUse[]): string[] => [
    name,
    ...(["privateDirtyBytes", "pssBytes", "rssBytes"] as const).map((field) =>
      formatMB(median(uses.map((use) => use[field]))),
    ),
  ];
  return {
    title: "density: memory of one idle process in MB (medians)",
    columns: ["", "Private_Dirty", "PSS", "RSS"],
    rows: [
      row(
        "hello instance",
        rounds.flatMap(({ instances }) => instances),
      ),
      row(
        "bare Node with web classes",
        rounds.flatMap(({ bare }) => bare),
      ),
      row(
        "the server",
        rounds.map(({ server }) => server),
      ),
    ],
  };
}

function memoryGoals(rounds: readonly MemoryRound[]): Goal[] {
  return Object.entries(figures).map(([name, field]) => {
    const above = median(
      rounds.map(
        ({ instances, bare }) => median(instances.map((use) => use[field])) - median(bare.map((use) => use[field])),
      ),
    );
    return {
      what: `${name} of an idle hello above a bare Node`,
      limit: "<= 4 MB",
      reached: `${formatMB(above)} MB`,
      met: above <= 4 * MB,
    };
  });
}

function appsTable(rounds: readonly AppsRound[]): Table {
  const row = (name: string, pick: (round: AppsRound) => AppsRound["one"]): string[] => {
    const all = rounds.map(pick);
    return [
      name,
      formatMs(median(all.map(({ startUs }) => startUs))),
      formatMs(median(all.map(({ firstAnswerUs }) => firstAnswerUs))),
      formatMB(median(all.map(({ rssAtStartBytes }) => rssAtStartBytes))),
      formatMB(median(all.map(({ rssBytes }) => rssBytes))),
      formatRate(median(all.map(({ helloPerSecond }) => helloPerSecond))),
      formatRate(median(all.map(({ missPerSecond }) => missPerSecond))),
    ];
  };
  const [first] = rounds;
  return {
    title: `density: a server with ${first?.apps ?? 0} apps beside one with a single app (medians)`,
    columns: [
      "",
      "start ms",
      "first answer ms",
      "RSS at start MB",
      "RSS after all MB",
      "hello/s",
      "404/s over all hosts",
    ],
    rows: [row("one app", ({ one }) => one), row("many apps", ({ many }) => many)],
  };
}

function appsGoals(rounds: readonly AppsRound[]): Goal[] {
  const rss = median(rounds.map(({ many }) => many.rssBytes));
  const startUs = median(rounds.map(({ many }) => many.startUs));
  const hello = median(rounds.map(({ many, one }) => many.helloPerSecond / one.helloPerSecond));
  const miss = median(rounds.map(({ many, one }) => many.missPerSecond / one.missPerSecond));
  const apps = rounds[0]?.apps ?? 0;
  return [
    {
      what: `server RSS with ${apps} apps, all asked for`,
      limit: "<= 250 MB",
      reached: `${formatMB(rss)} MB`,
      met: rss <= 250 * MB,
    },
    { what: `start with ${apps} apps`, limit: "<= 2 s", reached: `${formatMs(startUs)} ms`, met: startUs <= 2e6 },
    {
      what: "routing to one of them, rate over a single app's",
      limit: ">= 0.95",
      reached: formatRatio(hello),
      met: hello >= 0.95,
    },
    {
      what: "routing to all of them in turn (404), rate over a single app's",
      limit: ">= 0.95",
      reached: formatRatio(miss),
      met: miss >= 0.95,
    },
  ];
}
