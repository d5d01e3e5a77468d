/**
 * What the kernel says about processes: trees, CPU time, memory. Linux's /proc only.
 *
 * CPU time comes in ticks of 10 ms; over a load of seconds the error is below one in a hundred.
 */
import { readdirSync, readFileSync } from "node:fs";
import type { ProcessRef, Role } from "./contestant.ts";

const tickUs = 10_000;

export interface CpuUse {
  readonly userUs: number;
  readonly systemUs: number;
  /** By thread name, user and system together. */
  readonly threadsUs: Readonly<Record<string, number>>;
}

export interface MemoryUse {
  readonly rssBytes: number;
  readonly pssBytes: number;
  readonly privateDirtyBytes: number;
  readonly swapBytes: number;
}

export type CpuSnapshot = ReadonlyMap<number, { readonly role: Role; readonly use: CpuUse }>;

/** The process and everything below it, parents first. */
export function treeOf(rootPid: number): number[] {
  const parents = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statFields(`/proc/${name}/stat`);
    if (stat === null) continue;
    const parent = Number(stat[1]);
    parents.set(parent, [...(parents.get(parent) ?? []), Number(name)]);
  }
  const found = [rootPid];
  for (const pid of found) found.push(...(parents.get(pid) ?? []));
  return found;
}

/** The command line, words separated by blanks; "" for a process that is gone. */
export function commandLine(pid: number): string {
  return readOrNull(`/proc/${pid}/cmdline`)?.replaceAll("\0", " ").trim() ?? "";
}

export function snapshotCpu(processes: readonly ProcessRef[]): CpuSnapshot {
  const snapshot = new Map<number, { role: Role; use: CpuUse }>();
  for (const { pid, role } of processes) {
    const use = cpuOf(pid);
    if (use !== null) snapshot.set(pid, { role, use });
  }
  return snapshot;
}

/** CPU time between two snapshots by role. A process that came in between counts from its birth; one that went is not seen. */
export function cpuBetween(before: CpuSnapshot, after: CpuSnapshot): Partial<Record<Role, CpuUse>> {
  const byRole: Partial<Record<Role, CpuUse>> = {};
  for (const [pid, { role, use }] of after) {
    const earlier = before.get(pid)?.use ?? { userUs: 0, systemUs: 0, threadsUs: {} };
    const sum = byRole[role] ?? { userUs: 0, systemUs: 0, threadsUs: {} };
    const threadsUs: Record<string, number> = { ...sum.threadsUs };
    for (const [thread, us] of Object.entries(use.threadsUs)) {
      threadsUs[thread] = (threadsUs[thread] ?? 0) + us - (earlier.threadsUs[thread] ?? 0);
    }
    byRole[role] = {
      userUs: sum.userUs + use.userUs - earlier.userUs,
      systemUs: sum.systemUs + use.systemUs - earlier.systemUs,
      threadsUs,
    };
  }
  return byRole;
}

export function memoryOf(pid: number): MemoryUse | null {
  const text = readOrNull(`/proc/${pid}/smaps_rollup`);
  if (text === null || text === "") return null;
  const bytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024;
  return {
    rssBytes: bytes("Rss"),
    pssBytes: bytes("Pss"),
    privateDirtyBytes: bytes("Private_Dirty"),
    swapBytes: bytes("Swap"),
  };
}

function cpuOf(pid: number): CpuUse | null {
  const stat = statFields(`/proc/${pid}/stat`);
  if (stat === null) return null;
  const threadsUs: Record<string, number> = {};
  for (const thread of readdirOrEmpty(`/proc/${pid}/task`)) {
    const fields = statFields(`/proc/${pid}/task/${thread}/stat`);
    const name = readOrNull(`/proc/${pid}/task/${thread}/comm`)?.trim();
    if (fields === null || name === undefined) continue;
    threadsUs[name] = (threadsUs[name] ?? 0) + (Number(fields[11]) + Number(fields[12])) * tickUs;
  }
  return { userUs: Number(stat[11]) * tickUs, systemUs: Number(stat[12]) * tickUs, threadsUs };
}

/** The fields after the name, which may itself hold blanks: [0] state, [1] parent, [11] utime, [12] stime. */
function statFields(path: string): string[] | null {
  const text = readOrNull(path);
  return text === null ? null : text.slice(text.lastIndexOf(")") + 2).split(" ");
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null; // the process ended between listing and reading
  }
}

function readdirOrEmpty(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
