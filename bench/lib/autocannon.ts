/** autocannon, for machines without wrk. Its latencies are whole milliseconds. */
import { fileURLToPath } from "node:url";
import { type Load, type LoadResult, runTool } from "./load.ts";

interface Printed {
  readonly requests: { readonly total: number };
  readonly duration: number;
  readonly non2xx: number;
  readonly errors: number;
  readonly timeouts: number;
  readonly latency: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };
}

const program = fileURLToPath(new URL("../node_modules/autocannon/autocannon.js", import.meta.url));

export async function loadWithAutocannon(load: Load): Promise<LoadResult> {
  if (load.hostsFile !== undefined) throw new Error("a load over many hosts wants wrk: apt-get install wrk");
  const headers = [
    ...(load.host === undefined ? [] : ["-H", `host=${load.host}`]),
    ...(load.body === "" ? [] : ["-H", "content-type=application/json", "-b", load.body]),
  ];
  const options = ["--json", "-m", load.method, "-c", String(load.connections), "-d", String(load.seconds)];
  const output = await runTool(process.execPath, [program, ...options, ...headers, load.url + load.path], load.seconds);
  const printed = JSON.parse(output) as Printed;
  const { p50, p90, p99, max } = printed.latency;
  return {
    tool: "autocannon",
    requests: printed.requests.total,
    seconds: printed.duration,
    perSecond: printed.requests.total / printed.duration,
    badStatus: printed.non2xx,
    failures: printed.errors + printed.timeouts,
    latencyUs: { p50: usOf(p50), p90: usOf(p90), p99: usOf(p99), max: usOf(max) },
    cpuUs: Number.NaN,
  };
}

function usOf(ms: number): number {
  return Math.round(ms * 1000);
}
