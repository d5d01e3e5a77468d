/** Aloft's side of `queue`: a real server, an app whose functions send and handle, the queue's own count of what is left. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppFolders, deploy } from "./aloft/apps.ts";
import { AloftServer } from "./aloft/server.ts";

export type Mode = "batches" | "single";

export interface QueueSample {
  readonly sendPerSecond: number;
  /** From the first send to the last acknowledgement. */
  readonly perSecond: number;
}

const app = "jobs";
const pollMs = 10;
const probesLeast = 50;

/** One key written for each message, as by the peers. */
const source = `
import { http, kv, queue } from "aloft";
const done = kv("done");
const starts = kv("starts");
const now = () => performance.timeOrigin + performance.now();
export const batches = queue("batches", { batch: 100, concurrency: 8 }, async (messages) => {
  for (const { body } of messages) await done.set(String(body.n), 1);
});
export const single = queue("single", { batch: 1, concurrency: 64 }, async ([{ body }]) => {
  await done.set(String(body.n), 1);
});
export const pings = queue("pings", async ([{ body }]) => {
  await starts.set(String(body.n), now() - body.at);
});
export const send = http("POST /send", { timeout: "10m" }, async (request) => {
  const { mode, count, from = 0 } = await request.json();
  const target = mode === "single" ? single : batches;
  const size = mode === "single" ? 1 : 100;
  let next = from;
  await Promise.all(Array.from({ length: mode === "single" ? 64 : 4 }, async () => {
    while (next < from + count) {
      const first = next;
      next += size;
      if (size === 1) await target.send({ n: first });
      else await target.sendBatch(Array.from({ length: Math.min(size, from + count - first) }, (_, n) => ({ body: { n: first + n } })));
    }
  }));
  return new Response("sent");
});
export const ping = http("POST /ping/:n", async (_request, { params }) => {
  await pings.send({ n: params.n, at: now() });
  return new Response("sent");
});
export const probe = http("POST /probe", async () => {
  await starts.set("probe", 1);
  return new Response("written");
});
export const started = http("GET /started", async () => {
  const found = [];
  for await (const { value } of starts.list({ snapshot: true })) found.push(value);
  return Response.json(found);
});
`;

export class QueueServer {
  #server: AloftServer;
  readonly #dataFolder: string;

  private constructor(server: AloftServer, dataFolder: string) {
    this.#server = server;
    this.#dataFolder = dataFolder;
  }

  static async start(): Promise<QueueServer> {
    const dataFolder = await mkdtemp(join(tmpdir(), "aloft-bench-queue-"));
    const server = await AloftServer.start({ dataFolder });
    const folders = await AppFolders.create();
    await deploy(server, await folders.write(app, source));
    await folders.remove();
    return new QueueServer(server, dataFolder);
  }

  async measure(mode: Mode, count: number): Promise<QueueSample> {
    const beganMs = performance.now();
    await this.send(mode, count);
    const sentMs = performance.now();
    await this.untilEmpty(mode);
    const endedMs = performance.now();
    const rate = (ms: number): number => (count / ms) * 1000;
    return { sendPerSecond: rate(sentMs - beganMs), perSecond: rate(endedMs - beganMs) };
  }

  async send(mode: Mode, count: number): Promise<void> {
    await this.#post("/send", { mode, count });
  }

  /** Milliseconds from a send to the start of its handler, one after the other on an idle server. */
  async pings(count: number): Promise<number[]> {
    for (let n = 0; n < count; n += 1) {
      await this.#post(`/ping/${n}`, {});
      await this.untilEmpty("pings");
    }
    const response = await fetch(`${this.#server.url}/started`, { headers: { "aloft-app": app } });
    return (await response.json()) as number[];
  }

  async left(queue: string): Promise<number> {
    return (await this.#server.get<{ messages: number }>(`/v1/apps/${app}/queues/${queue}`)).messages;
  }

  async untilEmpty(queue: string): Promise<void> {
    while ((await this.left(queue)) > 0) await new Promise((resolve) => setTimeout(resolve, pollMs));
  }

  async change(queue: string, what: "pause" | "resume" | "purge"): Promise<void> {
    const response = await fetch(`${this.#server.adminUrl}/v1/apps/${app}/queues/${queue}/${what}`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.#server.token}` },
    });
    if (!response.ok) throw new Error(`${what} was answered ${response.status}`);
  }

  /** Ends the server as a power cut would and starts another on what it left; milliseconds until that has handled a message. */
  async crash(): Promise<number> {
    await this.#server.kill();
    const beganMs = performance.now();
    this.#server = await AloftServer.start({ dataFolder: this.#dataFolder });
    const before = await this.left("batches");
    while ((await this.left("batches")) >= before) await new Promise((resolve) => setTimeout(resolve, 1));
    return performance.now() - beganMs;
  }

  /** Milliseconds of lone commits, one after the other, until `isOver` says so. */
  async probe(isOver: (sinceMs: number) => Promise<boolean>): Promise<number[]> {
    const found: number[] = [];
    const startedMs = performance.now();
    while (found.length < probesLeast || !(await isOver(performance.now() - startedMs))) {
      const beganMs = performance.now();
      await this.#post("/probe", {});
      found.push(performance.now() - beganMs);
    }
    return found;
  }

  /** Of the whole server so far. */
  commits(): Promise<number> {
    return this.#server.counter("aloft_keyspace_commits_total", '{outcome="committed"}');
  }

  async stop(): Promise<void> {
    await this.#server.stop();
    await rm(this.#dataFolder, { recursive: true, force: true });
  }

  async #post(path: string, body: unknown): Promise<void> {
    const response = await fetch(this.#server.url + path, {
      method: "POST",
      headers: { "aloft-app": app },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path} was answered ${response.status}: ${await response.text()}`);
  }
}
