/**
 * One function in each of many apps: start time, memory, and the rate of routing beside a server with a single app.
 *
 * Two rates: hello of one app out of many, whose instance runs; and a path that no app has, asked of every app in turn,
 * which is routing alone and reaches every app there is. The second server gets the same load with one name only.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type App, routedApps } from "./aloft/apps.ts";
import { seedApps } from "./aloft/seed.ts";
import { AloftServer } from "./aloft/server.ts";
import { askOnce } from "./lib/client.ts";
import { memoryOf } from "./lib/processes.ts";
import { interleave } from "./lib/rounds.ts";
import { runLoad } from "./lib/run-load.ts";
import { median } from "./lib/stats.ts";
import type { BenchOptions } from "./options.ts";

export interface AppsSample {
  readonly startUs: number;
  readonly firstAnswerUs: number;
  readonly rssAtStartBytes: number;
  /** After every app was asked for. */
  readonly rssBytes: number;
  readonly helloPerSecond: number;
  readonly missPerSecond: number;
}

export interface AppsRound {
  readonly apps: number;
  readonly one: AppsSample;
  readonly many: AppsSample;
}

const connections = 32;
/** The load over all hosts lasts long enough to reach every one of them at this rate. */
const missesPerSecondMin = 2000;

export async function measureApps(options: BenchOptions): Promise<AppsRound[]> {
  const folder = await mkdtemp(join(tmpdir(), "aloft-bench-density-"));
  try {
    const many = routedApps(options.densityApps);
    const one = many.slice(0, 1);
    console.log(`density: writing ${many.length} apps`);
    await seedApps(join(folder, "one"), one);
    await seedApps(join(folder, "many"), many);
    const rounds: AppsRound[] = [];
    for (let round = 0; round < options.rounds; round += 1) {
      console.log(`density: apps, round ${round + 1}`);
      rounds.push(await measureRound(folder, one, many, options.seconds));
    }
    return rounds;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Both servers run at once and are loaded in turn; the machine is the same for both. */
async function measureRound(
  folder: string,
  one: readonly App[],
  many: readonly App[],
  seconds: number,
): Promise<AppsRound> {
  const sides = [
    { name: "one", apps: one },
    { name: "many", apps: many },
  ] as const;
  const servers = new Map<string, AloftServer>();
  const starts = new Map<string, Pick<AppsSample, "startUs" | "firstAnswerUs" | "rssAtStartBytes">>();
  try {
    for (const { name, apps } of sides) {
      const startedMs = performance.now();
      const server = await AloftServer.start({ dataFolder: join(folder, name) });
      servers.set(name, server);
      const rssAtStartBytes = memoryOf(server.pid)?.rssBytes ?? Number.NaN;
      await expectHello(server, lastOf(apps));
      starts.set(name, {
        startUs: server.startUs,
        firstAnswerUs: (performance.now() - startedMs) * 1000,
        rssAtStartBytes,
      });
      // The same number of names in both files, so that the load tool does the same work.
      const hosts = many.map((_, index) => `${apps[index % apps.length]?.name}.localhost\n`);
      await writeFile(join(folder, `${name}.hosts`), hosts.join(""));
    }
    const rates = await interleave(sides, 2, async ({ name, apps }, pass) => {
      const { url } = serverOf(servers, name);
      const load = { url, method: "GET", body: "", connections, seconds } as const;
      const hello = await runLoad({ ...load, path: "/hello", host: `${lastOf(apps).name}.localhost` });
      const missSeconds = Math.max(seconds, Math.ceil(many.length / missesPerSecondMin));
      const hostsFile = join(folder, `${name}.hosts`);
      const miss = await runLoad({ ...load, path: "/none", hostsFile, seconds: missSeconds });
      if (miss.requests < many.length)
        throw new Error(`${miss.requests} requests did not reach all ${many.length} apps`);
      if (hello.badStatus + hello.failures + miss.failures > 0)
        throw new Error(`requests to the server with ${name} failed`);
      if (miss.badStatus !== miss.requests)
        throw new Error(`${miss.requests - miss.badStatus} answers where there is no route`);
      return { pass, hello: hello.perSecond, miss: miss.perSecond };
    });
    const sampleOf = (side: (typeof sides)[number]): AppsSample => {
      const start = starts.get(side.name);
      // The first pass warms both servers and loads every app for the first time.
      const counted = (rates.get(side) ?? []).filter(({ pass }) => pass > 0);
      if (start === undefined) throw new Error(`the server with ${side.name} was not started`);
      return {
        ...start,
        rssBytes: memoryOf(serverOf(servers, side.name).pid)?.rssBytes ?? Number.NaN,
        helloPerSecond: median(counted.map(({ hello }) => hello)),
        missPerSecond: median(counted.map(({ miss }) => miss)),
      };
    };
    return { apps: many.length, one: sampleOf(sides[0]), many: sampleOf(sides[1]) };
  } finally {
    await Promise.all([...servers.values()].map((server) => server.stop()));
  }
}

async function expectHello(server: AloftServer, app: App): Promise<void> {
  const { status, body } = await askOnce(
    { url: server.url, host: `${app.name}.localhost` },
    { method: "GET", path: "/hello", body: "" },
  );
  if (status !== 200 || body !== app.name) throw new Error(`${app.name} answered ${status}: ${body.slice(0, 500)}`);
}

function lastOf(apps: readonly App[]): App {
  const last = apps.at(-1);
  if (last === undefined) throw new Error("no apps");
  return last;
}

function serverOf(servers: ReadonlyMap<string, AloftServer>, name: string): AloftServer {
  const server = servers.get(name);
  if (server === undefined) throw new Error(`the server with ${name} does not run`);
  return server;
}
