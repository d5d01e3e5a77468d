/** How much memory a process takes while something is going on: the kernel's own high-water mark, so that no peak is missed. */
import { readFile, writeFile } from "node:fs/promises";

export interface PeakMemory {
  /** Bytes by which it has been above what it had when the watch began, at most. */
  risen(): Promise<number>;
}

export async function watchPeak(pid: number): Promise<PeakMemory> {
  await writeFile(`/proc/${pid}/clear_refs`, "5"); // the mark is what it has now (proc_pid_clear_refs(5))
  const before = await statusBytes(pid, "VmRSS");
  return { risen: async () => (await statusBytes(pid, "VmHWM")) - before };
}

async function statusBytes(pid: number, name: string): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1];
  if (kib === undefined) throw new Error(`the process ${pid} has no ${name}`);
  return Number(kib) * 1024;
}
