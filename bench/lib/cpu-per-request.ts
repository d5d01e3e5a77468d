/** Where the CPU time of a request goes: microseconds for each role, in user and kernel mode, and for each thread. */
import type { Role } from "./contestant.ts";
import type { CpuUse } from "./processes.ts";

export interface CpuPerRequest {
  readonly userUs: number;
  readonly systemUs: number;
  readonly threadsUs: Readonly<Record<string, number>>;
}

export type CpuByRole = Readonly<Partial<Record<Role, CpuPerRequest>>>;

export function perRequest(use: Partial<Record<Role, CpuUse>>, requests: number): CpuByRole {
  const entries = Object.entries(use).map(([role, { userUs, systemUs, threadsUs }]) => [
    role,
    {
      userUs: userUs / requests,
      systemUs: systemUs / requests,
      threadsUs: Object.fromEntries(Object.entries(threadsUs).map(([name, us]) => [name, us / requests])),
    },
  ]);
  return Object.fromEntries(entries) as CpuByRole;
}
