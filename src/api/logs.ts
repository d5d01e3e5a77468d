/** Log lines of an app, stored and live: one JSON value a line. */
import type { LogFilter, LogLine } from "../contract/observing.ts";
import { logFilter, logQuery } from "./filters.ts";
import { follow } from "./follow.ts";
import type { ApiCall, Resource } from "./route-table.ts";

export const logResources: readonly Resource[] = [
  {
    method: "GET",
    path: "/v1/apps/:app/logs",
    query: logQuery,
    async handle(call) {
      const { deps, signal, clock } = call;
      const { observer } = deps;
      const filter = logFilter(call);
      if (call.query.flag("follow")) {
        return {
          kind: "lines",
          values: follow({
            subscribe: (onLine) => observer.followLogs(filter, onLine),
            listStored: () => listLogs(call, filter),
            signal,
            lost: (count) => lostLine(filter.app ?? "", count, clock.nowMs()),
          }),
        };
      }
      const lines = await listLogs(call, filter);
      // The import of a first deploy that failed has left lines, but no app; with neither, the name is wrong.
      if (lines.length === 0) deps.apps.getApp(filter.app ?? "");
      return { kind: "lines", values: each(lines) };
    },
  },
];

/** What was accepted a moment ago is not written yet. */
async function listLogs({ deps }: ApiCall, filter: LogFilter): Promise<readonly LogLine[]> {
  await deps.observer.flush();
  return await deps.observer.listLogs(filter);
}

function lostLine(app: string, count: number, atMs: number): LogLine {
  const message = `${count} lines were left out here because they came faster than they were read`;
  return { atMs, app, function: "", deployment: "", invocation: "", level: "warn", stream: "platform", message };
}

async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}
