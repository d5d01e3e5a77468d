/** Records of invocations: of an app, newest first or as they come, and one by its id. */
import { AloftError } from "../contract/errors.ts";
import type { InvocationRecord, RecordFilter } from "../contract/observing.ts";
import { json } from "./answer.ts";
import { recordFilter, recordQuery } from "./filters.ts";
import { follow } from "./follow.ts";
import type { ApiCall, Resource } from "./route-table.ts";

export const invocationResources: readonly Resource[] = [
  {
    method: "GET",
    path: "/v1/apps/:app/invocations",
    query: recordQuery,
    async handle(call) {
      const { deps, signal } = call;
      const { observer } = deps;
      const filter = recordFilter(call);
      if (call.query.flag("follow")) {
        return {
          kind: "lines",
          values: follow({
            subscribe: (onRecord) => observer.followRecords(filter, onRecord),
            listStored: async () => (await listRecords(call, filter)).toReversed(),
            signal,
          }),
        };
      }
      const invocations = await listRecords(call, filter);
      if (invocations.length === 0) deps.apps.getApp(filter.app ?? "");
      return json({ invocations });
    },
  },
  {
    method: "GET",
    path: "/v1/invocations/:id",
    async handle({ deps, params }) {
      const { id = "" } = params;
      if (!/^[0-9a-f]{32}$/.test(id))
        throw new AloftError("REQUEST_INVALID", `"${id.slice(0, 100)}" is not the id of an invocation`);
      await deps.observer.flush();
      const record = await deps.observer.findRecord(id);
      if (record !== null) return json(record);
      throw new AloftError("NOT_FOUND", `there is no record of the invocation ${id}`, {
        hint: "records are kept for a limited time; the last second before a crash may be lost",
      });
    },
  },
];

/** What was accepted a moment ago is not written yet. */
async function listRecords({ deps }: ApiCall, filter: RecordFilter): Promise<readonly InvocationRecord[]> {
  await deps.observer.flush();
  return await deps.observer.listRecords(filter);
}
