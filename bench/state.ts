/**
 * State from a handler: keys and values a second, with one call at a time and with 64, and the bytes of a blob a second, both
 * ways. By a handler bytes pass through its sandboxed process; through a signed link they do not.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppFolders, deploy } from "./aloft/apps.ts";
import { AloftServer } from "./aloft/server.ts";
import { formatMB, formatRate, type Report } from "./lib/report.ts";
import { median } from "./lib/stats.ts";
import type { BenchOptions } from "./options.ts";

const app = "keeper";
const callsAlone = 500;
const callsTogether = 20_000;
const blobBytes = 128 * 1024 * 1024;

const source = `
import { blob, http, kv } from "aloft";
const values = kv("values");
const files = blob("files");
const piece = new Uint8Array(65536).fill(7);
function* pieces(bytes) {
  for (let left = bytes; left > 0; left -= piece.length) yield piece.slice();
}
const perSecond = async (amount, work) => {
  const began = performance.now();
  await work();
  return (amount / (performance.now() - began)) * 1000;
};
const work = {
  get: (n) => values.get(String(n % 1000)),
  set: (n) => values.set(String(n % 1000), n),
};
export const all = http("POST /*", { timeout: "10m" }, async (request) => {
  const { what, callers, amount } = await request.json();
  let next = 0;
  const rate = await perSecond(amount, async () => {
    if (what === "put") await files.put("large", ReadableStream.from(pieces(amount)));
    else if (what === "read") for await (const _ of (await files.get("large")).body);
    else if (what === "link") return;
    else await Promise.all(Array.from({ length: callers }, async () => { while (next < amount) await work[what](next++); }));
  });
  if (what !== "link") return Response.json(rate);
  return Response.json([await files.uploadUrl("linked"), await files.downloadUrl("linked")]);
});
`;

type Figure = "set, alone" | "set, 64" | "get, alone" | "get, 64" | "put" | "read" | "put, link" | "read, link";

export async function benchState(options: BenchOptions): Promise<Report> {
  const dataFolder = await mkdtemp(join(tmpdir(), "aloft-bench-state-"));
  const server = await AloftServer.start({ dataFolder });
  const samples: Record<Figure, number>[] = [];
  try {
    const folders = await AppFolders.create();
    await deploy(server, await folders.write(app, source));
    await folders.remove();
    for (let round = 0; round < options.rounds; round += 1) {
      console.log(`state: round ${round + 1}`);
      samples.push(await measure(server));
    }
  } finally {
    await server.stop();
    await rm(dataFolder, { recursive: true, force: true });
  }
  const of = (figure: Figure): number => median(samples.map((sample) => sample[figure]));
  return {
    part: "state",
    tables: [
      {
        title: "state: calls a second of a handler (medians)",
        columns: ["", "one at a time", "64 at once"],
        rows: (["set", "get"] as const).map((what) => [
          `kv ${what}`,
          formatRate(of(`${what}, alone`)),
          formatRate(of(`${what}, 64`)),
        ]),
      },
      {
        title: "state: MB a second of one blob (medians)",
        columns: ["", "by a handler", "through a link"],
        rows: (["put", "read"] as const).map((what) => [
          `blob ${what}`,
          formatMB(of(what)),
          formatMB(of(`${what}, link`)),
        ]),
      },
    ],
    goals: [],
    notes: [],
    samples,
  };
}

async function measure(server: AloftServer): Promise<Record<Figure, number>> {
  const ask = async <T>(body: object): Promise<T> => {
    const response = await fetch(`${server.url}/`, {
      method: "POST",
      headers: { "aloft-app": app },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`the handler answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as T;
  };
  const calls = (what: "get" | "set", callers: number): Promise<number> =>
    ask({ what, callers, amount: callers === 1 ? callsAlone : callsTogether });
  const [up, down] = await ask<[string, string]>({ what: "link", amount: 1 });
  const here = (link: string): string => {
    const { pathname, search } = new URL(link);
    return `${server.url}${pathname}${search}`;
  };
  return {
    "set, alone": await calls("set", 1),
    "set, 64": await calls("set", 64),
    "get, alone": await calls("get", 1),
    "get, 64": await calls("get", 64),
    put: await ask({ what: "put", amount: blobBytes }),
    read: await ask({ what: "read", amount: blobBytes }),
    "put, link": await rate(() => fetch(here(up), { method: "PUT", headers: { "aloft-app": app }, body: zeros })),
    "read, link": await rate(() => fetch(here(down), { headers: { "aloft-app": app } })),
  };
}

const zeros = Buffer.alloc(blobBytes);

async function rate(send: () => Promise<Response>): Promise<number> {
  const beganMs = performance.now();
  const response = await send();
  let bytes = 0;
  for await (const chunk of response.body ?? []) bytes += (chunk as Uint8Array).length;
  if (!response.ok) throw new Error(`a link was answered ${response.status}`);
  return (Math.max(bytes, blobBytes) / (performance.now() - beganMs)) * 1000;
}
