/**
 * Windows over a stream in simulated time, under everything that goes wrong: records come out of order and late, lanes fall
 * silent, nodes crash. What must hold in the end: every window has ended exactly once; every record whose append was
 * acknowledged is once in each of its windows, unless that one had ended before: then, and only then, it was told as late, once;
 * and where nothing was late, windows are those of one pass over all records (rule 12 of docs/exactly-once.md).
 */
import assert from "node:assert/strict";
import { kv } from "../../sdk/kv.ts";
import { stream } from "../../sdk/stream.ts";
import type { Window } from "../../sdk/stream-window.ts";
import { windowsOf } from "../../sdk/windows.ts";
import { encodeTuple } from "../../src/contract/tuple.ts";
import { type Fleet, keepRunning } from "./fleet.ts";
import { functionsOf, guestOf, misfortune } from "./guest.ts";
import { commitOnce, connect, deploymentOf, entriesOf, shopOf, untilDone } from "./node.ts";
import type { Counts } from "./seeds.ts";
import { World } from "./world.ts";

interface Reading {
  readonly number: number;
  readonly atMs: number;
}

interface Shape {
  readonly everyMs: number;
  readonly latenessMs: number;
  /** Windows are by a part of the record instead of by its key. */
  readonly hasOwnKey: boolean;
}

const sizeMs = 10_000;
const beginMs = 1_700_000_000_000;
const recordsMost = 50;
const keys = ["a", "b", "c", "d"];
const ledger = kv<readonly number[]>("ledger");

export async function simulateWindows(seed: number): Promise<Counts> {
  const world = new World(seed);
  return await world.run(live(world));
}

async function live(world: World): Promise<Counts> {
  const shape: Shape = {
    everyMs: world.one([10_000, 10_000, 5_000, 2_000]),
    latenessMs: world.one([0, 3_000, 3_600_000]),
    hasOwnKey: world.chance(0.3),
  };
  const make = appsOf(world, shape);
  const app = make(world.one([1, 3]), world.one([1, 4]));
  const fleet = keepRunning(world, deploymentOf(functionsOf(app)), guestOf(world, app));
  const producing = produce(world, fleet);
  if (world.chance(0.3)) {
    await world.sleep(world.pick(15_000));
    fleet.publish(deploymentOf(functionsOf(make(world.one([3, 4]), world.one([1, 2, 4]))), 2));
  }
  const records = await producing;
  await fleet.calm();
  await settle(world, records.length);
  await fleet.close();
  return { ...fleet.counts, ...(await check(world, records, shape)) };
}

function appsOf(
  world: World,
  { everyMs, latenessMs, hasOwnKey }: Shape,
): (partitions: number, parallel: number) => Readonly<Record<string, unknown>> {
  const options = {
    size: sizeMs,
    every: everyMs,
    lateness: latenessMs,
    idle: world.one([1_000, 10_000]),
    closeAfter: 60_000,
    from: "earliest",
    attempts: 1_000,
    backoff: 100,
    batch: world.one([1, 5, 20]),
  } as const;
  const isByHandler = !hasOwnKey && world.chance(0.3);
  return (partitions, parallel) => {
    const readings = stream<Reading>("readings", { partitions });
    const given = {
      ...options,
      parallel,
      timestamp: ({ value }: { value: Reading }) => value.atMs,
      late: async (records: { value: Reading }[]) => {
        await misfortune(world, 3_000);
        for (const { value } of records) await ledger.increment(`late/${value.number}`);
      },
    };
    const close = async (state: readonly number[] | undefined, { key, start, isFinal }: Window): Promise<void> => {
      assert.ok(isFinal);
      await misfortune(world, 3_000);
      await ledger.increment(`ended/${key} ${start}`);
      await ledger.set(`window/${key} ${start}`, state ?? []);
    };
    if (isByHandler) {
      const sums = readings.window<readonly number[]>(given, async (state, records, window) => {
        if (window.isFinal) await close(state, window);
        return [...(state ?? []), ...records.map(({ value }) => value.number)];
      });
      return { sums };
    }
    const sums = readings.window<readonly number[]>(
      { ...given, ...(hasOwnKey ? { key: ({ value }: { value: Reading }) => ownKey(value) } : {}) },
      {
        init: () => [],
        add: (state, { value }) => [...state, value.number],
        merge: (a, b) => [...a, ...b],
        close,
      },
    );
    return { sums };
  };
}

function ownKey({ number }: Reading): string {
  return `group ${number % 3}`;
}

type Appended = Reading & { readonly key: string };

async function produce(world: World, { faults }: Fleet): Promise<readonly Appended[]> {
  const connection = connect(world, faults);
  const shop = await untilDone(world, () => shopOf(connection));
  const appended: Appended[] = [];
  const spreadMs = world.one([1, 8_000, 30_000]);
  for (let round = 0; appended.length < recordsMost; round += 1) {
    const some = Array.from({ length: 1 + world.pick(6) }, (_, index) => ({
      number: appended.length + index,
      atMs: beginMs + round * 2_000 + world.pick(spreadMs),
      key: world.one(keys),
    }));
    const records = some.map(({ key, ...value }) => ({ key, value }));
    const effect = { resource: "stream", name: "readings", method: "append", args: { records } } as const;
    await commitOnce(world, connection, shop, encodeTuple(["once", "append", round]), [effect]);
    appended.push(...some);
    // Sometimes the whole stream is silent for so long that its windows end.
    await world.sleep(world.pick(world.chance(0.03) ? 90_000 : 2_500));
  }
  return appended;
}

/** Until all records were told in a window or as late. */
async function settle(world: World, records: number): Promise<void> {
  for (let waits = 0; ; waits += 1) {
    await world.sleep(20_000);
    const told = new Set<number>();
    for (const [key, value] of await entriesOf(world, "ledger")) {
      if (key.startsWith("late/")) told.add(Number(key.slice(5)));
      else if (key.startsWith("window/")) for (const number of value as number[]) told.add(number);
    }
    if (told.size === records) break;
    assert.ok(waits < 100, `${told.size} of ${records} records are in windows or late`);
  }
  // The last windows of those that slide.
  await world.sleep(120_000);
}

async function check(world: World, records: readonly Appended[], shape: Shape): Promise<Counts> {
  const found = await entriesOf(world, "ledger");
  const windows = new Map<string, readonly number[]>();
  let late = 0;
  for (const [key, value] of found) {
    if (key.startsWith("ended/")) assert.equal(value, 1, `the window ${key} has ended ${String(value)} times`);
    if (key.startsWith("late/")) late += 1;
    if (!key.startsWith("window/")) continue;
    const numbers = value as readonly number[];
    assert.equal(new Set(numbers).size, numbers.length, `${key} has a record twice`);
    windows.set(key.slice(7), numbers);
  }
  let held = 0;
  for (const record of records) {
    const spans = windowsOf(record.atMs, { sizeMs, ...shape });
    const key = shape.hasOwnKey ? ownKey(record) : record.key;
    const missed = spans.filter(({ start }) => windows.get(`${key} ${start}`)?.includes(record.number) !== true);
    held += spans.length - missed.length;
    const told = found.get(`late/${record.number}`) ?? 0;
    assert.equal(told, missed.length > 0 ? 1 : 0, `record ${record.number} has missed ${missed.length} windows`);
  }
  const all = [...windows.values()].reduce((sum, numbers) => sum + numbers.length, 0);
  assert.equal(all, held, "windows hold records that are not theirs");
  return { late, windows: windows.size, exact: late === 0 ? 1 : 0 };
}
