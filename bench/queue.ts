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
    return { pings, slowerPercent: Math.max(0, (1 - deep / alone) * 100), recoveryMs };
  } finally {
    await server.stop();
  }
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

function least(what: string, reached: number, limit: number): Goal {
  return { what, limit: `>= ${formatRate(limit)}/s`, reached: `${formatRate(reached)}/s`, met: reached >= limit };
}

function most(what: string, reached: number, limit: number, unit: "ms" | "%"): Goal {
  const shown = unit === "ms" ? formatMs(reached * 1000) : reached.toFixed(1);
  return { what, limit: `<= ${limit} ${unit}`, reached: `${shown} ${unit}`, met: reached <= limit };
}
