/**
 * Where the time of a cold start goes, as the server's own records say it. Every field of a record that ends in `Us` is
 * shown, so that a finer account on the server's side shows here by itself.
 */
import type { App } from "./aloft/apps.ts";
import type { AloftServer } from "./aloft/server.ts";
import { type Table, formatMs } from "./lib/report.ts";
import { percentile } from "./lib/stats.ts";

export type ColdRecord = Readonly<Record<string, unknown>>;

const meanings: Readonly<Record<string, string>> = {
  waitUs: "arrival to hand-over of the request: route, take, start",
  coldUs: "of it: zygote taken, deployment handed over, code imported",
  handlerUs: "hand-over of the request to its last byte: first handler",
};

/** The one record of each app, which must say that it was cold. */
export async function readRecords(server: AloftServer, apps: readonly App[]): Promise<ColdRecord[]> {
  await server.account();
  const records: ColdRecord[] = [];
  for (const { name } of apps) {
    const { invocations } = await server.get<{ invocations: ColdRecord[] }>(`/v1/apps/${name}/invocations?limit=1`);
    const [record] = invocations;
    if (record === undefined) throw new Error(`${name} has no record of its request`);
    if (!(Number(record["coldUs"]) > 0)) throw new Error(`${name} was not cold: ${JSON.stringify(record)}`);
    records.push(record);
  }
  return records;
}

export function breakdownTable(records: readonly ColdRecord[]): Table {
  const fields = [...new Set(records.flatMap((record) => Object.keys(record)))].filter((name) => name.endsWith("Us"));
  return {
    title: "cold: where the time goes, by the server's records, in ms",
    columns: ["part", "p50", "p90", "p99", "meaning"],
    rows: fields.map((name) => {
      const values = records.map((record) => Number(record[name] ?? Number.NaN));
      return [
        name,
        ...[0.5, 0.9, 0.99].map((fraction) => formatMs(percentile(values, fraction))),
        meanings[name] ?? "",
      ];
    }),
  };
}
