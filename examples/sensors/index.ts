/**
 * Readings of sensors: kept, averaged in windows that slide, and watched for what is unlike a sensor's own past. An anomaly is
 * told once, to a queue, from where people would be called.
 */
import { every, http, kv, queue, stream } from "aloft";

interface Reading {
  /** Epoch milliseconds, by the sensor's own clock. */
  readonly at: number;
  readonly celsius: number;
}

/** Running mean and variance of a sensor: B. P. Welford, "Note on a method for calculating corrected sums", 1962. */
interface Past {
  readonly count: number;
  readonly mean: number;
  readonly squares: number;
}

interface Anomaly extends Reading {
  readonly sensor: string;
  readonly mean: number;
}

/** So many standard deviations from the mean are no accident, once there is some past. */
const deviationsMost = 6;
const pastLeast = 20;

const readings = stream<Reading>("readings", { partitions: 2, retention: "30d" });
const past = kv<Past>("past");
const averages = kv<{ readonly mean: number; readonly count: number }>("averages");
const alarms = kv<Anomaly>("alarms");
const totals = kv<number>("totals");

export const measure = http("POST /sensors/:sensor/readings", async (request, { params }) => {
  const list = (await request.json()) as Reading[];
  const isValid =
    Array.isArray(list) && list.every(({ at, celsius }) => Number.isFinite(at) && Number.isFinite(celsius));
  if (!isValid) return new Response("readings are [{ at, celsius }, ...]\n", { status: 400 });
  await readings.appendBatch(list.map((value) => ({ value, key: params.sensor })));
  return new Response(null, { status: 202 });
});

/** What it reads and writes commits with the cursor: no reading counts twice in a sensor's past. */
export const watch = readings.consume({ from: "earliest", batch: 200, parallel: 4 }, async (records) => {
  const known = new Map<string, Past>();
  for (const { key, value } of records) {
    const sensor = key ?? "";
    const before = known.get(sensor) ?? (await past.get(sensor)) ?? { count: 0, mean: 0, squares: 0 };
    if (isAnomaly(before, value.celsius)) await anomalies.send({ sensor, ...value, mean: before.mean });
    else known.set(sensor, withReading(before, value.celsius));
  }
  for (const [sensor, next] of known) await past.set(sensor, next);
});

export const average = readings.window<{ readonly sum: number; readonly count: number }>(
  {
    size: "1m",
    every: "20s",
    lateness: "10s",
    closeAfter: "1s",
    from: "earliest",
    timestamp: ({ value }) => value.at,
  },
  {
    init: () => ({ sum: 0, count: 0 }),
    add: ({ sum, count }, { value }) => ({ sum: sum + value.celsius, count: count + 1 }),
    close: async ({ sum, count }, { key: sensor, start }) => {
      await averages.set(`${sensor} ${new Date(start).toISOString().slice(11, 19)}`, { mean: sum / count, count });
    },
  },
);

export const anomalies = queue<Anomaly>("anomalies", { retry: { attempts: 10 } }, async (messages) => {
  for (const { body } of messages) await alarms.set(`${body.sensor} ${body.at}`, body);
});

/** For whoever looks at the plant as a whole. */
export const countSensors = every("2s", async () => {
  let sensors = 0;
  for await (const { value } of past.list({ snapshot: true })) if (value.count > 0) sensors += 1;
  await totals.set("sensors", sensors);
});

export const show = http("GET /:store", async (_request, { params }) => {
  const stores = { past, averages, alarms, totals };
  const store = stores[params.store as keyof typeof stores];
  if (store === undefined) return new Response("there are past, averages, alarms and totals\n", { status: 404 });
  const found: Record<string, unknown> = {};
  for await (const { key, value } of store.list()) found[key] = value;
  return Response.json(found);
});

function isAnomaly({ count, mean, squares }: Past, celsius: number): boolean {
  return count >= pastLeast && Math.abs(celsius - mean) > deviationsMost * Math.sqrt(squares / count);
}

function withReading({ count, mean, squares }: Past, celsius: number): Past {
  const next = mean + (celsius - mean) / (count + 1);
  return { count: count + 1, mean: next, squares: squares + (celsius - mean) * (celsius - next) };
}
