/** The table of CPU time for one request: by role, and for Aloft by thread as well. */
import type { CpuPerRequest } from "./lib/cpu-per-request.ts";
import type { Role } from "./lib/contestant.ts";
import type { Table } from "./lib/report.ts";
import { median } from "./lib/stats.ts";
import type { WarmCase, WarmSample } from "./warm-sample.ts";

const roles: readonly Role[] = ["server", "door", "function", "worker"];

export function cpuTable(cases: readonly WarmCase[]): Table {
  return {
    title: "warm: CPU microseconds for one request, in user mode + in the kernel (medians), and by thread",
    columns: ["case", "contestant", "server", "door", "function", "worker", "load tool", "threads"],
    rows: cases.flatMap(({ kind, connections, samples }) =>
      [...samples].map(([name, all]) => [
        `${kind} at ${connections}`,
        name,
        ...roles.map((role) => roleCell(all, role)),
        formatUs(median(all.map(({ toolCpuUs }) => toolCpuUs))),
        threadsCell(all),
      ]),
    ),
  };
}

function roleCell(samples: readonly WarmSample[], role: Role): string {
  const uses = samples.flatMap(({ cpu }) => cpu[role] ?? []);
  if (uses.length === 0) return "";
  return `${formatUs(median(uses.map(({ userUs }) => userUs)))}+${formatUs(median(uses.map(({ systemUs }) => systemUs)))}`;
}

/** The threads that take at least one microsecond: the event loop, V8's helpers (collecting, compiling), workers. */
function threadsCell(samples: readonly WarmSample[]): string {
  const cells = roles.flatMap((role) => {
    const uses = samples.flatMap(({ cpu }) => cpu[role] ?? []);
    return threadNames(uses).flatMap((thread) => {
      const us = median(uses.map(({ threadsUs }) => threadsUs[thread] ?? 0));
      return us >= 1 ? [`${role}/${thread} ${formatUs(us)}`] : [];
    });
  });
  return cells.join(", ");
}

function threadNames(uses: readonly CpuPerRequest[]): string[] {
  return [...new Set(uses.flatMap(({ threadsUs }) => Object.keys(threadsUs)))];
}

function formatUs(us: number): string {
  return !Number.isFinite(us) ? "-" : us.toFixed(us < 10 ? 1 : 0);
}
