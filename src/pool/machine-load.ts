/**
 * How many cores' worth of processor time nobody uses. What runs at a raised nice value counts as unused: it gives way.
 * The server's own thread counts first: while it is full no further instance can help.
 */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";

export interface CpuTimes {
  /** In any unit, since the machine started. */
  readonly spare: number;
  readonly total: number;
  readonly cores: number;
}

/** Of the server's own event loop: from here on it is what makes requests wait. */
const ownLoopFull = 0.9;

export class MachineLoad {
  #times: CpuTimes | null = null;
  #own = performance.eventLoopUtilization();

  /** Since the last call; Infinity when that is unknown, as it is at the first one. */
  spareCores(): number {
    const own = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(own, this.#own);
    this.#own = own;
    const before = this.#times;
    this.#times = readCpuTimes();
    if (utilization > ownLoopFull) return 0;
    if (before === null || this.#times === null) return Number.POSITIVE_INFINITY;
    return spareBetween(before, this.#times);
  }

  /** What is known is from before a pause and says nothing of now. */
  forget(): void {
    this.#times = null;
  }
}

export function spareBetween(before: CpuTimes, after: CpuTimes): number {
  const total = after.total - before.total;
  if (total <= 0) return Number.POSITIVE_INFINITY;
  return Math.max(0, ((after.spare - before.spare) / total) * after.cores);
}

/** The sums of /proc/stat (proc_stat(5)): user, nice, system, idle, iowait, irq, softirq, steal; null for another text. */
export function parseProcStat(text: string): CpuTimes | null {
  const fields = /^cpu +([\d ]+)$/m.exec(text)?.[1]?.split(" ").map(Number);
  const cores = text.match(/^cpu\d+ /gm)?.length ?? 0;
  if (fields === undefined || fields.length < 5 || cores === 0) return null;
  const [, nice = 0, , idle = 0, iowait = 0] = fields;
  // Guest time, after the eighth, is in user time already.
  const total = fields.slice(0, 8).reduce((sum, each) => sum + each, 0);
  return { spare: nice + idle + iowait, total, cores };
}

function readCpuTimes(): CpuTimes | null {
  try {
    return parseProcStat(readFileSync("/proc/stat", "latin1"));
  } catch {
    return sumOf(cpus());
  }
}

function sumOf(machine: ReturnType<typeof cpus>): CpuTimes | null {
  if (machine.length === 0) return null;
  let spare = 0;
  let total = 0;
  for (const { times } of machine) {
    spare += times.idle + times.nice;
    total += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { spare, total, cores: machine.length };
}
