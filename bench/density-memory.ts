/**
 * The memory of an idle hello instance beside a bare Node that has touched its web classes, both several times, at the
 * same moment, so that both share the pages of the Node binary with the same number of processes.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { deployAll, textApps } from "./aloft/apps.ts";
import { AloftServer } from "./aloft/server.ts";
import { askOnce } from "./lib/client.ts";
import { type MemoryUse, memoryOf } from "./lib/processes.ts";
import { endWithUs, stopTree } from "./lib/server-process.ts";
import { programPath } from "./peers/programs.ts";

export interface MemoryRound {
  readonly instances: readonly MemoryUse[];
  readonly bare: readonly MemoryUse[];
  readonly server: MemoryUse;
}

const processesOfEach = 5;
/** Long enough for whatever a process does after its first work, well below the keep-alive. */
const idleMs = 10_000;

export async function measureMemory(): Promise<MemoryRound> {
  const server = await AloftServer.start();
  const bare: ChildProcess[] = [];
  try {
    const apps = textApps("idle", processesOfEach);
    await deployAll(server, apps);
    const pids = new Set<number>();
    for (const { name } of apps) {
      for (const path of ["/", "/pid"]) {
        const { body } = await askOnce(
          { url: server.url, host: `${name}.localhost` },
          { method: "GET", path, body: "" },
        );
        if (path === "/pid") pids.add(Number(body));
      }
    }
    if (pids.size !== processesOfEach) throw new Error(`${apps.length} apps answered from ${pids.size} processes`);
    for (let count = 0; count < processesOfEach; count += 1) bare.push(await startBare());
    await new Promise((resolve) => setTimeout(resolve, idleMs));
    return {
      instances: [...pids].map(readMemory),
      bare: bare.map(({ pid }) => readMemory(pid ?? 0)),
      server: readMemory(server.pid),
    };
  } finally {
    await Promise.all(bare.map(stopTree));
    await server.stop();
  }
}

async function startBare(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [programPath("idle-node.js")], {
    stdio: ["ignore", "pipe", "ignore"],
    env: {},
  });
  endWithUs(child);
  await once(child.stdout, "data");
  return child;
}

function readMemory(pid: number): MemoryUse {
  const use = memoryOf(pid);
  if (use === null) throw new Error(`process ${pid} is gone`);
  if (use.swapBytes > 0)
    throw new Error(`process ${pid} has ${use.swapBytes} bytes paged out: its memory cannot be measured`);
  return use;
}
