/**
 * Access logs, summed up by minute and route while they come: lines are posted, parsed and appended to a stream; a window for
 * each minute counts them and knows their percentiles; a minute with too many errors sends an alert to a queue.
 */
import { http, kv, queue, stream } from "aloft";
import { type Hit, parseLine } from "./access-log.ts";
import { addHit, noHits, type Summary, type Sums, summaryOf } from "./summary.ts";

interface Alert {
  readonly route: string;
  readonly minute: string;
  readonly errors: number;
  readonly hits: number;
}

const appendMost = 1000;
/** More than this share of errors in a minute with at least so many hits is worth an alert. */
const errorShare = 0.2;
const hitsLeast = 20;

const hits = stream<Hit>("hits", { partitions: 2, retention: "1d" });
const minutes = kv<Summary>("minutes");
const alerts = kv<Alert>("alerts");
const refused = kv<number>("refused");

export const upload = http("POST /logs", { timeout: "5m" }, async (request) => {
  const lines = (await request.text()).split("\n").filter((line) => line !== "");
  const parsed = lines.map((line) => parseLine(line)).filter((hit) => hit !== null);
  for (let at = 0; at < parsed.length; at += appendMost) {
    await hits.appendBatch(parsed.slice(at, at + appendMost).map((value) => ({ value, key: value.route })));
  }
  if (parsed.length < lines.length) await refused.increment("lines", lines.length - parsed.length);
  return Response.json({ accepted: parsed.length, refused: lines.length - parsed.length }, { status: 202 });
});

export const perMinute = hits.window<Sums>(
  {
    size: "1m",
    lateness: "2m",
    closeAfter: "1s",
    timestamp: ({ value }) => value.at,
    from: "earliest",
    batch: 1000,
    parallel: 2,
  },
  {
    init: () => noHits,
    add: (sums, { value }) => addHit(sums, value),
    close: async (sums, { key: route, start }) => {
      const minute = new Date(start).toISOString().slice(0, 16);
      const summary = summaryOf(sums);
      await minutes.set(`${minute} ${route}`, summary);
      const { errors, hits: count } = summary;
      if (count >= hitsLeast && errors / count > errorShare) await noisy.send({ route, minute, errors, hits: count });
    },
  },
);

export const noisy = queue<Alert>("noisy", async (messages) => {
  for (const { body } of messages) await alerts.set(`${body.minute} ${body.route}`, body);
});

export const report = http("GET /minutes", async () => Response.json(await entriesOf(minutes)));
export const alarms = http("GET /alerts", async () => Response.json(await entriesOf(alerts)));

async function entriesOf(store: typeof minutes | typeof alerts): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for await (const { key, value } of store.list()) found[key] = value;
  return found;
}
