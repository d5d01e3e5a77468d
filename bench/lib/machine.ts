/** The machine that is measured on, and whether it is fit for it: swapping makes every figure meaningless. */
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly loadBefore: number;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    loadBefore: loadavg()[0] ?? 0,
  };
}

/** Pages swapped in and out since boot; two readings that differ void what lay between them. */
export function swappedPages(): number {
  const text = readFileSync("/proc/vmstat", "utf8");
  const pages = (field: string): number => Number(new RegExp(`^${field} (\\d+)`, "m").exec(text)?.[1] ?? 0);
  return pages("pswpin") + pages("pswpout");
}

/** Throws when the machine swaps now; a benchmark started then would measure the disk. */
export async function refuseWhenSwapping(): Promise<void> {
  const before = swappedPages();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const pages = swappedPages() - before;
  if (pages > 0) throw new Error(`the machine is swapping (${pages} pages within a second): free memory and run again`);
}
