import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConsumerOptions } from "../../contract/stream-options.ts";
import { limits } from "../../contract/limits.ts";
import { findConsumer } from "../../state/stream/consumer-record.ts";
import { consumerShard } from "../../state/stream/stream-keys.ts";
import { crashedEnd, openWorld, refusedEnd, type World, type WorldOptions } from "../scripted.fixture.ts";
import { StreamConsumer, standardTuning } from "./consumer.ts";
import { StreamAdmin } from "./stream-admin.ts";

interface TumblingEvent {
  readonly Records: readonly { readonly kinesis: { readonly data: string; readonly sequenceNumber: string } }[];
  readonly window: { readonly start: string; readonly end: string };
  readonly state: { readonly sum?: number };
  readonly shardId: string;
  readonly eventSourceARN: string;
  readonly isFinalInvokeForWindow: boolean;
  readonly isWindowTerminatedEarly: boolean;
}

type Handler = (event: TumblingEvent, world: World) => unknown;

async function consume(world: World, handler: Handler, options: object = {}, name = "sums"): Promise<StreamConsumer> {
  const consumer = new StreamConsumer({
    safetyScanMs: null,
    tuning: standardTuning,
    binding: world.bind(name, (event: TumblingEvent) => handler(event, world), "lambda", [
      "stream",
      "clicks",
      { from: "earliest", tumblingWindow: "10s", ...options },
    ]),
    owned: await world.own(consumerShard(world.environment, "clicks", name)),
    keyspace: world.keyspace,
    runner: world.runner,
    clock: world.clock,
    schedule: world.time.schedule,
    onError: (error) => world.errors.push(error),
  });
  await world.time.advance(0);
  return consumer;
}

/** The store's clock at a multiple of the window's length. */
async function opened(options?: WorldOptions): Promise<World> {
  const world = await openWorld(options);
  await world.time.advance(10_000 - (world.clock.nowMs() % 10_000));
  return world;
}

function numbersOf({ Records }: TumblingEvent): number[] {
  return Records.map(({ kinesis }) => Number(Buffer.from(kinesis.data, "base64").toString()));
}

/** As on AWS: sums up in the state, and does something with it when the window has ended. */
const summing: Handler = async (event, world) => {
  const sum = (event.state.sum ?? 0) + numbersOf(event).reduce((a, b) => a + b, 0);
  if (event.isFinalInvokeForWindow) await world.increment(`${event.shardId} ${event.window.start}`, sum);
  return { state: { sum } };
};

const append = (world: World, ...values: number[]): Promise<unknown> =>
  world.append(
    "clicks",
    values.map((value) => ({ value, key: "k" })),
  );

test("each call gets the state that the one before has returned, and the last one has no records", async () => {
  const world = await opened();
  const events: TumblingEvent[] = [];
  await consume(world, (event) => {
    events.push(event);
    return summing(event, world);
  });
  const beginMs = world.clock.nowMs();
  await append(world, 1, 2);
  await world.time.advance(1000);
  await append(world, 3);
  await world.time.advance(9500);
  assert.equal(events.length, 2, "the window waits a little for what is under way");
  await append(world, 4);
  await world.time.advance(10_000 + limits.tumblingGraceMs);
  const iso = (ms: number): string => new Date(beginMs + ms).toISOString().replace(".000Z", "Z");
  const window = (n: number): object => ({ start: iso(n * 10_000), end: iso((n + 1) * 10_000) });
  assert.deepEqual(
    events.map((event) => [numbersOf(event), event.window, event.state, event.isFinalInvokeForWindow]),
    [
      [[1, 2], window(0), {}, false],
      [[3], window(0), { sum: 3 }, false],
      [[], window(0), { sum: 6 }, true],
      [[4], window(1), {}, false],
      [[], window(1), { sum: 4 }, true],
    ],
  );
  assert.partialDeepStrictEqual(events[0], {
    shardId: "shardId-000000000000",
    eventSourceARN: "arn:aws:kinesis:us-east-1:000000000000:stream/clicks",
    isWindowTerminatedEarly: false,
  });
  await world.time.advance(60_000);
  assert.equal(events.length, 5, "a window ends once");
  assert.deepEqual(world.errors, []);
});

test("a batch never reaches over the end of a window, also when all is read at once", async () => {
  const world = await opened();
  const order: string[] = [];
  for (let n = 1; n <= 6; n++) {
    await append(world, n);
    await world.time.advance(4000);
  }
  await consume(world, (event) => {
    order.push(event.isFinalInvokeForWindow ? `end ${event.state.sum}` : numbersOf(event).join());
    return summing(event, world);
  });
  await world.time.advance(60_000);
  assert.deepEqual(order, ["1,2,3", "end 6", "4,5", "end 9", "6", "end 6"]);
});

test("rule 12: sums are exact whatever crashes, is refused, fails or begins anew in the middle", async () => {
  const world = await opened();
  let failures = 0;
  const flaky: Handler = async (event) => {
    failures += 1;
    if (failures % 3 === 0) throw new Error("not now");
    return await summing(event, world);
  };
  let consumer = await consume(world, flaky, { batch: 3, backoff: "100ms", attempts: 100 });
  let all = 0;
  for (let n = 1; n <= 40; n++) {
    await append(world, n, 1000);
    all += n + 1000;
    if (n % 5 === 0) world.script.push(crashedEnd, refusedEnd);
    await world.time.advance(1700);
    if (n % 8 === 0) {
      await consumer.close();
      consumer = await consume(world, flaky, { batch: 3, backoff: "100ms", attempts: 100 });
    }
  }
  await world.time.advance(120_000);
  const counts = Object.values(await world.counts());
  assert.equal(
    counts.reduce((a, b) => a + b, 0),
    all,
  );
  assert.ok(counts.length >= 7 && failures > 20, `${counts.length} windows, ${failures} calls`);
});

test("an answer without a state has failed, and its records come again until they are parked", async () => {
  const world = await opened();
  await consume(world, (event) => (numbersOf(event).includes(2) ? { batchItemFailures: [] } : summing(event, world)), {
    attempts: 2,
  });
  await append(world, 1, 2, 3);
  await world.time.advance(60_000);
  assert.deepEqual(Object.values(await world.counts()), [4]);
});

test("records that are named as failed come again, with the state that was returned for those before them", async () => {
  const world = await opened();
  const batches: number[][] = [];
  await consume(world, async (event) => {
    const numbers = numbersOf(event);
    batches.push(numbers);
    const at = batches.length === 1 ? 1 : numbers.length;
    const { state } = (await summing({ ...event, Records: event.Records.slice(0, at) }, world)) as { state: object };
    const failed = event.Records[at];
    const itemIdentifier = failed?.kinesis.sequenceNumber;
    return { state, batchItemFailures: failed === undefined ? [] : [{ itemIdentifier }] };
  });
  await append(world, 1, 2, 4);
  await world.time.advance(60_000);
  assert.deepEqual(batches, [[1, 2, 4], [2], [4], []]);
  assert.deepEqual(Object.values(await world.counts()), [7]);
});

test("a window that cannot be ended holds its partition up until it can", async () => {
  const world = await opened();
  let isBroken = true;
  await consume(
    world,
    (event) => {
      if (event.isFinalInvokeForWindow && isBroken) throw new Error("nobody takes the sum");
      return summing(event, world);
    },
    { attempts: 1 },
  );
  await append(world, 5);
  await world.time.advance(15_000);
  await append(world, 6);
  await world.time.advance(300_000);
  assert.deepEqual(await world.counts(), {});
  isBroken = false;
  await world.time.advance(600_000);
  assert.deepEqual(Object.values(await world.counts()), [5, 6]);
});

test("open windows end before the partitions change, and each partition has its own", async () => {
  const world = await opened();
  await world.append("clicks", [{ value: 1, key: "k" }], { shape: { partitions: 1 } });
  await consume(world, summing);
  await world.append(
    "clicks",
    Array.from({ length: 20 }, (_, n) => ({ value: 1, key: `k${n}` })),
    { shape: { partitions: 2 } },
  );
  await world.time.advance(60_000);
  const counts = await world.counts();
  assert.equal(
    Object.values(counts).reduce((a, b) => a + b, 0),
    21,
  );
  assert.deepEqual(new Set(Object.keys(counts).map((key) => key.split(" ")[0])).size, 2);
  const stored = await findConsumer(world.keyspace, world.environment, "clicks", "sums");
  assert.equal(stored?.meta.layout, 1);
});

test("a parked record that is sent back gets a window of its own", async () => {
  const world = await opened();
  let isBroken = true;
  const events: TumblingEvent[] = [];
  const consumer = await consume(
    world,
    (event) => {
      if (isBroken && numbersOf(event).includes(2)) throw new Error("poison");
      events.push(event);
      return summing(event, world);
    },
    { attempts: 1 },
  );
  await append(world, 1, 2);
  await world.time.advance(30_000);
  isBroken = false;
  const { keyspace, state } = world;
  const admin = new StreamAdmin({ keyspace, state, stateOf: () => null, consumersOf: () => [] });
  await admin.redrive(world.environment, "clicks", "sums", { dryRun: false });
  await world.time.advance(1000);
  assert.partialDeepStrictEqual(events.at(-1), { state: {}, isFinalInvokeForWindow: true });
  assert.deepEqual(Object.values(await world.counts()), [3]);
  await consumer.close();
});

const wrong: [options: object, message: RegExp][] = [
  [{ tumblingWindow: "16m" }, /tumblingWindow is "16m"; allowed is a duration from 1s to 15m/],
  [{ tumblingWindow: "0s" }, /tumblingWindow is "0s"/],
  [{ tumblingWindow: "10s", parallel: 2 }, /neither with size nor with parallel above 1/],
  [{ tumblingWindow: "10s", size: "10s" }, /neither with size/],
];

for (const [options, message] of wrong) {
  test(`the options ${JSON.stringify(options)} are refused`, () => {
    assert.throws(() => parseConsumerOptions("clicks", { ...options }), message);
  });
}
