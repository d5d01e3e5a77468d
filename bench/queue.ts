/**
 * Queues: from the first send to the last message handled, one key or row written for each message, beside the peers in the
 * same rounds. Peers send and handle in one process; Aloft's handler runs in a sandboxed process of its own.
 */
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { formatMs, formatRate, type Goal, type Report } from "./lib/report.ts";
import { interleave } from "./lib/rounds.ts";
import { endWithUs } from "./lib/server-process.ts";
import { median, percentile } from "./lib/stats.ts";
import type { BenchOptions } from "./options.ts";
import { programPath } from "./peers/programs.ts";
import { type Mode, QueueServer, type QueueSample } from "./queue-aloft.ts";
import { postgres, redis, type StartPeerServer } from "./queue-servers.ts";

interface Contestant {
  readonly name: string;
  readonly program: string | null;
  readonly server: StartPeerServer;
}

const contestants: readonly Contestant[] = [
  { name: "aloft", program: null, server: null },
  { name: "BullMQ, Redis appendfsync always", program: "bullmq.js", server: redis("always") },
  { name: "BullMQ, Redis appendfsync everysec (not durable)", program: "bullmq.js", server: redis("everysec") },
  { name: "pg-boss, Postgres", program: "pg-boss.js", server: postgres() },
  { name: "graphile-worker, Postgres", program: "graphile-worker.js", server: postgres() },
];
const modes: readonly Mode[] = ["batches", "single"];
const counts: Readonly<Record<Mode, number>> = { batches: 30_000, single: 10_000 };
const pingCount = 200;
const probedMs = 3000;

type Samples = Readonly<Record<Mode, QueueSample>>;

export async function benchQueue(options: BenchOptions): Promise<Report> {
  const installed = contestants.filter(({ program, server }) => program === null || server !== null);
  const missing = contestants.filter((one) => !installed.includes(one)).map(({ name }) => name);
  const found = await interleave(installed, options.rounds, async (contestant, round) => {
    console.log(`queue: round ${round + 1}, ${contestant.name}`);
    return contestant.program === null ? await measureAloft() : await measurePeer(contestant);
  });
  console.log("queue: latency, a backlog and a crash");
  const beyond = await measureBeyond(options.queueBacklog);
  const of = (contestant: Contestant, mode: Mode): number =>
    median((found.get(contestant) ?? []).map((sample) => sample[mode].perSecond));
  const aloft = contestants[0] as Contestant;
  return {
    part: "queue",
    tables: [
      {
        title: "queue: a lone commit through a function in ms, before the backlog is deleted and while it is",
        columns: ["", "p50", "p99", "max", "commits"],
        rows: [
          ["before", ...spread(beyond.commitsBeforeMs)],
          ["while it is deleted", ...spread(beyond.commitsDuringMs)],
        ],
      },
      {
        title: "queue: messages a second, from the first send to the last handled (medians)",
        columns: ["", "batches of 100", "one by one"],
        rows: installed.map((one) => [one.name, ...modes.map((mode) => formatRate(of(one, mode)))]),
      },
    ],
    goals: [
      least("messages in batches of 100", of(aloft, "batches"), 15_000),
      least("messages one by one", of(aloft, "single"), 6_000),
      most("from a send to the handler's start when idle, p50", percentile(beyond.pings, 0.5), 5, "ms"),
      most(`slower with ${formatRate(options.queueBacklog)} messages waiting`, beyond.slowerPercent, 10, "%"),
      most(`after kill -9 with these, to the first one handled`, beyond.recoveryMs, 2000, "ms"),
      most("a commit's delay while these are deleted, slowest above the slowest before", delayOf(beyond), 20, "ms"),
    ],
    notes: missing.map((name) => `${name}: not measured, its server is not installed`),
    samples: { rates: Object.fromEntries([...found].map(([{ name }, samples]) => [name, samples])), beyond },
  };
}

async function measureAloft(): Promise<Samples> {
  const server = await QueueServer.start();
  try {
    // Code that has run once is compiled, on both sides.
    for (const mode of modes) await server.measure(mode, 1000);
    return {
      batches: await server.measure("batches", counts.batches),
      single: await server.measure("single", counts.single),
    };
  } finally {
    await server.stop();
  }
}

async function measurePeer({ program, server: start }: Contestant): Promise<Samples> {
  if (start === null || program === null) throw new Error("a peer without a server");
  const server = await start();
  try {
    const measure = async (mode: Mode): Promise<QueueSample> => {
      const path = programPath(`queue/${program}`);
      const child = spawn(process.execPath, [path, server.connection, mode, String(counts[mode])], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      endWithUs(child);
      const output = await text(child.stdout);
      return JSON.parse(output.trim().split("\n").at(-1) ?? "") as QueueSample;
    };
    return { batches: await measure("batches"), single: await measure("single") };
  } finally {
    await server.stop();
  }
}

interface Beyond {
  readonly pings: readonly number[];
  readonly slowerPercent: number;
  readonly recoveryMs: number;
  /** Lone commits, of one caller, before and while the backlog is deleted. */
  readonly commitsBeforeMs: readonly number[];
  readonly commitsDuringMs: readonly number[];
}

async function measureBeyond(backlog: number): Promise<Beyond> {
  const server = await QueueServer.start();
  try {
    await server.pings(20);
    const pings = await server.pings(pingCount);
    await server.measure("batches", 2000);
    const alone = await handledPerSecond(server, counts.batches);
    const deep = await handledPerSecond(server, backlog);
    const recoveryMs = await server.crash();
    await server.change("batches", "pause");
    const commitsBeforeMs = await server.probe(async (sinceMs) => sinceMs > probedMs);
    await server.change("batches", "purge");
    const commitsDuringMs = await probeUntilSwept(server);
    const slowerPercent = Math.max(0, (1 - deep / alone) * 100);
    return { pings, slowerPercent, recoveryMs, commitsBeforeMs, commitsDuringMs };
  } finally {
    await server.stop();
  }
}

/** Until, for a while, nobody commits but the probe. */
async function probeUntilSwept(server: QueueServer): Promise<number[]> {
  let own = 0;
  let last = { atMs: 0, commits: await server.commits() };
  return await server.probe(async (sinceMs) => {
    own += 1;
    if (sinceMs - last.atMs < probedMs) return false;
    const commits = await server.commits();
    const isSwept = commits - last.commits <= own;
    last = { atMs: sinceMs, commits };
    own = 0;
    return isSwept;
  });
}

/** The rate of the first messages of so many that wait; the rest goes on waiting. */
async function handledPerSecond(server: QueueServer, waiting: number): Promise<number> {
  await server.change("batches", "pause");
  await server.send("batches", waiting);
  const handled = Math.min(waiting, counts.batches);
  await server.change("batches", "resume");
  const beganMs = performance.now();
  const before = await server.left("batches");
  let left = before;
  while (left > before - handled * 0.9) left = await server.left("batches");
  return ((before - left) / (performance.now() - beganMs)) * 1000;
}

function delayOf({ commitsBeforeMs, commitsDuringMs }: Beyond): number {
  return Math.max(0, percentile(commitsDuringMs, 1) - percentile(commitsBeforeMs, 1));
}

function spread(ms: readonly number[]): string[] {
  return [...[0.5, 0.99, 1].map((part) => formatMs(percentile(ms, part) * 1000)), String(ms.length)];
}

function least(what: string, reached: number, limit: number): Goal {
  return { what, limit: `>= ${formatRate(limit)}/s`, reached: `${formatRate(reached)}/s`, met: reached >= limit };
}

function most(what: string, reached: number, limit: number, unit: "ms" | "%"): Goal {
  const shown = unit === "ms" ? formatMs(reached * 1000) : reached.toFixed(1);
  return { what, limit: `<= ${limit} ${unit}`, reached: `${shown} ${unit}`, met: reached <= limit };
}
