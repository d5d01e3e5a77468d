import assert from "node:assert/strict";
import { test } from "node:test";
import { stream } from "../../../sdk/stream.ts";
import type { RedriveParkedJson } from "../../contract/triggering.ts";
import { consumerShard } from "../../state/stream/stream-keys.ts";
import { crashedEnd, openWorld, refusedEnd, type World } from "../scripted.fixture.ts";
import { standardTuning, StreamConsumer } from "./consumer.ts";
import { StreamAdmin } from "./stream-admin.ts";

interface Opened extends World {
  readonly consumer: StreamConsumer;
  readonly admin: StreamAdmin;
  readonly seen: string[];
  /** Values that the handler throws at. */
  readonly bad: Set<number>;
  parked(): Promise<unknown[]>;
  redrive(request?: object): Promise<RedriveParkedJson>;
}

type Handler = (numbers: readonly number[], world: World) => Promise<void>;

const orders = stream<number>("orders");

async function opened(
  options: object = {},
  handler: Handler = async (numbers, world) => {
    for (const n of numbers) await world.increment(`order ${n}`);
  },
): Promise<Opened> {
  const world = await openWorld();
  const seen: string[] = [];
  const bad = new Set<number>();
  const reader = orders.consume({ from: "earliest", attempts: 2, ...options }, async (records) => {
    const numbers = records.map(({ value }) => value);
    seen.push(numbers.join());
    const poison = numbers.find((n) => bad.has(n));
    if (poison !== undefined) throw new RangeError(`poison ${poison}`);
    await handler(numbers, world);
  });
  const consumer = await start(world, reader, "reader");
  const admin = adminOf(world);
  return {
    ...world,
    consumer,
    admin,
    seen,
    bad,
    parked: async () => await admin.parked(world.environment, "orders", "reader"),
    async redrive(request = {}) {
      const answer = await admin.redrive(world.environment, "orders", "reader", { dryRun: false, ...request });
      await world.time.advance(0);
      return answer;
    },
  };
}

async function start(world: World, exported: unknown, name: string): Promise<StreamConsumer> {
  const { keyspace, runner, clock } = world;
  const consumer = new StreamConsumer({
    safetyScanMs: null,
    tuning: standardTuning,
    binding: world.bind(name, exported),
    owned: await world.own(consumerShard(world.environment, "orders", name)),
    keyspace,
    runner,
    clock,
    schedule: world.time.schedule,
    onError: (error) => world.errors.push(error),
  });
  await world.time.advance(0);
  return consumer;
}

function adminOf({ keyspace, state }: World): StreamAdmin {
  return new StreamAdmin({ keyspace, state, stateOf: () => null, consumersOf: () => [] });
}

const numbered = (from: number, to: number): { value: number; key: string }[] =>
  Array.from({ length: to - from }, (_, index) => ({ value: from + index, key: `k${(from + index) % 5}` }));

/** Three of ten are parked. */
async function withParked(it: Opened): Promise<void> {
  for (const n of [2, 5, 7]) it.bad.add(n);
  await it.append("orders", numbered(0, 10));
  await it.time.advance(600_000);
  assert.equal((await it.parked()).length, 3);
  it.seen.length = 0;
}

test("what was parked is sent back, and each record takes effect once", async () => {
  const it = await opened();
  await withParked(it);
  it.bad.clear();
  const { offsets, ...answer } = await it.redrive();
  assert.deepEqual(answer, { records: 3, windows: 0, dryRun: false });
  assert.equal(offsets.length, 3);
  assert.deepEqual(it.seen, ["2", "5", "7"]);
  assert.deepEqual(await it.parked(), []);
  assert.deepEqual(await it.counts(), Object.fromEntries(numbered(0, 10).map(({ value }) => [`order ${value}`, 1])));
  assert.deepEqual(await it.redrive(), { records: 0, windows: 0, offsets: [], dryRun: false });
  const { consumers } = await it.admin.get(it.environment, "orders");
  assert.deepEqual([consumers[0]?.done, consumers[0]?.lag, consumers[0]?.redriven], [10, 0, 0]);
  assert.deepEqual(it.errors, []);
});

test("by error, key or offset, and in a dry run nothing moves", async () => {
  const it = await opened();
  await withParked(it);
  it.bad.clear();
  const dry = await it.redrive({ dryRun: true });
  assert.deepEqual([dry.records, it.seen], [3, []]);
  assert.equal((await it.redrive({ error: "poison 5" })).records, 1);
  assert.equal((await it.redrive({ error: "RangeError", key: "none" })).records, 0);
  assert.equal((await it.redrive({ offset: dry.offsets[2] })).records, 1);
  assert.equal((await it.redrive({ error: "RangeError", key: "k2" })).records, 1);
  assert.deepEqual(it.seen, ["5", "7", "2"]);
});

test("a record that goes on failing is tried alone with pauses, parked again, and holds nothing up", async () => {
  const it = await opened({ attempts: 3, backoff: "10s" });
  await withParked(it);
  it.bad.delete(5);
  await it.redrive();
  assert.deepEqual(it.seen, ["2", "5", "7"]);
  await it.append("orders", numbered(10, 12));
  await it.time.advance(0);
  assert.deepEqual(it.seen.slice(3), ["10,11"]);
  await it.time.advance(10_000);
  await it.time.advance(20_000);
  assert.deepEqual(it.seen.slice(4), ["2", "7", "2", "7"]);
  const parked = (await it.parked()) as { record: { value: number }; attempts: number }[];
  assert.deepEqual(
    parked.map(({ record, attempts }) => [record.value, attempts]),
    [
      [2, 3],
      [7, 3],
    ],
  );
});

test("rule 2: a crash, a refusal and another owner in the middle of a redrive neither lose a record nor double it", async () => {
  const it = await opened({ attempts: 3, batch: 1 });
  await withParked(it);
  it.bad.clear();
  it.script.push(() => crashedEnd(), refusedEnd);
  await it.redrive();
  await it.time.advance(100);
  await it.consumer.close();
  const second = orders.consume({ from: "earliest" }, async (records) => {
    for (const { value } of records) await it.increment(`order ${value}`);
  });
  const next = await start(it, second, "reader");
  await it.time.advance(60_000);
  assert.deepEqual(await it.counts(), Object.fromEntries(numbered(0, 10).map(({ value }) => [`order ${value}`, 1])));
  assert.deepEqual(await it.parked(), []);
  await next.close();
});

test("a lane that was refused takes up what was sent back after its rest, though nothing else comes", async () => {
  const it = await opened({ attempts: 3, backoff: "100ms" });
  await withParked(it);
  for (const n of [5, 7]) it.bad.delete(n);
  it.script.push(() => null, refusedEnd, refusedEnd);
  await it.redrive();
  assert.deepEqual(it.seen, ["2"]);
  it.bad.clear();
  await it.time.advance(10_000);
  assert.deepEqual(it.seen.slice(1).toSorted(), ["2", "5", "7"]);
  assert.deepEqual(await it.parked(), []);
});

test("a redriven record is never handled beside another one of its key", async () => {
  let running = 0;
  let most = 0;
  const it = await opened({ parallel: 4, batch: 1 }, async (_numbers, world) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    await world.increment("handled");
    running -= 1;
  });
  it.bad.add(0);
  await it.append("orders", [{ value: 0, key: "k" }]);
  await it.time.advance(60_000);
  it.bad.clear();
  await it.append(
    "orders",
    Array.from({ length: 20 }, (_, n) => ({ value: n + 1, key: "k" })),
  );
  await it.redrive();
  await it.time.advance(1000);
  for (let turn = 0; turn < 50 && (await it.counts())["handled"] !== 21; turn++) await it.time.advance(1000);
  assert.equal((await it.counts())["handled"], 21);
  assert.equal(most, 1);
});

test("a parked window that is sent back ends with the states that it had", async () => {
  const world = await openWorld();
  let isBroken = true;
  const sums = orders.window<number>(
    { size: "10s", from: "earliest", attempts: 2, timestamp: ({ value }) => value * 1000 },
    {
      init: () => 0,
      add: (sum) => sum + 1,
      close: async (sum, { start, key }) => {
        if (isBroken && start === 0) throw new Error("the window cannot end");
        await world.increment(`${key} ${start}`, sum);
      },
    },
  );
  await start(world, sums, "sums");
  const admin = adminOf(world);
  await world.append(
    "orders",
    [1, 2, 3, 25].map((value) => ({ value, key: "k" })),
  );
  await world.time.advance(60_000);
  assert.equal((await admin.parked(world.environment, "orders", "sums")).length, 1);
  isBroken = false;
  const answer = await admin.redrive(world.environment, "orders", "sums", { key: "k", dryRun: false });
  await world.time.advance(1000);
  assert.deepEqual([answer.records, answer.windows], [0, 1]);
  assert.equal((await world.counts())["k 0"], 3);
  assert.deepEqual(await admin.parked(world.environment, "orders", "sums"), []);
  assert.deepEqual(world.errors, []);
});

test("a purge forgets what consumers have read ahead; they go on with what comes", async () => {
  const it = await opened({ batch: 1 });
  it.bad.add(0);
  await it.append("orders", numbered(0, 5));
  await it.time.advance(0);
  assert.deepEqual(it.seen, ["0"], "the first fails and is waited for, the others are read ahead");
  assert.equal(await it.admin.purge(it.environment, "orders"), 5);
  await it.time.advance(60_000);
  await it.append("orders", numbered(5, 7));
  await it.time.advance(60_000);
  assert.deepEqual(it.seen, ["0", "5", "6"]);
  const shown = await it.admin.get(it.environment, "orders");
  assert.deepEqual([shown.appended, shown.removed, shown.consumers[0]?.lag], [7, 5, 0]);
});
