/** Queries of logs and records as the filters that the observer takes. */
import type { InvocationRecord, LogFilter, LogLevel, RecordFilter } from "../contract/observing.ts";
import type { ApiCall } from "./route-table.ts";

const levels: readonly LogLevel[] = ["debug", "info", "warn", "error"];
const outcomes: readonly InvocationRecord["outcome"][] = ["ok", "error", "timeout", "cancelled", "rejected"];

export const logQuery = ["function", "invocation", "level", "since", "until", "limit", "follow"];
export const recordQuery = ["function", "outcome", "since", "until", "limit", "follow"];

export function logFilter({ clock, params, query }: ApiCall): LogFilter {
  return defined({
    app: params["app"],
    function: query.text("function"),
    invocation: query.text("invocation"),
    level: query.choice("level", levels),
    sinceMs: query.timeMs("since", clock),
    untilMs: query.timeMs("until", clock),
    limit: query.wholeNumber("limit", 1, 10_000),
  });
}

export function recordFilter({ clock, params, query }: ApiCall): RecordFilter {
  return defined({
    app: params["app"],
    function: query.text("function"),
    outcome: query.choice("outcome", outcomes),
    sinceMs: query.timeMs("since", clock),
    untilMs: query.timeMs("until", clock),
    limit: query.wholeNumber("limit", 1, 1000),
  });
}

/** Without the members that are undefined. */
function defined<T extends object>(members: { readonly [Key in keyof T]: T[Key] | undefined }): T {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as T;
}
