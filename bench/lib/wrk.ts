/** wrk with one thread: a second one would take the core that the contestant runs on. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Load, type LoadResult, runTool } from "./load.ts";

interface Printed {
  readonly requests: number;
  readonly durationUs: number;
  readonly status: number;
  readonly connect: number;
  readonly read: number;
  readonly write: number;
  readonly timeout: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  readonly cpuUs: number;
}

const script = fileURLToPath(new URL("load.lua", import.meta.url));

export async function loadWithWrk(load: Load): Promise<LoadResult> {
  const folder = await mkdtemp(join(tmpdir(), "aloft-bench-wrk-"));
  try {
    const bodyFile = load.body === "" ? "" : join(folder, "body.json");
    if (bodyFile !== "") await writeFile(bodyFile, load.body);
    const options = ["-t1", `-c${load.connections}`, `-d${load.seconds}s`, "--timeout", "10s", "-s", script];
    const args = [load.method, load.host ?? "", bodyFile, ...(load.hostsFile === undefined ? [] : [load.hostsFile])];
    return parseWrk(await runTool("wrk", [...options, load.url + load.path, "--", ...args], load.seconds));
  } finally {
    await rm(folder, { recursive: true });
  }
}

function parseWrk(output: string): LoadResult {
  const line = /^RESULT (.+)$/m.exec(output)?.[1];
  if (line === undefined) throw new Error(`wrk printed no result: ${output}`);
  const printed = JSON.parse(line) as Printed;
  const seconds = printed.durationUs / 1e6;
  return {
    tool: "wrk",
    requests: printed.requests,
    seconds,
    perSecond: printed.requests / seconds,
    badStatus: printed.status,
    failures: printed.connect + printed.read + printed.write + printed.timeout,
    latencyUs: { p50: printed.p50, p90: printed.p90, p99: printed.p99, max: printed.max },
    cpuUs: printed.cpuUs,
  };
}
