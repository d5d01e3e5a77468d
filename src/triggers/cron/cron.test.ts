import assert from "node:assert/strict";
import { test } from "node:test";
import { cron, every, type Tick } from "../../../sdk/cron.ts";
import type { OwnedShard } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import type { CronState } from "./cron-record.ts";
import { cronKeys, cronShard, jsonOf } from "./cron-record.ts";
import type { Binding } from "../binding.ts";
import { Crons } from "./crons.ts";
import { crashedEnd, openWorld, refusedEnd, type World, type WorldOptions } from "../scripted.fixture.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
/** ManualClock begins at 2023-11-14T22:13:20Z. */

async function opened(options: WorldOptions = {}): Promise<World & { crons: Crons; ticks: string[] }> {
  const world = await openWorld(options);
  return { ...world, crons: cronsOf(world), ticks: [] };
}

function cronsOf(world: World): Crons {
  const { keyspace, runner } = world;
  return new Crons(
    {
      keyspace,
      runner,
      schedule: world.time.schedule,
      onError: (error) => world.errors.push(error),
    },
    (consumer) => (consumer as Binding).target(),
  );
}

async function start(
  world: World & { crons: Crons },
  name: string,
  exported: unknown,
): Promise<OwnedShard & { lose(): void }> {
  const owned = await world.own(cronShard(world.environment, name));
  await world.crons.set(world.bind(name, exported), owned);
  return owned;
}

function at({ scheduledAt }: { scheduledAt: number }): string {
  return new Date(scheduledAt).toISOString().slice(11, 19);
}

test("a tick comes at its time, and what its handler writes is there with it, once", async () => {
  const world = await opened();
  await start(
    world,
    "hourly",
    every("1h", async (tick) => {
      world.ticks.push(at(tick));
      await world.increment("ticks");
    }),
  );
  await world.time.advance(46 * minute);
  assert.deepEqual(world.ticks, []);
  await world.time.advance(2 * hour);
  assert.deepEqual(world.ticks, ["23:00:00", "00:00:00"]);
  assert.deepEqual(await world.counts(), { ticks: 2 });
  assert.deepEqual(world.errors, []);
});

test("a tick that fails is tried again, then given up; the next one comes all the same", async () => {
  const world = await opened();
  await start(
    world,
    "hourly",
    every("1h", { attempts: 2, backoff: "30s" }, async (tick) => {
      world.ticks.push(at(tick));
      await world.increment("ticks");
      if (world.ticks.length <= 2) throw new Error("not yet");
    }),
  );
  await world.time.advance(46 * minute + 40 * second);
  assert.deepEqual(world.ticks, ["23:00:00"]);
  await world.time.advance(29 * second);
  assert.deepEqual(world.ticks, ["23:00:00"]);
  await world.time.advance(2 * second);
  assert.deepEqual(world.ticks, ["23:00:00", "23:00:00"]);
  assert.equal(world.crons.find(world.environment, "hourly")?.state?.last?.error, "Error: not yet");
  await world.time.advance(hour);
  assert.deepEqual(world.ticks, ["23:00:00", "23:00:00", "00:00:00"]);
  assert.deepEqual(await world.counts(), { ticks: 1 });
  assert.deepEqual(
    world.deliveries.map(({ attempt }) => attempt),
    [1, 2, 1],
  );
  assert.equal(new Set(world.deliveries.slice(0, 2).map(({ document }) => document.idempotencyKey)).size, 1);
});

test("a refusal costs no attempt, a crash does", async () => {
  const world = await opened();
  world.script.push(refusedEnd, refusedEnd, crashedEnd);
  await start(
    world,
    "hourly",
    every("1h", { attempts: 2, backoff: "1s" }, async () => await world.increment("ticks")),
  );
  await world.time.advance(50 * minute);
  assert.deepEqual(
    world.deliveries.map(({ attempt }) => attempt),
    [1, 1, 1, 2],
  );
  assert.deepEqual(await world.counts(), { ticks: 1 });
});

/** A server that was down: what it has left is opened again later. */
async function afterDowntime(missed: "skip" | "once" | "all", downMs: number): Promise<string[]> {
  const first = await opened();
  const ticks: string[] = [];
  const job = every("1h", { missed }, (tick) => {
    ticks.push(at(tick));
  });
  const owned = await start(first, "hourly", job);
  await first.time.advance(47 * minute);
  owned.lose();
  await first.crons.close();
  first.clock.advance(downMs);
  const later = await opened({ disk: first.disk, clock: first.clock });
  await start(later, "hourly", job);
  await later.time.advance(10 * second);
  return ticks;
}

test("ticks while the server was down: none, the latest, or all of them in order", async () => {
  const down = 3 * hour + 5 * minute;
  assert.deepEqual(await afterDowntime("skip", down), ["23:00:00"]);
  assert.deepEqual(await afterDowntime("once", down), ["23:00:00", "02:00:00"]);
  assert.deepEqual(await afterDowntime("all", down), ["23:00:00", "00:00:00", "01:00:00", "02:00:00"]);
  // A restart that takes less than the grace misses nothing.
  assert.deepEqual(await afterDowntime("skip", hour + 10 * second), ["23:00:00", "00:00:00"]);
});

function slow(world: World & { ticks: string[] }): {
  release: (() => void)[];
  handler: (tick: { scheduledAt: number }) => Promise<void>;
} {
  const release: (() => void)[] = [];
  return {
    release,
    handler: async (tick) => {
      world.ticks.push(at(tick));
      await new Promise<void>((resolve) => release.push(resolve));
      await world.increment("ticks");
    },
  };
}

test("overlap skip: what comes due while a tick runs is left out", async () => {
  const world = await opened();
  const { release, handler } = slow(world);
  await start(world, "job", every("1m", handler));
  await world.time.advance(5 * minute);
  assert.equal(world.ticks.length, 1);
  release.shift()?.();
  await world.time.advance(minute);
  assert.deepEqual(world.ticks, ["22:14:00", "22:19:00"]);
  release.shift()?.();
  await world.time.advance(0);
  assert.deepEqual(await world.counts(), { ticks: 2 });
});

test("overlap queue: what comes due while a tick runs comes after it", async () => {
  const world = await opened();
  const { release, handler } = slow(world);
  await start(world, "job", every("1m", { overlap: "queue" }, handler));
  await world.time.advance(3 * minute);
  assert.deepEqual(world.ticks, ["22:14:00"]);
  for (let n = 0; n < 3; n++) {
    release.shift()?.();
    await world.time.advance(0);
  }
  assert.deepEqual(world.ticks, ["22:14:00", "22:15:00", "22:16:00"]);
});

test("overlap allow: ticks run beside each other, and those that had begun go on after a crash", async () => {
  const world = await opened();
  const { release, handler } = slow(world);
  const job = every("1m", { overlap: "allow" }, handler);
  const owned = await start(world, "job", job);
  await world.time.advance(3 * minute);
  assert.deepEqual(world.ticks, ["22:14:00", "22:15:00", "22:16:00"]);
  release.splice(1, 1)[0]?.();
  await world.time.advance(0);
  assert.deepEqual(await world.counts(), { ticks: 1 });
  owned.lose();
  for (const each of release.splice(0)) each();
  await world.crons.close();
  assert.deepEqual(await world.counts(), { ticks: 1 }, "a handler whose node has lost the shard commits nothing");

  const next = await opened({ disk: world.disk, clock: world.clock });
  const again = slow(next);
  await start(next, "job", every("1m", { overlap: "allow" }, again.handler));
  await next.time.advance(second);
  assert.deepEqual(next.ticks.toSorted(), ["22:14:00", "22:16:00"]);
  for (const each of again.release.splice(0)) each();
  await next.time.advance(0);
  assert.deepEqual(await next.counts(), { ticks: 3 });
});

test("rule 9: a node that has lost the shard cannot commit a tick, and the new owner's takes effect once", async () => {
  const world = await opened();
  const { release, handler } = slow(world);
  const job = every("1m", { missed: "all" }, handler);
  await start(world, "job", job);
  await world.time.advance(minute);
  const other = await opened({ disk: world.disk, clock: world.clock });
  await start(
    other,
    "job",
    every("1m", { missed: "all" }, async () => await other.increment("ticks")),
  );
  await other.time.advance(second);
  assert.deepEqual(await other.counts(), { ticks: 1 });
  release.shift()?.();
  await world.time.advance(0);
  assert.deepEqual(await other.counts(), { ticks: 1 });
});

test("rule 4: a clock that is set back an hour runs no tick twice, one set forward misses none that it should not", async () => {
  const world = await opened();
  await start(
    world,
    "job",
    every("10m", { missed: "once" }, (tick) => void world.ticks.push(at(tick))),
  );
  await world.time.advance(7 * minute);
  assert.deepEqual(world.ticks, ["22:20:00"]);
  world.clock.stepWall(-hour);
  await world.time.advance(50 * minute);
  assert.deepEqual(world.ticks, ["22:20:00"]);
  await world.time.advance(20 * minute);
  assert.deepEqual(world.ticks, ["22:20:00", "22:30:00"]);
  world.clock.stepWall(hour);
  await world.time.advance(minute);
  assert.deepEqual(world.ticks, ["22:20:00", "22:30:00", "23:30:00"]);
});

test("rule 2: ticks take effect once although a third of all commits end in COMMIT_UNKNOWN", async () => {
  for (const overlap of ["skip", "queue", "allow"] as const) {
    let commits = 0;
    let isCalm = true;
    const world = await opened({
      wrap: (keyspace) => ({
        clock: keyspace.clock,
        get: (keys) => keyspace.get(keys),
        range: (query) => keyspace.range(query),
        watch: (prefix, onWake) => keyspace.watch(prefix, onWake),
        close: () => keyspace.close(),
        async commit(commit) {
          commits += 1;
          if (isCalm || commits % 3 !== 0) return await keyspace.commit(commit);
          if (commits % 2 === 0) await keyspace.commit(commit);
          throw new AloftError("COMMIT_UNKNOWN", "nobody knows");
        },
      }),
    });
    const due = new Set<number>();
    await start(
      world,
      "job",
      every("1m", { overlap, missed: "all" }, async ({ scheduledAt }) => {
        due.add(scheduledAt);
        await world.increment(`tick ${scheduledAt}`);
      }),
    );
    isCalm = false;
    await world.time.advance(2 * hour);
    isCalm = true;
    await world.time.advance(2 * minute);
    const counts = await world.counts();
    assert.ok(due.size >= 120, `${due.size} ticks`);
    assert.deepEqual(counts, Object.fromEntries([...due].map((tickMs) => [`tick ${tickMs}`, 1])), overlap);
  }
});

test("a new schedule counts from the deployment on, the same one goes on, one that is dropped comes no more", async () => {
  const world = await opened();
  const keeper = world.crons.open(await world.own(cronShard(world.environment, "job")));
  const note = (what: string) => (tick: Tick) => void world.ticks.push(`${what} ${at(tick)}`);
  const bound = (slot: number, exported: unknown): Binding => ({ ...world.bind("job", exported), slot });
  keeper.set(bound(0, cron("0 * * * *", note("old"))));
  await world.time.advance(50 * minute);
  keeper.set(bound(0, cron("0 * * * *", { attempts: 7 }, note("same"))));
  await world.time.advance(hour);
  keeper.set(bound(0, cron("*/30 * * * *", note("new"))));
  const second = bound(1, cron("15 * * * *", note("second")));
  keeper.set(second);
  await world.time.advance(hour);
  assert.deepEqual(world.ticks, ["old 23:00:00", "same 00:00:00", "second 00:15:00", "new 00:30:00", "new 01:00:00"]);
  keeper.drop(second);
  await world.time.advance(hour);
  assert.deepEqual(world.ticks.slice(5), ["new 01:30:00", "new 02:00:00"]);
  await keeper.close();
});

test("a pause and what has happened outlive a change of the schedule", async () => {
  const world = await opened();
  const keeper = world.crons.open(await world.own(cronShard(world.environment, "job")));
  const note = (what: string) => (tick: Tick) => void world.ticks.push(`${what} ${at(tick)}`);
  const bound = (slot: number, exported: unknown): Binding => ({ ...world.bind("job", exported), slot });
  keeper.set(bound(0, every("1h", note("first"))));
  keeper.set(bound(1, every("2h", note("second"))));
  await world.time.advance(hour);
  const job = world.crons.find(world.environment, "job") ?? assert.fail();
  await job.setPaused(true);
  keeper.set(bound(0, every("10m", note("changed"))));
  keeper.set(bound(1, every("20m", note("second changed"))));
  await world.time.advance(20 * minute);
  assert.deepEqual(world.ticks, ["first 23:00:00", "second changed 23:20:00"]);
  assert.partialDeepStrictEqual(job.state, { isPaused: true, succeeded: 1, last: { error: null } });
  const next = cronsOf(world);
  const again = next.open(await world.own(cronShard(world.environment, "job")));
  await keeper.close();
  again.set(bound(0, every("5m", note("after a restart"))));
  await world.time.advance(20 * minute);
  const found = next.find(world.environment, "job") ?? assert.fail();
  assert.partialDeepStrictEqual(found.state, { isPaused: true, succeeded: 1, schedule: "every 5m UTC" });
  await found.setPaused(false);
  await world.time.advance(5 * minute);
  assert.equal(world.ticks.length, 3);
  await again.close();
});

test("a tick that runs while its schedule changes takes effect, and the new schedule follows", async () => {
  const world = await opened();
  const keeper = world.crons.open(await world.own(cronShard(world.environment, "job")));
  let end = (): void => {};
  const running = new Promise<void>((resolve) => (end = resolve));
  const slow = async (): Promise<void> => {
    world.ticks.push("slow");
    await world.increment("slow ticks");
    await running;
  };
  keeper.set({ ...world.bind("job", every("1h", slow)), slot: 0 });
  await world.time.advance(47 * minute);
  assert.deepEqual(world.ticks, ["slow"]);
  const note = (tick: Tick): void => void world.ticks.push(at(tick));
  keeper.set({ ...world.bind("job", every("10m", note)), slot: 0 });
  await world.time.advance(second);
  end();
  await world.time.advance(30 * minute);
  assert.deepEqual(await world.counts(), { "slow ticks": 1 });
  assert.deepEqual(world.ticks, ["slow", "23:10:00", "23:20:00", "23:30:00"]);
  const { state } = world.crons.find(world.environment, "job") ?? assert.fail();
  assert.partialDeepStrictEqual(state, { succeeded: 4, schedule: "every 10m UTC" });
  assert.deepEqual(world.errors, []);
  await keeper.close();
});

test("a pause while a tick runs holds, and the tick takes effect", async () => {
  for (const fails of [false, true]) {
    const world = await opened();
    let end = (): void => {};
    const running = new Promise<void>((resolve) => (end = resolve));
    await start(
      world,
      "job",
      every("1h", { attempts: 1 }, async (tick) => {
        world.ticks.push(at(tick));
        await world.increment("ticks");
        await running;
        if (fails) throw new Error("not this time");
      }),
    );
    await world.time.advance(47 * minute);
    const job = world.crons.find(world.environment, "job") ?? assert.fail();
    await job.setPaused(true);
    end();
    await world.time.advance(3 * hour);
    assert.deepEqual(world.ticks, ["23:00:00"]);
    assert.deepEqual(await world.counts(), fails ? {} : { ticks: 1 });
    assert.partialDeepStrictEqual(job.state, { isPaused: true, succeeded: fails ? 0 : 1, failed: fails ? 1 : 0 });
  }
});

test("paused, nothing comes; resumed, the next one does and not those between", async () => {
  const world = await opened();
  await start(
    world,
    "job",
    every("10m", { missed: "all" }, (tick) => void world.ticks.push(at(tick))),
  );
  const job = world.crons.find(world.environment, "job") ?? assert.fail();
  await job.setPaused(true);
  await world.time.advance(hour);
  assert.deepEqual(world.ticks, []);
  await job.setPaused(false);
  await world.time.advance(10 * minute);
  assert.deepEqual(world.ticks, ["23:20:00"]);
});

test("run now runs it beside its schedule, once", async () => {
  const world = await opened();
  await start(
    world,
    "job",
    every("1h", async (tick) => {
      world.ticks.push(`${tick.isManual}`);
      await world.increment("ticks");
    }),
  );
  const end = await world.crons.find(world.environment, "job")?.runNow("one");
  assert.equal(end?.kind, "committed");
  assert.deepEqual(world.ticks, ["true"]);
  assert.deepEqual(await world.counts(), { ticks: 1 });
});

test("jitter puts each tick off by less than its bound", async () => {
  const world = await opened();
  await start(
    world,
    "job",
    every("10m", { jitter: "1m" }, () => void world.ticks.push(new Date(world.clock.nowMs()).toISOString())),
  );
  await world.time.advance(3 * hour);
  const delays = world.ticks.map((time) => Date.parse(time) % (10 * minute));
  assert.ok(delays.length >= 17 && delays.every((delay) => delay <= minute), String(delays));
  assert.ok(new Set(delays).size > 10);
});

test("a thousand idle crons cost one timer, no query and no write", async () => {
  let calls = 0;
  const world = await opened({
    wrap: (keyspace) =>
      new Proxy(keyspace, {
        get(target, name) {
          const member: unknown = Reflect.get(target, name);
          if (typeof member !== "function") return member;
          return (...args: unknown[]) => {
            calls += 1;
            return (member as (...all: unknown[]) => unknown).apply(target, args);
          };
        },
      }),
  });
  const job = world.bind(
    "job",
    every("366d", () => {}),
  );
  const owned = await world.own(0);
  for (let n = 0; n < 1000; n++) await world.crons.set({ ...job, functionName: `job${n}` }, owned);
  assert.equal(world.crons.size, 1000);
  calls = 0;
  await world.time.advance(10 * minute);
  assert.equal(calls, 0);
  assert.equal(world.time.size, 1);
});

test("a Lambda function gets the event of EventBridge, a module worker that of its `scheduled`", async () => {
  const world = await opened();
  const payloads: unknown[] = [];
  const owned = await world.own(0);
  const handler = (payload: unknown): void => void payloads.push(payload);
  await world.crons.set(world.bind("handler", handler, "lambda", ["cron", "rate(5 minutes)"]), owned);
  await world.crons.set(world.bind("default", handler, "fetch", ["cron", "0 * * * *"]), owned);
  await world.time.advance(47 * minute);
  assert.partialDeepStrictEqual(payloads[0], {
    version: "0",
    "detail-type": "Scheduled Event",
    source: "aws.events",
    time: "2023-11-14T22:15:00Z",
    detail: {},
  });
  assert.deepEqual(
    payloads.find((payload) => (payload as { cron?: string }).cron !== undefined),
    {
      type: "scheduled",
      cron: "0 * * * *",
      scheduledTime: Date.parse("2023-11-14T23:00:00Z"),
    },
  );
});

test("what is stored of a cron says when it comes next", async () => {
  const world = await opened();
  await start(
    world,
    "job",
    cron("0 3 * * *", { timezone: "Asia/Shanghai" }, () => {}),
  );
  const [entry] = await world.keyspace.get([cronKeys(world.environment, "job", 0).state]);
  assert.equal(jsonOf<CronState>(entry ?? assert.fail()).nextMs, Date.parse("2023-11-15T19:00:00Z"));
});
