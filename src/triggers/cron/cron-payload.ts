/** A tick as each style of handler knows it. */
import type { FunctionSpec } from "../../contract/deployment.ts";

export interface TickOf {
  readonly scheduledAtMs: number;
  readonly schedule: string;
  readonly isManual: boolean;
}

export function scheduledPayload(spec: FunctionSpec | undefined, tick: TickOf, app: string): object {
  const { scheduledAtMs, schedule, isManual } = tick;
  if (spec?.style === "event") return { scheduledAt: scheduledAtMs, schedule, isManual };
  // The `scheduled` of a module worker: https://developers.cloudflare.com/workers/runtime-apis/handlers/scheduled/
  if (spec?.style === "fetch") return { type: "scheduled", cron: schedule, scheduledTime: scheduledAtMs };
  return eventBridgeEvent(spec?.name ?? "", tick, app);
}

/** https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html */
function eventBridgeEvent(functionName: string, { scheduledAtMs }: TickOf, app: string): object {
  return {
    version: "0",
    id: uuidOf(scheduledAtMs),
    "detail-type": "Scheduled Event",
    source: "aws.events",
    account: "000000000000",
    time: `${new Date(scheduledAtMs).toISOString().slice(0, 19)}Z`,
    region: "us-east-1",
    resources: [`arn:aws:events:us-east-1:000000000000:rule/${app}-${functionName}`],
    detail: {},
  };
}

/** The same for every attempt at a tick. */
function uuidOf(ms: number): string {
  const hex = ms.toString(16).padStart(12, "0");
  return `00000000-0000-4000-8000-${hex}`;
}
