import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { stream } from "../../../sdk/stream.ts";
import type { WindowOptions } from "../../../sdk/stream-window.ts";
import { sortIntoWindows, windowsOf } from "../../../sdk/windows.ts";
import { AloftError } from "../../contract/errors.ts";
import { consumerKeys, consumerShard } from "../../state/stream/stream-keys.ts";
import { openWorld, type World } from "../scripted.fixture.ts";
import { standardTuning, StreamConsumer } from "./consumer.ts";
import { Watermark } from "./watermark.ts";

interface Reading {
  readonly at: number;
  readonly n: number;
}

const second = 1000;

test("the windows of a moment hold it, and are as many as the size has steps", () => {
  const shapes = fc.record({ steps: fc.integer({ min: 1, max: 20 }), everyMs: fc.integer({ min: 1, max: 100_000 }) });
  fc.assert(
    fc.property(shapes, fc.integer({ min: -1e12, max: 4e12 }), ({ steps, everyMs }, atMs) => {
      const shape = { sizeMs: steps * everyMs, everyMs, latenessMs: 0 };
      const spans = windowsOf(atMs, shape);
      assert.equal(spans.length, steps);
      for (const [index, { start, end }] of spans.entries()) {
        assert.ok(start <= atMs && atMs < end && end - start === shape.sizeMs);
        assert.ok(Number.isInteger(start / everyMs));
        if (index > 0) assert.equal(start, (spans[index - 1]?.start ?? 0) + everyMs);
      }
    }),
  );
});

test("rule 12: a record behind the watermark and past the lateness is late, in a window that is still open it is not", () => {
  const shape = { sizeMs: 10, everyMs: 5, latenessMs: 3 };
  const sort = (atMs: number, watermarkMs: number | null) =>
    sortIntoWindows(
      [atMs],
      shape,
      watermarkMs,
      () => "k",
      (one) => one,
    );
  assert.deepEqual(
    sort(12, null).parts.map(({ start }) => start),
    [5, 10],
  );
  assert.deepEqual(
    sort(12, 17).parts.map(({ start }) => start),
    [5, 10],
  );
  assert.deepEqual(
    sort(12, 18).parts.map(({ start }) => start),
    [10],
    "one of its windows has ended",
  );
  assert.deepEqual(sort(12, 18).late, [12]);
  assert.deepEqual(sort(12, 23).parts, []);
});

test("rule 12: the watermark is the least over lanes that are not idle, and never goes back", () => {
  const watermark = new Watermark({ lanes: 3, idleMs: 30, floorMs: null, nowMs: 0 });
  watermark.observe(0, 100, 0);
  assert.equal(watermark.valueMs(0), null, "nothing is known of two lanes");
  watermark.observe(1, 70, 0);
  watermark.setCaughtUp(2, true, 0);
  assert.equal(watermark.nextIdleMs(0), 30);
  assert.equal(watermark.valueMs(29), null);
  assert.equal(watermark.valueMs(30), 70, "the third is caught up and silent");
  watermark.observe(2, 50, 31);
  assert.equal(watermark.valueMs(31), 70);
  watermark.observe(1, 90, 31);
  watermark.observe(2, 95, 31);
  assert.equal(watermark.valueMs(31), 90);
  for (const lane of [0, 1, 2]) watermark.setCaughtUp(lane, true, 40);
  assert.equal(watermark.valueMs(70), 100, "all are idle");
  const recovered = new Watermark({ lanes: 1, idleMs: 30, floorMs: 100, nowMs: 0 });
  recovered.observe(0, 10, 0);
  assert.equal(recovered.valueMs(0), 100);
});

async function consume(world: World, exported: unknown): Promise<StreamConsumer> {
  const owned = await world.own(consumerShard(world.environment, "readings", "sums"));
  const { keyspace, runner, clock } = world;
  const consumer = new StreamConsumer({
    safetyScanMs: null,
    tuning: standardTuning,
    binding: world.bind("sums", exported),
    owned,
    keyspace,
    runner,
    clock,
    schedule: world.time.schedule,
    onError: (error) => world.errors.push(error),
  });
  await world.time.advance(0);
  return consumer;
}

/** Sums by window; what ends is counted, so that a window that ends twice shows. */
function sums(world: World, options: Partial<WindowOptions<Reading>>, partitions = 1): unknown {
  return stream<Reading>("readings", { partitions }).window<{ sum: number; count: number }>(
    {
      size: "10s",
      from: "earliest",
      timestamp: ({ value }) => value.at,
      late: async (records) => {
        for (const { value } of records) await world.increment(`late ${value.n}`);
      },
      ...options,
    },
    {
      init: () => ({ sum: 0, count: 0 }),
      add: (state, { value }) => ({ sum: state.sum + value.n, count: state.count + 1 }),
      merge: (a, b) => ({ sum: a.sum + b.sum, count: a.count + b.count }),
      close: async (state, window) => {
        assert.equal(window.isFinal, true);
        await world.increment(`${window.key} ${window.start} sum`, state.sum);
        await world.increment(`${window.key} ${window.start} count`, state.count);
        await world.increment(`${window.key} ${window.start} ended`);
      },
    },
  );
}

/** The same in one pass over all records. */
function model(
  records: readonly { value: Reading; key: string }[],
  sizeMs: number,
  everyMs: number,
): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { value, key } of records) {
    for (const { start } of windowsOf(value.at, { sizeMs, everyMs, latenessMs: 0 })) {
      found[`${key} ${start} sum`] = (found[`${key} ${start} sum`] ?? 0) + value.n;
      found[`${key} ${start} count`] = (found[`${key} ${start} count`] ?? 0) + 1;
      found[`${key} ${start} ended`] = 1;
    }
  }
  return found;
}

function sorted(counts: Record<string, number>): [string, number][] {
  return Object.entries(counts).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

const cases = fc.record({
  seed: fc.integer({ min: 1, max: 1e9 }),
  partitions: fc.constantFrom(1, 3),
  parallel: fc.constantFrom(1, 4),
  every: fc.constantFrom(10, 5, 2),
  batch: fc.constantFrom(1, 7, 100),
  hasOwnKey: fc.boolean(),
  lateness: fc.constantFrom("25s", "1h"),
  crashes: fc.nat(3),
  /** Of a hundred commits, so many end in COMMIT_UNKNOWN; half of these have happened. */
  unknown: fc.constantFrom(0, 10, 30),
});

test("windows are exact: the results are those of one pass over all records, whatever crashes and however they slide", async () => {
  await fc.assert(
    fc.asyncProperty(
      cases,
      async ({ seed, partitions, parallel, every, batch, hasOwnKey, crashes, lateness, unknown }) => {
        let random = seed;
        const next = (below: number): number => {
          random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
          return Math.floor((random / 2 ** 32) * below);
        };
        let isCalm = true;
        const world = await openWorld({
          wrap: (keyspace) => ({
            ...keyspace,
            clock: keyspace.clock,
            get: (keys) => keyspace.get(keys),
            range: (query) => keyspace.range(query),
            watch: (prefix, onWake) => keyspace.watch(prefix, onWake),
            close: () => keyspace.close(),
            async commit(commit) {
              if (isCalm || next(100) >= unknown) return await keyspace.commit(commit);
              if (next(2) === 0) await keyspace.commit(commit);
              throw new AloftError("COMMIT_UNKNOWN", "nobody knows");
            },
          }),
        });
        const own = hasOwnKey ? { key: ({ value }: { value: Reading }) => `group ${value.n % 3}` } : {};
        const options = { every: `${every}s`, lateness, closeAfter: "1m", parallel, batch, ...own } as const;
        const job = (): unknown => sums(world, options, partitions);
        const records: { value: Reading; key: string }[] = [];
        let consumer = await consume(world, job());
        const calmly = async <T>(work: () => Promise<T>): Promise<T> => {
          isCalm = true;
          return await work().finally(() => {
            isCalm = false;
          });
        };
        isCalm = false;
        for (let round = 0; round < 8; round++) {
          const some = Array.from({ length: 1 + next(30) }, (_, index) => ({
            value: { at: 1_700_000_000_000 + round * 7000 + next(20_000), n: records.length + index },
            key: `sensor ${next(5)}`,
          }));
          records.push(...some);
          await calmly(() => world.append("readings", some, { shape: { partitions } }));
          await world.time.advance(next(3) * 1000);
          if (next(8) < crashes) {
            // Another node takes the shard while this one still believes to have it; then it is gone.
            const old = consumer;
            consumer = await calmly(() => consume(world, job()));
            await old.close();
          }
        }
        await world.time.advance(20 * 60 * second);
        const expected = model(
          records.map(({ value, key }) => ({ value, key: hasOwnKey ? `group ${value.n % 3}` : key })),
          10 * second,
          every * second,
        );
        assert.deepEqual(sorted(await world.counts()), sorted(expected));
        if (unknown === 0) assert.deepEqual(world.errors, []);
        const { entries } = await world.keyspace.range(consumerKeys(world.environment, "readings", "sums").states);
        assert.equal(entries.length, 0, "no state is left");
        await consumer.close();
      },
    ),
    { numRuns: 25 },
  );
});

test("rule 12: windows end by the watermark, late records are counted and handed over, none is dropped in silence", async () => {
  const world = await openWorld();
  const at = (seconds: number, n: number) => ({ value: { at: seconds * second, n }, key: "a" });
  await consume(world, sums(world, { lateness: "2s" }));
  await world.append("readings", [at(1, 1), at(9, 2), at(11, 4)]);
  await world.time.advance(100);
  assert.deepEqual(await world.counts(), {}, "the watermark is 11 s, and until 12 s a record may come");
  await world.append("readings", [at(5, 8), at(12, 16)]);
  await world.time.advance(100);
  assert.deepEqual(await world.counts(), { "a 0 count": 3, "a 0 ended": 1, "a 0 sum": 11 });
  await world.append("readings", [at(3, 32), at(14, 64)]);
  await world.time.advance(100);
  assert.deepEqual(await world.counts(), { "a 0 count": 3, "a 0 ended": 1, "a 0 sum": 11, "late 32": 1 });
  const { counter } = consumerKeys(world.environment, "readings", "sums");
  const [late] = await world.keyspace.get([counter("late")]);
  assert.equal(Buffer.from(late?.value ?? []).readBigInt64BE(), 1n);
});

test("rule 12: a lane without records holds the watermark back until it is idle", async () => {
  const world = await openWorld();
  await consume(world, sums(world, { parallel: 8, idle: "5s" }));
  await world.append("readings", [
    { value: { at: 1000, n: 1 }, key: "a" },
    { value: { at: 21_000, n: 2 }, key: "a" },
  ]);
  await world.time.advance(4900);
  assert.deepEqual(await world.counts(), {});
  await world.time.advance(200);
  assert.deepEqual(await world.counts(), { "a 0 count": 1, "a 0 ended": 1, "a 0 sum": 1 });
});

test("a stream that falls silent again and again ends its windows each time", async () => {
  const world = await openWorld();
  await consume(world, sums(world, { closeAfter: "1m" }));
  await world.time.advance(5 * 60 * second);
  for (const [round, at] of [1000, 21_000, 41_000].entries()) {
    await world.append("readings", [{ value: { at, n: 1 }, key: "a" }]);
    await world.time.advance(5 * 60 * second);
    assert.equal(Object.keys(await world.counts()).filter((key) => key.endsWith("ended")).length, round + 1);
  }
});

test("open windows end when the stream has been silent for as long as they wait, and no later", async () => {
  const world = await openWorld();
  await consume(world, sums(world, { closeAfter: "1s", idle: "30s" }));
  await world.time.advance(2 * second);
  await world.append("readings", [{ value: { at: 1000, n: 1 }, key: "a" }]);
  await world.time.advance(900);
  assert.deepEqual(await world.counts(), {});
  await world.time.advance(200);
  assert.equal((await world.counts())["a 0 ended"], 1);
});

test("a window whose end cannot be handled is tried again and parked in the end, and does not hold up others", async () => {
  const world = await openWorld();
  const job = stream<Reading>("readings").window<number>(
    { size: "10s", from: "earliest", timestamp: ({ value }) => value.at, attempts: 2, backoff: "1s" },
    {
      init: () => 0,
      add: (sum, { value }) => sum + value.n,
      close: async (sum, { key }) => {
        if (key === "bad") throw new Error("no");
        await world.increment(key, sum);
      },
    },
  );
  await consume(world, job);
  await world.append("readings", [
    { value: { at: 1000, n: 1 }, key: "bad" },
    { value: { at: 1000, n: 2 }, key: "good" },
    { value: { at: 1000, n: 3 }, key: "also" },
    { value: { at: 90_000, n: 0 }, key: "good" },
  ]);
  await world.time.advance(10_000);
  assert.deepEqual(await world.counts(), { also: 3, good: 2 });
  const { entries } = await world.keyspace.range(consumerKeys(world.environment, "readings", "sums").parked);
  const parked = JSON.parse(Buffer.from(entries[0]?.value ?? []).toString()) as { window: object; attempts: number };
  assert.deepEqual([parked.window, parked.attempts], [{ key: "bad", start: 0, end: 10_000, states: [1] }, 2]);
});

test("a handler of (state, records, window) gets each window's records, then its end", async () => {
  const world = await openWorld();
  const calls: string[] = [];
  const job = stream<Reading>("readings").window<number>(
    { size: "10s", from: "earliest", timestamp: ({ value }) => value.at },
    (state, records, { key, start, isFinal }) => {
      calls.push(
        `${key} ${start} ${state ?? "none"} +${records.map(({ value }) => value.n).join("+")}${isFinal ? " final" : ""}`,
      );
      return (state ?? 0) + records.reduce((sum, { value }) => sum + value.n, 0);
    },
  );
  await consume(world, job);
  const at = (seconds: number, n: number) => ({ value: { at: seconds * second, n }, key: "a" });
  await world.append("readings", [at(1, 1), at(2, 2)]);
  await world.time.advance(10);
  await world.append("readings", [at(3, 4), at(15, 8)]);
  await world.time.advance(10);
  assert.deepEqual(calls, ["a 0 none +1+2", "a 0 3 +4", "a 10000 none +8", "a 0 7 + final"]);
});

test("a window function called in place, as a unit test does, ends all its windows", async () => {
  const ended: string[] = [];
  const job = stream<Reading>("readings").window<number>(
    { size: "10s", timestamp: ({ value }) => value.at },
    {
      init: () => 0,
      add: (sum, { value }) => sum + value.n,
      close: (sum, { key, start }) => void ended.push(`${key} ${start} ${sum}`),
    },
  );
  const record = (atMs: number, n: number) => ({
    value: { at: atMs, n },
    key: "a",
    offset: "",
    partition: 0,
    appendedAt: 0,
  });
  await job([record(1, 1), record(2, 2), record(10_001, 4)]);
  assert.deepEqual(ended, ["a 0 3", "a 10000 4"]);
});

test("a window by another key needs a way to merge, and steps must be there", () => {
  const readings = stream<Reading>("readings");
  const steps = { init: () => 0, add: (sum: number) => sum, close: () => {} };
  assert.throws(() => readings.window({ size: "1s", key: () => "x" }, steps), /with key there must be merge/);
  assert.throws(() => readings.window({ size: "1s" }, {} as never), /give init, add and close, or a handler/);
  assert.throws(() => readings.window({} as never, steps), /size is missing/);
});
