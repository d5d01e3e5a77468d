/** What a load is and what comes of it, whichever tool carries it out (run-load.ts). */
import { spawn } from "node:child_process";
import { once } from "node:events";

export interface Load {
  readonly url: string;
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body: string;
  /** Value of the Host header; absent: the url's own. */
  readonly host?: string;
  /** A file with one host name a line, taken in turn; wrk only. */
  readonly hostsFile?: string;
  readonly connections: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly tool: "wrk" | "autocannon";
  /** Answers that were received in full; the last request of each connection may be on its way and is not counted. */
  readonly requests: number;
  readonly seconds: number;
  readonly perSecond: number;
  /** Answers with a status of 400 and above. */
  readonly badStatus: number;
  /** Connections that failed, broke or timed out. */
  readonly failures: number;
  readonly latencyUs: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };
  /** CPU time of the load tool itself. */
  readonly cpuUs: number;
}

/** Runs a load tool to its end and returns what it printed. A tool that hangs is ended. */
export async function runTool(program: string, args: readonly string[], secondsExpected: number): Promise<string> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], timeout: (secondsExpected + 30) * 1000 });
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${errors || output}`);
  return output;
}
