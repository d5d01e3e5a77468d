import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startTestServer } from "../../test/kit/server.ts";
import { until } from "../../test/kit/until.ts";

const server = await startTestServer({ after });
await server.deploy(import.meta.dirname);

const begin = Date.UTC(2026, 0, 1);
const sensors = ["boiler", "cellar", "roof"];

async function get<T>(store: string): Promise<Record<string, T>> {
  return (await (await server.fetch("sensors", `/${store}`)).json()) as Record<string, T>;
}

test("readings are averaged in sliding windows, and what is unlike a sensor's past is told once", async () => {
  const expected: Record<string, { sum: number; count: number }> = {};
  for (const [index, sensor] of sensors.entries()) {
    const list = Array.from({ length: 90 }, (_, n) => ({
      at: begin + n * 2000,
      celsius: n === 60 ? 95 : 20 + index + ((n * 7) % 5) / 10,
    }));
    for (const { at, celsius } of list) {
      const last = Math.floor(at / 20_000) * 20_000;
      for (const start of [last - 40_000, last - 20_000, last]) {
        const key = `${sensor} ${new Date(start).toISOString().slice(11, 19)}`;
        const known = (expected[key] ??= { sum: 0, count: 0 });
        known.sum += celsius;
        known.count += 1;
      }
    }
    const body = JSON.stringify(list);
    assert.equal((await server.fetch("sensors", `/sensors/${sensor}/readings`, { method: "POST", body })).status, 202);
  }
  const alarms = await until("an alarm of each sensor", async () => {
    const found = await get<{ celsius: number; mean: number }>("alarms");
    return Object.keys(found).length === sensors.length ? found : null;
  });
  assert.deepEqual(
    Object.keys(alarms),
    sensors.map((sensor) => `${sensor} ${begin + 120_000}`),
  );
  for (const { celsius, mean } of Object.values(alarms)) assert.ok(celsius === 95 && mean > 19 && mean < 24);
  const averages = await until("every window", async () => {
    const found = await get<{ mean: number; count: number }>("averages");
    return Object.keys(found).length === Object.keys(expected).length ? found : null;
  });
  for (const [key, { sum, count }] of Object.entries(expected)) {
    assert.equal(averages[key]?.count, count, key);
    assert.ok(Math.abs((averages[key]?.mean ?? 0) - sum / count) < 1e-9, key);
  }
  const past = await get<{ count: number }>("past");
  assert.deepEqual(
    Object.values(past).map(({ count }) => count),
    [89, 89, 89],
  );
  await until("the schedule has counted them", async () => (await get("totals"))["sensors"] === 3);
});

test("what is no reading is refused", async () => {
  const post = (body: string) => server.fetch("sensors", "/sensors/roof/readings", { method: "POST", body });
  assert.equal((await post('[{"at":"now"}]')).status, 400);
  assert.equal((await post("{}")).status, 400);
  assert.equal((await server.fetch("sensors", "/secrets")).status, 404);
});
