/**
 * A load: so many connections that each send the next request when the last one is answered, for so many seconds.
 *
 * wrk where there is one, else autocannon (a Node program: it takes several times wrk's CPU from the cores it shares with
 * the contestants, so figures of the two must never be compared). Closed loops as these understate latency under
 * overload; throughput and the latency of a loaded but not overloaded server is what they are for.
 */
import { spawnSync } from "node:child_process";
import { loadWithAutocannon } from "./autocannon.ts";
import type { Load, LoadResult } from "./load.ts";
import { loadWithWrk } from "./wrk.ts";

const secondsMax = 120;
const connectionsMax = 1024;

export async function runLoad(load: Load): Promise<LoadResult> {
  if (!(load.seconds > 0 && load.seconds <= secondsMax))
    throw new RangeError(`seconds: ${load.seconds}, at most ${secondsMax}`);
  if (load.connections > connectionsMax)
    throw new RangeError(`connections: ${load.connections}, at most ${connectionsMax}`);
  return loadTool() === "wrk" ? loadWithWrk(load) : loadWithAutocannon(load);
}

export function loadTool(): "wrk" | "autocannon" {
  return spawnSync("wrk", ["--version"]).error === undefined ? "wrk" : "autocannon";
}
