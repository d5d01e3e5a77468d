/**
 * Deploy: how long from the command to the new version answering, and whether anybody notices.
 *
 * Latency: a probe asks every 2 ms; the time runs from starting `aloft deploy` to the first answer of the new version.
 * Under load: 16 connections keep asking, one more connects anew for every request, while version after version is
 * deployed. Every answer must be 200 and no connection may see an older version after a newer one.
 */
import { AppFolders, deploy, textSource } from "./aloft/apps.ts";
import { AloftServer } from "./aloft/server.ts";
import { Visitors } from "./deploy-visitors.ts";
import { Connection, type Target } from "./lib/client.ts";
import { type Report, formatMs, formatRate } from "./lib/report.ts";
import { median, spreadOf } from "./lib/stats.ts";
import type { BenchOptions } from "./options.ts";

const app = "deployed";
const probeMs = 2;
const liveMs = 30_000;
const deploysPerRound = 10;
const deploysUnderLoad = 50;

interface DeployTimes {
  readonly liveUs: number;
  readonly commandUs: number;
}

export async function benchDeploy(options: BenchOptions): Promise<Report> {
  const folders = await AppFolders.create();
  const server = await AloftServer.start();
  const target: Target = { url: server.url, host: `${app}.localhost` };
  let version = 0;
  const next = async (): Promise<DeployTimes> => {
    version += 1;
    const folder = await folders.write(app, textSource(`v${version}`));
    return timeDeploy(server, target, folder, `v${version}`);
  };
  try {
    await next(); // the first one makes the app; those after it replace a version, which is the daily case
    const quiet: DeployTimes[] = [];
    console.log(`deploy: ${options.rounds * deploysPerRound} deploys, then ${deploysUnderLoad} under load`);
    for (let count = options.rounds * deploysPerRound; count > 0; count -= 1) quiet.push(await next());
    const visitors = new Visitors(target);
    const loaded: DeployTimes[] = [];
    for (let count = deploysUnderLoad; count > 0; count -= 1) loaded.push(await next());
    const visited = await visitors.stop();
    const p50 = median(quiet.map(({ liveUs }) => liveUs));
    return {
      part: "deploy",
      tables: [
        {
          title: "deploy: hello from command to live, in ms",
          columns: ["", "deploys", "p50", "least", "most", "p50 to the command's end"],
          rows: [
            timesRow("quiet", quiet),
            timesRow(`under load (${formatRate(visited.perSecond)} requests/s)`, loaded),
          ],
        },
      ],
      goals: [
        { what: "from command to live, p50", limit: "<= 400 ms", reached: `${formatMs(p50)} ms`, met: p50 <= 400_000 },
        {
          what: `failed requests over ${deploysUnderLoad} deploys under load`,
          limit: "0",
          reached: `${visited.failed} of ${visited.requests}`,
          met: visited.failed === 0,
        },
      ],
      notes: visited.failed > 0 ? [`the first failure: ${visited.firstFailure}`] : [],
      samples: { quiet, loaded, visited },
    };
  } finally {
    await server.stop();
    await folders.remove();
  }
}

async function timeDeploy(server: AloftServer, target: Target, folder: string, expected: string): Promise<DeployTimes> {
  const startedMs = performance.now();
  const sinceUs = (): number => (performance.now() - startedMs) * 1000;
  const over = new AbortController();
  const live = untilLive(target, expected, over.signal).then(sinceUs);
  try {
    const command = deploy(server, folder).then(sinceUs);
    const [liveUs, commandUs] = await Promise.all([live, command]);
    return { liveUs, commandUs };
  } finally {
    over.abort();
    await live.catch(() => null);
  }
}

async function untilLive(target: Target, expected: string, over: AbortSignal): Promise<void> {
  const connection = new Connection(target);
  const deadlineMs = performance.now() + liveMs;
  try {
    while (!over.aborted) {
      const { body } = await connection.ask({ method: "GET", path: "/", body: "" });
      if (body === expected) return;
      if (performance.now() > deadlineMs)
        throw new Error(`${expected} was not live after ${liveMs} ms, but: ${body.slice(0, 500)}`);
      await new Promise((resolve) => setTimeout(resolve, probeMs));
    }
  } finally {
    connection.close();
  }
}

function timesRow(name: string, times: readonly DeployTimes[]): string[] {
  const live = spreadOf(times.map(({ liveUs }) => liveUs));
  const commandP50 = median(times.map(({ commandUs }) => commandUs));
  return [name, String(times.length), ...[live.median, live.min, live.max, commandP50].map(formatMs)];
}
