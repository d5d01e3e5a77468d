import assert from "node:assert/strict";
import { test } from "node:test";
import type { Environment } from "../../contract/durable.ts";
import type { Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { ManualClock } from "../../lib/clock.ts";
import { ManualSchedule } from "../../lib/schedule.ts";
import { openMemoryKeyspace } from "../../store/memory/memory-keyspace.ts";
import { createEnvironments } from "../environments.ts";
import { createStateService } from "../state-service.ts";
import { openRetention, readCounter, readLowWater, type Retention, trimStream } from "./retention.ts";
import { decodeRecord } from "./record.ts";
import { streamKeys } from "./stream-keys.ts";
import { createStreamResource } from "./stream.ts";

interface Opened {
  readonly keyspace: Keyspace;
  readonly clock: ManualClock;
  readonly time: ManualSchedule;
  readonly environment: Environment;
  readonly retention: Retention;
  append(count: number, shape: Record<string, unknown>): Promise<void>;
  values(): Promise<unknown[]>;
}

let numbers = 0;

async function opened(): Promise<Opened> {
  const clock = new ManualClock();
  const time = new ManualSchedule((ms) => clock.advance(ms));
  const keyspace = openMemoryKeyspace({ clock });
  const environments = createEnvironments(keyspace);
  const environment = await environments.get("app", "production");
  const retention = openRetention({
    keyspace,
    schedule: time.schedule,
    onError: (error) => assert.fail(String(error)),
  });
  const resource = createStreamResource({ keyspace, onAppend: (of, name) => retention.touch(of, name) });
  const service = createStateService({ keyspace, environments, resources: [resource] });
  const values = async (): Promise<unknown[]> => {
    const found: unknown[] = [];
    let query: Parameters<Keyspace["range"]>[0] | null = streamKeys(environment, "logs").recordsAfter(0, null);
    while (query !== null) {
      const page = await keyspace.range(query);
      found.push(...page.entries.map((entry) => decodeRecord(entry).value));
      query = page.next;
    }
    return found;
  };
  return {
    keyspace,
    clock,
    time,
    environment,
    retention,
    values,
    async append(count, shape) {
      const records = Array.from({ length: count }, () => ({ value: numbers++, key: "k" }));
      const effect = { resource: "stream", name: "logs", method: "append", args: { records, shape } } as const;
      await service.commit(environment, { seen: [], effects: [effect], checks: [], writes: [] });
    },
  };
}

test("rule 6: records go when they are older than the retention, and an idle stream costs one timer until then", async () => {
  const { append, values, time, clock, retention } = await opened();
  numbers = 0;
  await append(3, { retention: "1h" });
  await time.advance(30 * 60_000);
  await append(2, { retention: "1h" });
  assert.equal(time.size, 1);
  await time.advance(30 * 60_000 + limits.streamTrimMs);
  assert.deepEqual(await values(), [3, 4]);
  await time.advance(60 * 60_000);
  assert.deepEqual(await values(), []);
  assert.equal(time.size, 0, "nothing is left to look after");
  await append(1, { retention: "1h" });
  clock.advance(3_600_001);
  await retention.close();
});

test("rule 6: the oldest records go when there are more bytes than allowed, in slices, and are counted", async () => {
  const { append, values, keyspace, environment, time } = await opened();
  numbers = 0;
  for (let n = 0; n < 3; n++) await append(1000, {});
  const keys = streamKeys(environment, "logs");
  const [bytes = null] = await keyspace.get([keys.bytes(0)]);
  const most = Math.floor(readCounter(bytes) / 3);
  await append(1, { retentionBytes: most });
  await time.advance(limits.streamTrimMs);
  const left = await values();
  assert.ok(left.length > 900 && left.length < 1100, `${left.length} are left`);
  assert.equal(left.at(-1), 3000);
  assert.deepEqual(
    left,
    Array.from({ length: left.length }, (_, index) => 3001 - left.length + index),
  );
  const [count = null, size = null, low = null] = await keyspace.get([keys.count(0), keys.bytes(0), keys.lowWater(0)]);
  assert.equal(readCounter(count) - readLowWater(low).records, left.length);
  assert.ok(readCounter(size) - readLowWater(low).bytes <= most);
});

test("two who trim at once remove nothing twice", async () => {
  const { append, values, keyspace, environment, clock } = await opened();
  numbers = 0;
  await append(700, { retention: "1h" });
  clock.advance(30 * 60_000);
  await append(5, { retention: "1h" });
  clock.advance(30 * 60_000);
  await Promise.all([1, 2, 3].map(() => trimStream(keyspace, environment, "logs")));
  assert.equal((await values()).length, 5);
  const [low = null] = await keyspace.get([streamKeys(environment, "logs").lowWater(0)]);
  assert.equal(readLowWater(low).records, 700);
});

test("rule 6: a stream that nobody reads, and to which nothing is appended any more, is trimmed after a restart too", async () => {
  const { append, values, keyspace, clock, time, retention } = await opened();
  numbers = 0;
  await append(3, { retention: "1h" });
  await retention.close();
  clock.advance(30 * 60_000);
  await append(2, { retention: "1h" });
  const next = openRetention({ keyspace, schedule: time.schedule, onError: (error) => assert.fail(String(error)) });
  await next.resume(createEnvironments(keyspace).listAll());
  await time.advance(30 * 60_000);
  assert.deepEqual(await values(), [3, 4]);
  await time.advance(60 * 60_000);
  assert.deepEqual(await values(), []);
  assert.equal(time.size, 0, "nothing is left to look after");
  await next.close();
});
