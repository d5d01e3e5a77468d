/**
 * V8's sampling profiler on any Node process that runs, without having started it in a special way: SIGUSR1 opens its
 * inspector (on loopback, one process at a time, for the port is fixed), and it is closed again afterwards.
 */
import { setTimeout as sleep } from "node:timers/promises";

/** The part of V8's profile that is used: `samples` holds node ids, `timeDeltas` the microseconds before each. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const inspectorUrl = "http://127.0.0.1:9229";
const openMs = 5000;
const samplingUs = 200;

/** Profiles the process while `work` runs. */
export async function profileDuring(pid: number, work: () => Promise<unknown>): Promise<CpuProfile> {
  process.kill(pid, "SIGUSR1");
  const session = await openSession(pid);
  try {
    await session.send("Profiler.enable");
    await session.send("Profiler.setSamplingInterval", { interval: samplingUs });
    await session.send("Profiler.start");
    await work();
    const { profile } = (await session.send("Profiler.stop")) as { profile: CpuProfile };
    return profile;
  } finally {
    await session.end();
  }
}

interface Session {
  send(method: string, params?: object): Promise<unknown>;
  end(): Promise<void>;
}

async function openSession(pid: number): Promise<Session> {
  const socket = new WebSocket(await debuggerUrl());
  const waiting = new Map<number, (result: unknown) => void>();
  const closed = new Promise<void>((resolve) => socket.addEventListener("close", () => resolve()));
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", () => reject(new Error("the inspector refused the connection")));
  });
  socket.addEventListener("message", ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id?: number; result?: unknown };
    if (id !== undefined) waiting.get(id)?.(result);
  });
  let lastId = 0;
  const send = (method: string, params: object = {}): Promise<unknown> => {
    const id = (lastId += 1);
    socket.send(JSON.stringify({ id, method, params }));
    return Promise.race([
      new Promise((resolve) => waiting.set(id, resolve)),
      closed.then(() => Promise.reject(new Error(`process ${pid} closed its inspector`))),
    ]);
  };
  return {
    send,
    async end(): Promise<void> {
      // Closing the inspector closes this connection before an answer can come.
      const expression = `setImmediate(() => process.getBuiltinModule("node:inspector").close())`;
      await send("Runtime.evaluate", { expression }).catch(() => null);
      socket.close();
      await closed;
      await untilClosed();
    },
  };
}

async function debuggerUrl(): Promise<string> {
  const deadlineMs = performance.now() + openMs;
  for (;;) {
    const list = await listTargets();
    const url = list?.[0]?.webSocketDebuggerUrl;
    if (url !== undefined) return url;
    if (performance.now() > deadlineMs) throw new Error(`no inspector at ${inspectorUrl} within ${openMs} ms`);
    await sleep(20);
  }
}

/** The next process can open its own only when the port is free. */
async function untilClosed(): Promise<void> {
  const deadlineMs = performance.now() + openMs;
  while ((await listTargets()) !== null) {
    if (performance.now() > deadlineMs) throw new Error(`the inspector at ${inspectorUrl} stays open`);
    await sleep(20);
  }
}

async function listTargets(): Promise<{ webSocketDebuggerUrl?: string }[] | null> {
  try {
    const response = await fetch(`${inspectorUrl}/json/list`, { headers: { connection: "close" } });
    return (await response.json()) as { webSocketDebuggerUrl?: string }[];
  } catch {
    return null;
  }
}
