import { readFileSync } from "node:fs";

/** The start time of a process in ticks since the machine's boot; "" when there is none or the system has no /proc. */
export function startTimeOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field is the name in brackets and may hold anything; the 22nd field is the start time.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}
