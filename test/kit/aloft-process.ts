/** `bin/aloft serve` as a process of its own, so that it can be killed like one. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { bundleApp } from "../../src/build/bundle.ts";
import { ControlClient } from "../../src/cli/client.ts";
import { deployBundle } from "../../src/cli/deploying.ts";
import type { DeployedJson } from "../../src/contract/api.ts";
import { testToken } from "./server.ts";

const bin = join(import.meta.dirname, "..", "..", "bin", "aloft");

export interface AloftProcess {
  readonly child: ChildProcessWithoutNullStreams;
  readonly http: string;
  readonly client: ControlClient;
  deploy(folder: string): Promise<DeployedJson>;
  fetch(app: string, path: string, init?: RequestInit): Promise<Response>;
  /** Resolves when the process has ended. */
  kill(signal?: NodeJS.Signals): Promise<void>;
}

export interface FailedStart {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Resolves when it says that it is ready, or when it has ended without. */
export async function serve(dataDir: string, ...flags: string[]): Promise<AloftProcess | FailedStart> {
  const { PATH = "", HOME = "" } = process.env;
  const parameters = ["serve", "--json", "--data", dataDir, "--port", "0", "--admin-port", "0", "--sandbox", "process"];
  const child = spawn(process.execPath, [bin, ...parameters, ...flags], {
    env: { PATH, HOME, ALOFT_ADMIN_TOKEN: testToken },
  });
  const closed = once(child, "close");
  let out = "";
  let err = "";
  child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
  const ready = await new Promise<{ http: string; admin: string } | null>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
      const line = /^(\{"ready":true.*\})\n/.exec(out)?.[1];
      if (line !== undefined) resolve(JSON.parse(line) as { http: string; admin: string });
    });
    void closed.then(() => resolve(null));
  });
  if (ready === null) {
    const [code] = (await closed) as [number];
    return { code, out, err };
  }
  const client = new ControlClient({ server: ready.admin, token: testToken });
  return {
    child,
    http: ready.http,
    client,
    async deploy(folder) {
      return (await deployBundle(client, await bundleApp({ dir: folder }), "production")).deployed;
    },
    fetch: (app, path, init) => fetch(`${ready.http}${path}`, { ...init, headers: { "aloft-app": app } }),
    async kill(signal = "SIGKILL") {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await closed;
      client.close();
    },
  };
}

/** For where nothing else is expected. */
export async function served(dataDir: string, ...flags: string[]): Promise<AloftProcess> {
  const started = await serve(dataDir, ...flags);
  if ("http" in started) return started;
  throw new Error(`the server did not start: ${started.out}${started.err}`);
}

/** Process numbers of the instances and zygotes of the server of this data folder: their temporary folders lie in it. */
export async function guestsOf(dataDir: string): Promise<number[]> {
  const pids: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const environment = await readFile(`/proc/${name}/environ`, "latin1").catch(() => "");
    if (environment.includes(`TMPDIR=${join(dataDir, "run")}`)) pids.push(Number(name));
  }
  return pids;
}
