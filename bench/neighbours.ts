/**
 * Neighbours: what an app notices of one beside it that takes all it can.
 *
 * A quiet app answers one request every 5 ms, first alone and then beside each of the rude ones, which are asked again as
 * soon as they have answered or were ended. Both are measured in every round, and a ratio is taken within it.
 */
import { once } from "node:events";
import { type IncomingMessage, request as ask } from "node:http";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppFolders, deploy } from "./aloft/apps.ts";
import { AloftServer } from "./aloft/server.ts";
import { type Report, formatMs, formatRatio } from "./lib/report.ts";
import { median, percentile } from "./lib/stats.ts";
import type { BenchOptions } from "./options.ts";

const everyMs = 5;
const ratioMax = 3;

const rude: Readonly<Record<string, string>> = {
  "an endless loop": "for (;;);",
  "memory without end": "const held = []; for (;;) held.push(Buffer.alloc(1 << 20, 1));",
  "files in /tmp without end":
    "const fs = process.getBuiltinModule('node:fs'); for (let n = 0; ; n += 1) fs.writeFileSync(process.env.TMPDIR + '/' + n, '');",
  "threads without end":
    "const { Worker } = process.getBuiltinModule('node:worker_threads'); for (;;) new Worker('setInterval(() => {}, 1000)', { eval: true }).on('error', () => {});",
  "log lines without end": "for (;;) console.log('line');",
  "output without a line's end":
    "const fs = process.getBuiltinModule('node:fs'); for (;;) try { fs.writeSync(1, 'x'.repeat(65536)); } catch {}",
  "sockets without end":
    "const net = process.getBuiltinModule('node:net'); const server = net.createServer(() => {}).on('error', () => {}).listen(0, '127.0.0.1'); await new Promise((r) => server.once('listening', r)); for (;;) await new Promise((r) => net.connect(server.address().port, '127.0.0.1').once('connect', r).once('error', r));",
};

interface Beside {
  readonly neighbour: string;
  /** Of the quiet app, each request. */
  readonly us: readonly number[];
}

interface NeighbourRound {
  readonly alone: readonly number[];
  readonly beside: readonly Beside[];
}

export async function benchNeighbours(options: BenchOptions): Promise<Report> {
  const dataFolder = await mkdtemp(join(tmpdir(), "aloft-bench-neighbours-"));
  const folders = await AppFolders.create();
  const flags = ["--sandbox", options.sandbox];
  const rounds: NeighbourRound[] = [];
  try {
    const server = await AloftServer.start({ dataFolder, flags });
    try {
      await deploy(server, await folders.write("quiet", `export default { fetch: () => new Response("here") };`));
      for (const [index, body] of Object.values(rude).entries()) {
        const source = `import { http } from "aloft";
export const rude = http("GET /*", { timeout: "2s", memoryMiB: 128, maxInstances: 1, concurrency: 1 }, async () => { ${body} });`;
        await deploy(server, await folders.write(`rude-${index}`, source));
      }
      for (let round = 0; round < options.rounds; round += 1) {
        console.log(`neighbours: round ${round + 1}`);
        rounds.push(await oneRound(server, options.seconds));
      }
    } finally {
      await server.stop();
    }
  } finally {
    await folders.remove();
    await rm(dataFolder, { recursive: true, force: true });
  }
  return reportOf(rounds, options);
}

async function oneRound(server: AloftServer, seconds: number): Promise<NeighbourRound> {
  await askQuiet(server, 1);
  const alone = await askQuiet(server, seconds);
  const beside: Beside[] = [];
  for (const [index, neighbour] of Object.keys(rude).entries()) {
    const over = new AbortController();
    const rudely = askRudely(server, `rude-${index}`, over.signal);
    const us = await askQuiet(server, seconds);
    over.abort();
    await rudely;
    beside.push({ neighbour, us });
    await server.until("the neighbour has gone", (status) => {
      const left = status.groups.filter((group) => group.app === `rude-${index}`);
      return left.every((group) => group.inFlight === 0) ? true : null;
    });
  }
  return { alone, beside };
}

/** One request after the other, each at its time or as soon as the one before is answered. */
async function askQuiet(server: AloftServer, seconds: number): Promise<number[]> {
  const found: number[] = [];
  const startedMs = performance.now();
  for (let nextMs = startedMs; performance.now() - startedMs < seconds * 1000; nextMs += everyMs) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, nextMs - performance.now())));
    const askedMs = performance.now();
    const status = await statusOf(server, "quiet");
    if (status !== 200) throw new Error(`the quiet app answered ${status}`);
    found.push((performance.now() - askedMs) * 1000);
  }
  return found;
}

async function askRudely(server: AloftServer, app: string, over: AbortSignal): Promise<void> {
  while (!over.aborted) await statusOf(server, app);
}

async function statusOf(server: AloftServer, app: string): Promise<number> {
  const asking = ask(server.url, { headers: { host: `${app}.localhost` }, agent: false });
  asking.end();
  const [response] = (await once(asking, "response")) as [IncomingMessage];
  response.resume();
  await once(response, "close");
  return response.statusCode ?? 0;
}

function reportOf(rounds: readonly NeighbourRound[], options: BenchOptions): Report {
  const names = Object.keys(rude);
  const besideIn = (round: NeighbourRound, name: string): readonly number[] =>
    round.beside.find(({ neighbour }) => neighbour === name)?.us ?? [];
  const ratioOf = (name: string): number =>
    median(rounds.map((round) => percentile(besideIn(round, name), 0.99) / percentile(round.alone, 0.99)));
  const row = (name: string, pick: (round: NeighbourRound) => readonly number[], ratio: string): string[] => [
    name,
    ...[0.5, 0.99].map((fraction) => formatMs(median(rounds.map((round) => percentile(pick(round), fraction))))),
    ratio,
  ];
  return {
    part: "neighbours",
    tables: [
      {
        title: `neighbours: an app's answer in ms, ${options.sandbox} sandbox`,
        columns: ["beside", "p50", "p99", "p99 / alone"],
        rows: [
          row("nobody", ({ alone }) => alone, "1.00"),
          ...names.map((name) => row(name, (round) => besideIn(round, name), formatRatio(ratioOf(name)))),
        ],
      },
    ],
    goals: names.map((name) => ({
      what: `p99 beside ${name}`,
      limit: `<= ${ratioMax} x alone`,
      reached: formatRatio(ratioOf(name)),
      met: ratioOf(name) <= ratioMax,
    })),
    notes: [],
    samples: rounds,
  };
}
