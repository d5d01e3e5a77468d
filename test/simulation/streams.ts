/**
 * A consumer of a stream in simulated time, under everything that goes wrong, while the stream gets more partitions and the
 * consumer other lanes, is paused, and gets back what it has parked. What must hold in the end: every record whose append was acknowledged is handled with its
 * effects exactly once or was given up, those of one key in order (but for what was sent back), counters are exact, no cursor has skipped anything; and at
 * no time do two deliveries of a record run (rules 1, 8 to 12 of docs/exactly-once.md).
 */
import assert from "node:assert/strict";
import type { Duration } from "../../sdk/options.ts";
import { kv } from "../../sdk/kv.ts";
import { stream } from "../../sdk/stream.ts";
import type { LiveDeployment } from "../../src/contract/deployment.ts";
import type { Environment } from "../../src/contract/durable.ts";
import { StreamAdmin } from "../../src/triggers/stream/stream-admin.ts";
import { encodeTuple } from "../../src/contract/tuple.ts";
import { type Fleet, keepRunning } from "./fleet.ts";
import { functionsOf, guestOf, misfortune } from "./guest.ts";
import { commitOnce, connect, deploymentOf, entriesOf, messagesIn, shopOf, untilDone } from "./node.ts";
import type { Counts } from "./seeds.ts";
import { noFaults, World } from "./world.ts";

interface Reading {
  readonly number: number;
  /** No attempt at it succeeds. */
  readonly isPoison: boolean;
}

const keys = ["a", "b", "c", "d"];
const ledger = kv<number | number[]>("ledger");
const recordsMost = 60;

export async function simulateStreams(seed: number): Promise<Counts> {
  const world = new World(seed);
  return await world.run(live(world));
}

async function live(world: World): Promise<Counts> {
  const shape = { partitions: world.one([1, 3]), parallel: world.one([1, 4]) };
  const options = optionsOf(world);
  const app = appOf(world, options, shape);
  const fleet = keepRunning(world, deploymentOf(functionsOf(app)), guestOf(world, app));
  const producing = produce(world, fleet);
  const sentBack = new Set<number>();
  const changes = await change(world, fleet, sentBack, (number) => {
    const grown = { partitions: shape.partitions + world.pick(3), parallel: world.one([1, 2, 5]) };
    return deploymentOf(functionsOf(appOf(world, options, grown)), number);
  });
  const appended = await producing;
  await fleet.calm();
  const dead = await settle(world, appended.length, options.deadLetter);
  await fleet.close();
  await check(world, appended, dead, sentBack);
  return { ...fleet.counts, ...changes, dead: dead.size, records: appended.length };
}

type ConsumerOptions = ReturnType<typeof optionsOf>;

function optionsOf(world: World): { batch: number; wait: Duration; attempts: number; deadLetter: string | undefined } {
  return {
    batch: world.one([1, 4, 20]),
    wait: world.one(["0ms", "0ms", "500ms"] as const),
    attempts: world.one([2, 6]),
    deadLetter: world.one([undefined, "dead"]),
  };
}

function appOf(
  world: World,
  { deadLetter, ...options }: ConsumerOptions,
  { partitions, parallel }: { partitions: number; parallel: number },
): Readonly<Record<string, unknown>> {
  const consume = {
    ...options,
    ...(deadLetter === undefined ? {} : { deadLetter }),
    from: "earliest",
    backoff: "300ms" as const,
    parallel,
  };
  const work = stream<Reading>("readings", { partitions }).consume(consume, async (records) => {
    for (const { value, key } of records) {
      await misfortune(world, 4_000);
      if (value.isPoison) throw new Error("no use");
      await ledger.increment(handledKey(value.number));
      if (key === null) continue;
      const before = ((await ledger.get(`order/${key}`)) as number[] | null) ?? [];
      await ledger.set(`order/${key}`, [...before, value.number]);
    }
  });
  return { work };
}

/** One producer, which tries each append again until it is acknowledged, and sometimes once more. */
async function produce(world: World, { faults }: Fleet): Promise<readonly Reading[]> {
  const connection = connect(world, faults);
  const shop = await untilDone(world, () => shopOf(connection));
  const appended: Reading[] = [];
  const isQuick = world.chance(0.3);
  for (let sequence = 0; appended.length < recordsMost * 0.8; sequence += 1) {
    const count = 1 + world.pick(world.one([2, 12]));
    const records = Array.from({ length: count }, (_, index) => ({
      value: { number: appended.length + index, isPoison: world.chance(0.03) },
      key: world.chance(0.2) ? null : world.one(keys),
    }));
    const byProducer = { producer: { id: "p", sequence } };
    const isByProducer = world.chance(0.5);
    const args = { records, ...(isByProducer ? byProducer : {}) };
    const effect = { resource: "stream", name: "readings", method: "append", args } as const;
    // Without a sequence number the commit itself is made safe to repeat.
    const once = isByProducer ? encodeTuple(["once", world.newId()]) : encodeTuple(["once", "append", sequence]);
    await commitOnce(world, connection, shop, once, [effect]);
    if (isByProducer && world.chance(0.2))
      await commitOnce(world, connection, shop, encodeTuple(["again", sequence]), [effect]);
    appended.push(...records.map(({ value }) => value));
    await world.sleep(world.pick(isQuick ? 50 : 2_000));
  }
  return appended;
}

/** Deploys with another shape, sends back what was given up, pauses and goes on. */
async function change(
  world: World,
  fleet: Fleet,
  sentBack: Set<number>,
  next: (number: number) => LiveDeployment,
): Promise<Record<"deploys" | "pauses" | "redriven", number>> {
  const counts = { deploys: 0, pauses: 0, redriven: 0 };
  for (let number = 2; number < 6; number += 1) {
    await world.sleep(world.pick(10_000));
    if (world.chance(0.4)) {
      counts.deploys += 1;
      fleet.publish(next(number));
    }
    if (world.chance(0.5)) counts.redriven += await redrive(world, sentBack);
    if (!world.chance(0.2)) continue;
    counts.pauses += 1;
    const { admin, shop } = await adminOf(world);
    await untilFound(world, () => admin.pause(shop, "readings", "work", true));
    await world.sleep(world.pick(5_000));
    await untilFound(world, () => admin.pause(shop, "readings", "work", false));
  }
  return counts;
}

/** One by one, so that it is known which of them lose their place in the order. */
async function redrive(world: World, sentBack: Set<number>): Promise<number> {
  const { admin, shop } = await adminOf(world);
  const letters = (await untilFound(world, () => admin.parked(shop, "readings", "work"))) as Letter[];
  let count = 0;
  for (const { record } of letters) {
    sentBack.add(record.value.number);
    const { offset } = record;
    count += (await admin.redrive(shop, "readings", "work", { offset, dryRun: false })).records;
  }
  return count;
}

async function adminOf(world: World): Promise<{ admin: StreamAdmin; shop: Environment }> {
  const connection = connect(world, noFaults);
  const { keyspace, service: state } = connection;
  const admin = new StreamAdmin({ keyspace, state, stateOf: () => null, consumersOf: () => ["work"] });
  return { admin, shop: await shopOf(connection) };
}

/** The consumer may not have begun yet. */
async function untilFound<T>(world: World, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== "CONSUMER_NOT_FOUND" && code !== "STREAM_NOT_FOUND") throw error;
      await world.sleep(100);
    }
  }
}

/** The numbers of records that were given up, when all are handled or among them. */
async function settle(world: World, records: number, deadLetter: string | undefined): Promise<ReadonlySet<number>> {
  for (let waits = 0; ; waits += 1) {
    await world.sleep(5_000);
    const done = (await entriesOf(world, "ledger", "handled/")).size;
    const dead = deadLetter === undefined ? await parked(world) : await lettersIn(world, deadLetter);
    if (done + dead.size >= records) return dead;
    assert.ok(waits < 200, `${done} are handled and ${dead.size} given up of ${records}`);
  }
}

interface Letter {
  readonly record: { readonly value: Reading; readonly offset: string };
}

async function parked(world: World): Promise<ReadonlySet<number>> {
  const { admin, shop } = await adminOf(world);
  const letters = await untilFound(world, () => admin.parked(shop, "readings", "work"));
  return numbersOf(letters as Letter[]);
}

async function lettersIn(world: World, queue: string): Promise<ReadonlySet<number>> {
  return numbersOf((await messagesIn(world, queue)) as Letter[]);
}

function numbersOf(letters: readonly Letter[]): ReadonlySet<number> {
  const numbers = letters.map(({ record }) => record.value.number);
  assert.equal(new Set(numbers).size, numbers.length, "a record was given up twice");
  return new Set(numbers);
}

async function check(
  world: World,
  appended: readonly Reading[],
  dead: ReadonlySet<number>,
  sentBack: ReadonlySet<number>,
): Promise<void> {
  const { admin, shop } = await adminOf(world);
  const shown = await admin.get(shop, "readings");
  assert.equal(shown.appended, appended.length, "records of the stream");
  assert.equal(shown.consumers[0]?.lag, 0);
  assert.equal(shown.consumers[0]?.redriven, 0);
  const found = await entriesOf(world, "ledger");
  for (const { number, isPoison } of appended) {
    const times = Number(found.get(handledKey(number)) ?? 0) + (dead.has(number) ? 1 : 0);
    assert.equal(
      times,
      1,
      `record ${number}: ${JSON.stringify([found.get(handledKey(number)), dead.has(number), isPoison])}`,
    );
    if (isPoison) assert.ok(dead.has(number), `record ${number} was handled`);
  }
  for (const [key, list] of found) {
    if (!key.startsWith("order/")) continue;
    const numbers = (list as number[]).filter((number) => !sentBack.has(number));
    const sorted = numbers.toSorted((a, b) => a - b);
    assert.deepEqual(numbers, sorted, `records of ${key} are out of order`);
  }
}

function handledKey(number: number): string {
  return `handled/${String(number).padStart(4, "0")}`;
}
