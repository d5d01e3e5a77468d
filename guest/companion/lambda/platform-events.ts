/**
 * What the platform tells the extensions that listen: events of the Telemetry API, and the subset of them that the older
 * Logs API knows. Shapes as in AWS's event schema reference.
 */

export type Category = "platform" | "function" | "extension";

export interface TelemetryEvent {
  /** ISO 8601 with milliseconds. */
  readonly time: string;
  readonly type: string;
  readonly record: unknown;
}

export type Status = "success" | "error" | "failure" | "timeout";

export function categoryOf(type: string): Category {
  return type === "function" || type === "extension" ? type : "platform";
}

/** The Logs API is older: it does not know of starts, and calls its own subscriptions by another name. */
const logsTypes: ReadonlySet<string> = new Set([
  "platform.start",
  "platform.end",
  "platform.report",
  "platform.runtimeDone",
  "platform.extension",
  "platform.logsSubscription",
  "platform.logsDropped",
  "platform.fault",
  "function",
  "extension",
]);

export function isForLogsApi(type: string): boolean {
  return logsTypes.has(type);
}

/** `platform.end` and `platform.logsSubscription` are of the Logs API alone. */
export function isForTelemetryApi(type: string): boolean {
  return type !== "platform.end" && type !== "platform.logsSubscription";
}

export function eventAt(epochMs: number, type: string, record: unknown): TelemetryEvent {
  return { time: new Date(epochMs).toISOString(), type, record };
}

/** Milliseconds with three decimals, as AWS reports them. */
export function roundMs(ms: number): number {
  return Math.round(Math.max(0, ms) * 1000) / 1000;
}

export function statusOf(errorType: string, isTimeout: boolean): Status {
  if (isTimeout) return "timeout";
  if (errorType === "") return "success";
  return errorType.startsWith("Sandbox.") ? "failure" : "error";
}

export function tracingOf(traceId: string): { tracing?: object } {
  if (traceId === "") return {};
  const spanId = /Parent=([0-9a-f]{16})/.exec(traceId)?.[1];
  return { tracing: { ...(spanId !== undefined && { spanId }), type: "X-Amzn-Trace-Id", value: traceId } };
}
