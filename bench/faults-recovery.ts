/** `kill -9` of the server during a deploy and under load, and the new start on the same data folder. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deployAll, textSource } from "./aloft/apps.ts";
import { AloftServer } from "./aloft/server.ts";
import { Visitors } from "./deploy-visitors.ts";
import { askOnce } from "./lib/client.ts";

export interface Recovery {
  readonly readyUs: number;
  /** From the new start to the first answer of the function. */
  readonly answeredUs: number;
  /** Number of the last version whose deploy was answered before the kill. */
  readonly acknowledged: number;
  /** Number of the version that answered after it; one more than acknowledged is right as well. */
  readonly live: number;
}

const app = "survivor";
const deploysBefore = 3;

export async function recoverOnce(): Promise<Recovery> {
  const dataFolder = await mkdtemp(join(tmpdir(), "aloft-bench-recovery-"));
  try {
    const acknowledged = await deployUntilKilled(dataFolder);
    const startedMs = performance.now();
    const server = await AloftServer.start({ dataFolder });
    try {
      const { status, body } = await askOnce(
        { url: server.url, host: `${app}.localhost` },
        { method: "GET", path: "/", body: "" },
      );
      const answeredUs = (performance.now() - startedMs) * 1000;
      const live = Number(/^v(\d+)$/.exec(body)?.[1] ?? Number.NaN);
      if (status !== 200 || Number.isNaN(live))
        throw new Error(`after the new start ${app} answered ${status}: ${body}`);
      return { readyUs: server.startUs, answeredUs, acknowledged, live };
    } finally {
      await server.stop();
    }
  } finally {
    await rm(dataFolder, { recursive: true, force: true });
  }
}

/** Resolves to the last version that was acknowledged. The kill comes while a further deploy is under way. */
async function deployUntilKilled(dataFolder: string): Promise<number> {
  const server = await AloftServer.start({ dataFolder });
  let acknowledged = 0;
  const next = async (): Promise<void> => {
    await deployAll(server, [{ name: app, source: textSource(`v${acknowledged + 1}`) }]);
    acknowledged += 1;
  };
  for (let count = 0; count < deploysBefore; count += 1) await next();
  const visitors = new Visitors({ url: server.url, host: `${app}.localhost` });
  const last = next().catch(() => null); // cut off by the kill, unless it was quicker
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 50));
  await server.kill();
  await last;
  await visitors.stop();
  return acknowledged;
}
