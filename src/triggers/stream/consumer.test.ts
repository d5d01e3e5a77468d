import assert from "node:assert/strict";
import { test } from "node:test";
import { stream, type StreamRecord } from "../../../sdk/stream.ts";
import type { EventFunction } from "../../../sdk/event.ts";
import type { Effect } from "../../wire/effects.ts";
import type { Resource } from "../../contract/durable.ts";
import { findConsumer } from "../../state/stream/consumer-record.ts";
import { jsonBytes } from "../../state/stream/layouts.ts";
import { consumerKeys, consumerShard } from "../../state/stream/stream-keys.ts";
import { crashedEnd, openWorld, refusedEnd, type World, type WorldOptions } from "../scripted.fixture.ts";
import { standardTuning, StreamConsumer } from "./consumer.ts";

type Order = { readonly n: number };
type Opened = World & { readonly seen: string[] };

async function opened(options?: WorldOptions): Promise<Opened> {
  return { ...(await openWorld(options)), seen: [] };
}

async function consume(
  world: World,
  exported: unknown,
  name = "reader",
  style?: "lambda",
  streamName = "orders",
): Promise<StreamConsumer & { lose(): void }> {
  const owned = await world.own(consumerShard(world.environment, streamName, name));
  const { keyspace, runner, clock } = world;
  const consumer = new StreamConsumer({
    safetyScanMs: null,
    tuning: standardTuning,
    binding: world.bind(name, exported, style ?? "event", ["stream", streamName]),
    owned,
    keyspace,
    runner,
    clock,
    schedule: world.time.schedule,
    onError: (error) => world.errors.push(error),
  });
  await world.time.advance(0);
  return Object.assign(consumer, { lose: () => owned.lose() });
}

function values(records: readonly StreamRecord<Order>[]): number[] {
  return records.map(({ value }) => value.n);
}

const orders = stream<Order>("orders");

/** Notes each batch, and counts each record as an effect. */
function counting(world: Opened, options: object = {}, from = orders): EventFunction<StreamRecord<Order>[]> {
  return from.consume({ from: "earliest", ...options }, async (records) => {
    world.seen.push(values(records).join());
    for (const { value } of records) {
      if (value.n < 0) throw new Error(`poison ${value.n}`);
      await world.increment(`order ${value.n}`);
    }
  });
}

function batch(begin: number, end: number, key?: (n: number) => string): { value: Order; key?: string }[] {
  return Array.from({ length: end - begin }, (_, index) => {
    const n = begin + index;
    return key === undefined ? { value: { n } } : { value: { n }, key: key(n) };
  });
}

async function each(world: World): Promise<Record<string, number>> {
  return await world.counts();
}

test("records come in order and in batches, each takes effect once, and the cursor moves with them", async () => {
  const world = await opened();
  await world.append("orders", batch(0, 5));
  const reader = await consume(world, counting(world, { batch: 2 }));
  await world.time.advance(0);
  await world.append("orders", batch(5, 7));
  await world.time.advance(0);
  assert.deepEqual(world.seen, ["0,1", "2,3", "4", "5,6"]);
  assert.deepEqual(
    Object.values(await each(world)),
    Array.from({ length: 7 }, () => 1),
  );
  const stored = await findConsumer(world.keyspace, world.environment, "orders", "reader");
  assert.equal(stored?.cursors[0]?.cursor.done, 7);
  assert.deepEqual(world.errors, []);
  await reader.close();
});

test("a consumer begins at the end when it does not say, and at a time or an offset when it does", async () => {
  const world = await opened();
  await world.append("orders", batch(0, 2));
  world.clock.advance(60_000);
  const middle = new Date(world.clock.nowMs()).toISOString();
  await world.append("orders", batch(2, 4));
  const offsets: string[] = [];
  const note = (name: string, from?: string) =>
    consume(
      world,
      orders.consume(from === undefined ? {} : { from }, (records) => {
        world.seen.push(`${name} ${values(records).join()}`);
        offsets.push(...records.map(({ offset }) => offset));
      }),
      name,
    );
  await note("latest");
  await note("earliest", "earliest");
  await note("time", middle);
  await world.time.advance(0);
  await note("offset", offsets[1] ?? assert.fail());
  await note("exactly", offsets[3] ?? assert.fail());
  await world.time.advance(0);
  await world.append("orders", batch(4, 5));
  await world.time.advance(0);
  const of = (name: string): string =>
    world.seen
      .filter((one) => one.startsWith(name))
      .map((one) => one.split(" ")[1])
      .join();
  assert.deepEqual(["latest", "earliest", "time", "offset", "exactly"].map(of), [
    "4",
    "0,1,2,3,4",
    "2,3,4",
    "1,2,3,4",
    "3,4",
  ]);
});

test("a batch waits for its records until its time is over", async () => {
  const world = await opened();
  await consume(world, counting(world, { batch: 3, wait: "10s" }));
  await world.append("orders", batch(0, 2));
  await world.time.advance(9000);
  assert.deepEqual(world.seen, []);
  await world.append("orders", batch(2, 4));
  await world.time.advance(0);
  assert.deepEqual(world.seen, ["0,1,2"]);
  await world.time.advance(11_000);
  assert.deepEqual(world.seen, ["0,1,2", "3"]);
});

test("rule 11: a batch that fails comes in halves, and only the record that fails alone costs attempts and is parked", async () => {
  const world = await opened();
  await world.append("orders", [...batch(0, 3), { value: { n: -1 } }, ...batch(4, 8)]);
  await consume(world, counting(world, { batch: 8, attempts: 3, backoff: "1s" }));
  await world.time.advance(10_000);
  assert.deepEqual(Object.keys(await each(world)).length, 7);
  assert.deepEqual(world.seen.filter((one) => one === "-1").length, 3);
  assert.deepEqual(world.deliveries.filter(({ attempt }) => attempt > 1).length, 2);
  const keys = consumerKeys(world.environment, "orders", "reader");
  const { entries } = await world.keyspace.range(keys.parked);
  const parked = JSON.parse(Buffer.from(entries[0]?.value ?? []).toString()) as {
    record: { value: Order };
    attempts: number;
    error: object;
  };
  assert.deepEqual(
    [parked.record.value, parked.attempts, parked.error],
    [{ n: -1 }, 3, { type: "Error", message: "poison -1" }],
  );
});

test("rule 12: a record that is given up goes to the dead-letter queue in the commit that moves the cursor", async () => {
  const letters: unknown[] = [];
  const queue: Resource = {
    kind: "queue",
    read: () => Promise.reject(new Error("no")),
    plan: (effect: Effect, plan) => {
      letters.push([effect.name, effect.method]);
      plan.write({ kind: "append", prefix: Buffer.from([1]), value: jsonBytes(effect.args) });
    },
    checkOf: () => null,
  };
  const world = await opened({ resources: [queue] });
  await world.append("orders", [{ value: { n: -1 } }, { value: { n: 1 } }]);
  await consume(world, counting(world, { attempts: 1, deadLetter: "lost-orders" }));
  await world.time.advance(1000);
  assert.deepEqual(letters, [["lost-orders", "send"]]);
  assert.deepEqual(await each(world), { "order 1": 1 });
});

test("the attempts at a record are kept over a restart", async () => {
  const world = await opened();
  await world.append("orders", [{ value: { n: -1 } }]);
  const first = await consume(world, counting(world, { attempts: 3, backoff: "1m" }));
  await world.time.advance(61_000);
  await first.close();
  await consume(world, counting(world, { attempts: 3, backoff: "1m" }));
  await world.time.advance(300_000);
  assert.deepEqual(
    world.deliveries.map(({ attempt }) => attempt),
    [1, 2, 3],
  );
});

test("refusals cost no attempt, crashes do; nothing is lost or doubled", async () => {
  const world = await opened();
  world.script.push(refusedEnd, refusedEnd, crashedEnd);
  await world.append("orders", batch(0, 1));
  await consume(world, counting(world, { attempts: 2 }));
  await world.time.advance(10_000);
  assert.deepEqual(
    world.deliveries.map(({ attempt }) => attempt),
    [1, 1, 1, 2],
  );
  assert.deepEqual(await each(world), { "order 0": 1 });
});

test("records of one key stay in order, and lanes work beside each other", async () => {
  const world = await opened();
  const wide = stream<Order>("orders", { partitions: 2 });
  let running = 0;
  let most = 0;
  const order = new Map<string, number[]>();
  await consume(
    world,
    wide.consume({ from: "earliest", parallel: 4, batch: 5 }, async (records) => {
      most = Math.max(most, ++running);
      await new Promise(setImmediate);
      for (const { key, value } of records) order.set(key ?? "", [...(order.get(key ?? "") ?? []), value.n]);
      running -= 1;
    }),
  );
  for (let n = 0; n < 10; n++)
    await world.append(
      "orders",
      batch(n * 40, n * 40 + 40, (one) => `key ${one % 13}`),
    );
  for (let n = 0; n < 40; n++) await world.time.advance(10);
  assert.equal(order.size, 13);
  for (const list of order.values())
    assert.deepEqual(
      list,
      list.toSorted((a, b) => a - b),
    );
  assert.equal([...order.values()].flat().length, 400);
  assert.ok(most > 2, `${most} at once`);
});

test("rule 12: the number of lanes changes when all stand at one offset; order by key holds, nothing is skipped or doubled", async () => {
  const world = await opened();
  const seen = new Map<string, number[]>();
  const handler = (records: StreamRecord<Order>[]): void => {
    for (const { key, value } of records) seen.set(key ?? "", [...(seen.get(key ?? "") ?? []), value.n]);
  };
  const reader = await consume(world, orders.consume({ from: "earliest", parallel: 2, batch: 3 }, handler));
  let n = 0;
  for (const parallel of [5, 1, 3, 3, 8]) {
    for (let round = 0; round < 3; round++) {
      await world.append(
        "orders",
        batch(n, n + 20, (one) => `key ${one % 7}`),
      );
      n += 20;
      if (round === 1)
        reader.rebind(world.bind("reader", orders.consume({ from: "earliest", parallel, batch: 3 }, handler)));
      await world.time.advance(10);
    }
  }
  for (let more = 0; more < 20; more++) await world.time.advance(1000);
  assert.equal((await findConsumer(world.keyspace, world.environment, "orders", "reader"))?.meta.lanes, 8);
  for (const list of seen.values())
    assert.deepEqual(
      list,
      list.toSorted((a, b) => a - b),
    );
  assert.deepEqual(
    [...seen.values()].flat().toSorted((a, b) => a - b),
    batch(0, n).map(({ value }) => value.n),
  );
});

test("rule 12: partitions grow, and what was appended before is handled before what comes after", async () => {
  const world = await opened();
  const seen = new Map<string, number[]>();
  await consume(
    world,
    orders.consume({ from: "earliest", batch: 3 }, async (records) => {
      await new Promise(setImmediate);
      for (const { key, value } of records) seen.set(key ?? "", [...(seen.get(key ?? "") ?? []), value.n]);
    }),
  );
  let n = 0;
  for (const partitions of [1, 3, 3, 2, 7]) {
    await world.append(
      "orders",
      batch(n, n + 30, (one) => `key ${one % 11}`),
      { shape: { partitions } },
    );
    n += 30;
  }
  for (let more = 0; more < 30; more++) await world.time.advance(1000);
  const stored = await findConsumer(world.keyspace, world.environment, "orders", "reader");
  assert.deepEqual([stored?.meta.layout, stored?.meta.starts.length], [2, 7]);
  for (const list of seen.values())
    assert.deepEqual(
      list,
      list.toSorted((a, b) => a - b),
    );
  assert.equal([...seen.values()].flat().length, n);
});

test("rule 10: after somebody has moved the cursor, nothing is delivered while a first delivery still runs", async () => {
  const world = await opened();
  await world.append("orders", batch(0, 1));
  const { promise, resolve } = Promise.withResolvers<void>();
  let running = 0;
  let most = 0;
  await consume(
    world,
    orders.consume({ from: "earliest" }, async (records) => {
      most = Math.max(most, ++running);
      world.seen.push(values(records).join());
      await promise;
      for (const { value } of records) await world.increment(`order ${value.n}`);
      running -= 1;
    }),
  );
  const keys = consumerKeys(world.environment, "orders", "reader");
  await world.keyspace.commit({
    checks: [],
    writes: [
      { kind: "set", key: keys.request, value: jsonBytes({ isPaused: false, seek: { id: "a", from: "earliest" } }) },
    ],
  });
  await world.time.advance(1000);
  assert.deepEqual([world.seen, most], [["0"], 1]);
  resolve();
  await world.time.advance(1000);
  assert.deepEqual([world.seen, most], [["0", "0"], 1], "asked to begin again, it does");
  assert.deepEqual(await each(world), { "order 0": 2 });
});

test("paused, it delivers nothing; resumed, it goes on where it was", async () => {
  const world = await opened();
  await consume(world, counting(world));
  const { request } = consumerKeys(world.environment, "orders", "reader");
  const ask = async (isPaused: boolean): Promise<void> => {
    await world.keyspace.commit({
      checks: [],
      writes: [{ kind: "set", key: request, value: jsonBytes({ isPaused, seek: null }) }],
    });
    await world.time.advance(0);
  };
  await world.append("orders", batch(0, 1));
  await world.time.advance(0);
  await ask(true);
  await world.append("orders", batch(1, 3));
  await world.time.advance(5000);
  assert.deepEqual(world.seen, ["0"]);
  await ask(false);
  await world.time.advance(0);
  assert.deepEqual(world.seen, ["0", "1,2"]);
});

test("rule 9: a node that has lost the shard commits nothing, and the next one delivers what it had", async () => {
  const world = await opened();
  await world.append("orders", batch(0, 3));
  const { promise, resolve } = Promise.withResolvers<void>();
  const old = await consume(
    world,
    orders.consume({ from: "earliest" }, async (records) => {
      await promise;
      for (const { value } of records) await world.increment(`order ${value.n}`);
    }),
  );
  await consume(world, counting(world));
  await world.time.advance(0);
  resolve();
  await world.time.advance(0);
  await old.close();
  assert.deepEqual(await each(world), { "order 0": 1, "order 1": 1, "order 2": 1 });
});

test("a lane without records does not keep a restart from skipping what is done", async () => {
  const world = await opened();
  const reader = await consume(world, counting(world, { batch: 1000, parallel: 2 }));
  for (let n = 0; n < 12; n++)
    await world.append(
      "orders",
      batch(n * 1000, n * 1000 + 1000, () => "one key"),
    );
  for (let n = 0; n < 30; n++) await world.time.advance(0);
  const stored = await findConsumer(world.keyspace, world.environment, "orders", "reader");
  assert.equal(stored?.cursors.length, 2);
  const places = stored?.cursors.map(({ cursor }) => cursor.after?.version ?? 0) ?? [];
  assert.ok(Math.min(...places) > Math.max(...places) / 4, String(places));
  await reader.close();
});

test("an append that is repeated by its producer is there once", async () => {
  const world = await opened();
  const producer = (sequence: number) => ({ producer: { id: "p", sequence } });
  assert.deepEqual(await world.append("orders", batch(0, 1), producer(1)), { isDuplicate: false });
  assert.deepEqual(await world.append("orders", batch(0, 1), producer(1)), { isDuplicate: true });
  assert.deepEqual(await world.append("orders", batch(1, 2), producer(2)), { isDuplicate: false });
  assert.deepEqual(await world.append("orders", batch(0, 1), producer(1)), { isDuplicate: true });
  await consume(world, counting(world));
  await world.time.advance(0);
  assert.deepEqual(world.seen, ["0,1"]);
});

const refused: [what: string, args: unknown, more: object, message: RegExp][] = [
  ["nothing", [], {}, /0 records; allowed are 1 to/],
  ["no list", "x", {}, /no list of records/],
  ["a record without a value", [{}], {}, /a record has no value/],
  ["a key that is no text", [{ value: 1, key: 5 }], {}, /key is a text of at most/],
  ["half a character", [{ value: 1, key: "\ud800" }], {}, /key is a text/],
  ["too much", [{ value: "x".repeat(300_000) }], {}, /a record has \d+ bytes, at most/],
  ["no partitions", [{ value: 1 }], { shape: { partitions: 0 } }, /partitions is 0/],
  ["a producer without a number", [{ value: 1 }], { producer: { id: "p" } }, /sequence is a whole number/],
];

for (const [what, records, more, message] of refused) {
  test(`an append of ${what} is refused`, async () => {
    const world = await opened();
    await assert.rejects(world.append("orders", records as never, more as never), message);
  });
}

test("a Lambda function gets the event of Kinesis, and names the record from which a batch comes again", async () => {
  const world = await opened();
  const batches: string[][] = [];
  const handler = (event: {
    Records: { kinesis: { data: string; sequenceNumber: string; partitionKey: string } }[];
  }): unknown => {
    const numbers = event.Records.map(({ kinesis }) => Buffer.from(kinesis.data, "base64").toString());
    batches.push(numbers);
    const bad = event.Records.find((_, index) => numbers[index] === '{"n":2}' && batches.length < 3);
    return { batchItemFailures: bad === undefined ? [] : [{ itemIdentifier: bad.kinesis.sequenceNumber }] };
  };
  const reader = await consume(world, handler, "handler", "lambda");
  await world.append(
    "orders",
    batch(0, 4, () => "k"),
  );
  await world.time.advance(5000);
  assert.deepEqual(batches, [['{"n":0}', '{"n":1}', '{"n":2}', '{"n":3}'], ['{"n":2}'], ['{"n":2}'], ['{"n":3}']]);
  const payload = world.deliveries[0]?.document.payload as { Records: object[] };
  assert.partialDeepStrictEqual(payload.Records[0], {
    kinesis: { partitionKey: "k", data: Buffer.from('{"n":0}').toString("base64"), kinesisSchemaVersion: "1.0" },
    eventSource: "aws:kinesis",
    eventName: "aws:kinesis:record",
  });
  await reader.close();
});

test("a failure of a record that was not given fails the batch", async () => {
  const world = await opened();
  await consume(world, () => ({ batchItemFailures: [{ itemIdentifier: "77" }] }), "handler", "lambda");
  await world.append("orders", batch(0, 1));
  await world.time.advance(100);
  const stored = await findConsumer(world.keyspace, world.environment, "orders", "handler");
  assert.equal(stored?.cursors[0]?.cursor.attempts, 1);
});
