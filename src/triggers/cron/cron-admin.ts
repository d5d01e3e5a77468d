/** Crons as the control API shows them. */
import { AloftError } from "../../contract/errors.ts";
import type { CronJson, CronRunJson } from "../../contract/triggering.ts";
import { nextRun } from "../../lib/recurrence.ts";
import type { Cron } from "./cron.ts";

const nextShown = 5;

export function cronJson(name: string, cron: Cron): CronJson {
  const { state, options, schedule, binding } = cron;
  const next: string[] = [];
  let at = state?.isPaused === true ? null : (state?.nextMs ?? null);
  for (; at !== null && next.length < nextShown; at = nextRun(schedule, at)) next.push(new Date(at).toISOString());
  const last = state?.last ?? null;
  return {
    name,
    function: binding.functionName,
    schedule: binding.name,
    timezone: options.timezone,
    missed: options.missed,
    overlap: options.overlap,
    paused: state?.isPaused ?? false,
    running: cron.isRunning,
    next,
    last:
      last === null
        ? null
        : {
            scheduledAt: new Date(last.scheduledAtMs).toISOString(),
            endedAt: new Date(last.endedAtMs).toISOString(),
            error: last.error,
          },
    succeeded: state?.succeeded ?? 0,
    failed: state?.failed ?? 0,
  };
}

/** Throws what the handler has thrown. */
export async function runCronNow(cron: Cron, id: string): Promise<CronRunJson> {
  const end = await cron.runNow(id);
  switch (end.kind) {
    case "committed":
      return { value: end.value };
    case "refused":
      throw end.error;
    case "failed":
      throw new AloftError("FUNCTION_THREW", `${end.error.type}: ${end.error.message}`, {
        detail: { error: end.error.type, stack: end.error.stack },
      });
    case "lost":
      throw new AloftError("SHUTTING_DOWN", "this server no longer runs the cron");
  }
}
