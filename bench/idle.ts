/**
 * Idle: what 1,000 queues and 10,000 schedules cost while nothing happens. Read off the kernel and the server's own counters
 * over half a minute in which no schedule is due and nothing is sent, on a server that was started anew: what deploying eleven
 * thousand functions leaves behind is not theirs.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { forEachParallel } from "../src/lib/parallel.ts";
import { AppFolders, deploy } from "./aloft/apps.ts";
import { AloftServer } from "./aloft/server.ts";
import { cpuBetween, memoryOf, snapshotCpu } from "./lib/processes.ts";
import { type Goal, type Report, formatMB } from "./lib/report.ts";

const queues = 1000;
const crons = 10_000;
const perApp = 1000;
const deploysAtOnce = 2;
const watchedMs = 30_000;
const pollMs = 500;
const halfDayHours = 12;

interface Counters {
  readonly commits: number;
  readonly syncs: number;
  readonly reads: number;
}

export async function benchIdle(): Promise<Report> {
  const dataFolder = await mkdtemp(join(tmpdir(), "aloft-bench-idle-"));
  try {
    console.log(`idle: deploying ${queues} queues and ${crons} schedules`);
    const bareBytes = await withServer(dataFolder, async (server) => {
      const bytes = memoryOf(server.pid)?.rssBytes ?? Number.NaN;
      await deployThem(server);
      return bytes;
    });
    return await withServer(dataFolder, (server) => watch(server, bareBytes));
  } finally {
    await rm(dataFolder, { recursive: true, force: true });
  }
}

async function withServer<T>(dataFolder: string, use: (server: AloftServer) => Promise<T>): Promise<T> {
  const server = await AloftServer.start({ dataFolder, flags: ["--zygotes", "0"] });
  try {
    return await use(server);
  } finally {
    await server.stop();
  }
}

async function watch(server: AloftServer, bareBytes: number): Promise<Report> {
  console.log("idle: waiting until nothing runs");
  await asleep(server);
  const [before, cpuBefore, beganMs] = [await countersOf(server), snapshotCpu(server.processes()), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, watchedMs));
  const [cpuAfter, seconds] = [snapshotCpu(server.processes()), (performance.now() - beganMs) / 1000];
  const after = await countersOf(server);
  const { door, worker } = cpuBetween(cpuBefore, cpuAfter);
  const cpuUs = [door, worker].reduce((sum, use) => sum + (use === undefined ? 0 : use.userUs + use.systemUs), 0);
  const percent = cpuUs / seconds / 10_000;
  const commits = after.commits - before.commits;
  const reads = after.reads - before.reads;
  const rssBytes = memoryOf(server.pid)?.rssBytes ?? Number.NaN;
  const row = [
    `${percent.toFixed(2)} %`,
    ...[commits, after.syncs - before.syncs, reads].map(String),
    formatMB(rssBytes),
    formatMB(bareBytes),
  ];
  return {
    part: "idle",
    tables: [
      {
        title: `idle: ${queues} queues and ${crons} schedules for ${Math.round(seconds)} s`,
        columns: ["cpu of one core", "commits", "syncs", "reads", "RSS in MB", "RSS without them"],
        rows: [row],
      },
    ],
    goals: [
      goal("processor time of one core", percent < 1, "< 1 %", `${percent.toFixed(2)} %`),
      goal("commits", commits === 0, "0", String(commits)),
      goal("reads", reads === 0, "0", String(reads)),
    ],
    notes: [],
    samples: { percent, before, after, rssBytes, bareBytes },
  };
}

async function deployThem(server: AloftServer): Promise<void> {
  const folders = await AppFolders.create();
  try {
    const apps = [{ name: "idle-queues", source: queueSource(queues) }];
    for (let app = 0; app < crons / perApp; app += 1)
      apps.push({ name: `idle-crons-${app}`, source: cronSource(perApp) });
    await forEachParallel(apps, deploysAtOnce, async ({ name, source }) => {
      await deploy(server, await folders.write(name, source));
    });
  } finally {
    await folders.remove();
  }
}

function queueSource(count: number): string {
  const lines = Array.from({ length: count }, (_, n) => `export const queue${n} = queue("queue${n}", () => {});`);
  return `import { queue } from "aloft";\n${lines.join("\n")}\n`;
}

/** Once a day each, the first of them half a day from now. */
function cronSource(count: number): string {
  const hour = (new Date().getUTCHours() + halfDayHours) % 24;
  const lines = Array.from(
    { length: count },
    (_, n) => `export const cron${n} = cron("${n % 60} ${hour} * * *", () => {});`,
  );
  return `import { cron } from "aloft";\n${lines.join("\n")}\n`;
}

/** No instance, and the counters stand still. */
async function asleep(server: AloftServer): Promise<void> {
  let last = "";
  for (let still = 0; still < 10;) {
    await new Promise((resolve) => setTimeout(resolve, pollMs));
    const { groups } = await server.status();
    const instances = groups.reduce((sum, group) => sum + group.instances, 0);
    const found = JSON.stringify(await countersOf(server));
    still = instances === 0 && found === last ? still + 1 : 0;
    last = found;
  }
}

async function countersOf(server: AloftServer): Promise<Counters> {
  return {
    commits: await server.counter("aloft_keyspace_commits_total"),
    syncs: await server.counter("aloft_keyspace_syncs_total"),
    reads: await server.counter("aloft_keyspace_reads_total"),
  };
}

function goal(what: string, met: boolean, limit: string, reached: string): Goal {
  return { what, limit, reached, met };
}
