/** How many instances there are: on arrival, by load, at the least and at the most, within memory, and at the end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../contract/limits.ts";
import { FrameType } from "../wire/frames.ts";
import { liveOf, TestPool, turns, until } from "./pool.fixture.ts";

const MiB = 1024 * 1024;

test("a sleeping group starts an instance on the first request, and more on arrival where one takes one", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group({ concurrency: 1 });
  const five = [1, 2, 3, 4, 5].map(() => it.submit(group));
  await until(() => it.guests.length === 5 && five.every((one) => one.link !== null));
  assert.ok(five.every((one) => one.coldUs >= 0));
  for (const guest of it.guests) guest.answer(1);
  await until(() => five.every((one) => one.outcome === "ok"));
});

test("requests that keep an instance's places full get further instances by the tick", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group({ concurrency: 10 });
  for (let request = 0; request < 40; request += 1) it.submit(group);
  await until(() => group.running > 0);
  // 40 at once over 0.7 x 10 places.
  await it.advance(1000);
  assert.equal(group.instances.length, 6);
  assert.deepEqual([group.running, group.waiting], [40, 0]);
});

test("an idle group ends after its keep-alive, and then no timer runs", async (t) => {
  const it = await TestPool.open(t);
  assert.ok(!it.pool.isTimed);
  const group = it.group({ keepAliveMs: 5000 });
  const { exchange, guest } = await it.running(group);
  assert.ok(it.pool.isTimed);
  guest.answer(1);
  await until(() => exchange.outcome === "ok");
  await it.advance(4800);
  assert.equal(group.instances.length, 1);
  await it.advance(500);
  assert.ok(guest.wasKilled);
  await until(() => group.instances.length === 0);
  await it.advance(300);
  assert.equal(it.pool.status().groups.length, 0);
  await until(() => !it.pool.isTimed);
});

test("instances kept at the least start when a deployment goes live, stay, and come back when they die", async (t) => {
  const it = await TestPool.open(t);
  const live = liveOf({ minInstances: 2, keepAliveMs: 0 });
  it.pool.keepMinimum(live);
  await it.advance(300);
  const group = it.pool.group(live, "http");
  await until(() => group.status().ready === 2);
  await it.advance(5 * 60_000, 60_000);
  assert.equal(it.sandbox.living.length, 2);
  it.sandbox.living[0]?.die();
  await until(() => group.instances.length === 1);
  await it.advance(300);
  await until(() => group.status().ready === 2);
  // One that dies again and again waits longer each time.
  const starts = it.guests.length;
  it.sandbox.habits.imports = false;
  for (let time = 0; time < 3; time += 1) {
    it.sandbox.living[0]?.die();
    await until(() => group.instances.length === 1);
    await it.advance(250);
    await turns();
  }
  assert.ok(it.guests.length - starts <= 2, `${it.guests.length - starts} starts`);
});

test("never more than the most, and what cannot be served in time is told so", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group({ concurrency: 1, maxInstances: 2, timeoutMs: 60_000 });
  const busy = [await it.running(group), await it.running(group)];
  const late = it.submit(group);
  const patient = it.submit(group, { deadlineAtMs: it.clock.monotonicMs() + 3000 });
  await it.advance(3000);
  assert.equal(patient.outcome, "FUNCTION_TIMEOUT");
  await it.advance(6900);
  assert.deepEqual([late.outcome, it.guests.length], ["", 2]);
  await it.advance(200);
  assert.equal(late.outcome, "NO_INSTANCE");
  assert.match(late.error?.message ?? "", /all 2 are busy with 1 requests each/);
  for (const { guest } of busy) guest.answer(1);
  await until(() => busy.every(({ exchange }) => exchange.outcome === "ok"));
  assert.deepEqual([group.running, group.waiting], [0, 0]);
});

test("so many requests may wait and no more", async (t) => {
  const it = await TestPool.open(t);
  it.sandbox.habits.greets = false;
  const group = it.group({ maxInstances: 1 });
  const waiting = Array.from({ length: limits.waitersPerGroup }, () => it.submit(group));
  const tooMany = it.submit(group);
  assert.equal(tooMany.outcome, "NO_INSTANCE");
  assert.match(tooMany.error?.message ?? "", /10000 requests already wait/);
  assert.ok(waiting.every((one) => one.outcome === ""));
});

test("a request that its caller gave up while it waited is not run", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group({ concurrency: 1, maxInstances: 1 });
  const { exchange, guest } = await it.running(group);
  const given = it.submit(group);
  const next = it.submit(group);
  given.isSettled = true;
  guest.answer(1);
  await until(() => exchange.outcome === "ok" && guest.streams.length === 2);
  assert.equal(guest.textOf(2), next.text);
  assert.equal(given.handovers, 0);
});

test("when memory runs out the least recently used idle instance ends for the new one", async (t) => {
  const it = await TestPool.open(t, { memoryBudgetBytes: 100 * MiB });
  it.sandbox.habits.memoryBytes = 30 * MiB;
  for (const app of ["first", "second", "third"]) {
    const { exchange, guest } = await it.running(it.group({}, app));
    guest.answer(1);
    await until(() => exchange.outcome === "ok");
    await it.advance(1100);
  }
  const [first, second, third] = it.guests;
  await it.running(it.group({}, "fourth"));
  await until(() => it.sandbox.living.length === 3);
  assert.deepEqual([first?.wasKilled, second?.wasKilled, third?.wasKilled], [true, false, false]);
});

test("with memory full of work a request waits, and is told why in the end", async (t) => {
  const it = await TestPool.open(t, { memoryBudgetBytes: 60 * MiB });
  it.sandbox.habits.memoryBytes = 40 * MiB;
  const { guest } = await it.running(it.group({ timeoutMs: 60_000 }, "busy"));
  guest.begun(1);
  const exchange = it.submit(it.group({ timeoutMs: 60_000 }, "other"));
  await it.advance(10_100);
  assert.equal(exchange.outcome, "NO_INSTANCE");
  assert.equal(it.guests.length, 1);
});

test("instances that grow while they run push idle ones out", async (t) => {
  const it = await TestPool.open(t, { memoryBudgetBytes: 100 * MiB });
  const { exchange, guest: idle } = await it.running(it.group({}, "idle"));
  idle.answer(1);
  await until(() => exchange.outcome === "ok");
  const { guest } = await it.running(it.group({}, "grows"));
  guest.habits.memoryBytes = 90 * MiB;
  await it.advance(400);
  assert.deepEqual([idle.wasKilled, guest.wasKilled], [true, false]);
});

test("a retired deployment serves what runs and waits, then ends", async (t) => {
  const it = await TestPool.open(t);
  const old = it.group({ concurrency: 1, maxInstances: 1 });
  const { exchange: running, guest } = await it.running(old);
  const waiting = it.submit(old);
  it.pool.retireAllBut("app", "production", "app/2/production/0");
  guest.answer(1);
  await until(() => running.outcome === "ok" && guest.streams.length === 2);
  assert.ok(it.pool.runningRevisions().has("app/1/production/0"));
  guest.answer(2);
  await until(() => waiting.outcome === "ok" && guest.hasEnded);
  assert.ok(guest.all(FrameType.drain).length > 0 || guest.wasKilled);
  await until(() => old.instances.length === 0);
  await it.advance(300);
  assert.equal(it.pool.runningRevisions().size, 0);
  await until(() => !it.pool.isTimed);
});

test("a rollback to a deployment that still drains gets instances that stay", async (t) => {
  const it = await TestPool.open(t);
  const { guest: old } = await it.running(it.group());
  it.pool.retireAllBut("app", "production", "app/2/production/0");
  it.pool.retireAllBut("app", "production", "app/1/production/0");
  const { exchange, guest } = await it.running(it.group());
  assert.notEqual(guest, old);
  guest.answer(1);
  await until(() => exchange.outcome === "ok");
  await it.advance(1000);
  assert.deepEqual([guest.hasEnded, it.sandbox.living.length], [false, 2]);
});

test("a request that was routed before another deployment went live is still served, by an instance that then ends", async (t) => {
  const it = await TestPool.open(t);
  it.pool.retireAllBut("app", "production", "app/2/production/0");
  const { exchange, guest } = await it.running(it.group({ minInstances: 1 }));
  guest.answer(1);
  await until(() => exchange.outcome === "ok" && guest.hasEnded);
  await turns();
  await it.advance(600);
  assert.equal(it.sandbox.living.length, 0);
  await until(() => !it.pool.isTimed);
});

test("close lets work finish, answers what does not, and leaves neither process nor timer", async (t) => {
  const it = await TestPool.open(t, { zygotes: 1, zygotesMax: 1 });
  await it.pool.warmed();
  const { exchange: quick, guest } = await it.running(it.group());
  const { exchange: endless } = await it.running(it.group());
  it.sandbox.habits.imports = false;
  const describing = it.pool.describe({ app: "x", root: "/", entry: "main.js", variableNames: [] });
  describing.catch(() => {});
  const closed = it.pool.close(5000);
  const again = it.pool.close(5000);
  guest.answer(1);
  await until(() => quick.outcome === "ok");
  const late = it.submit(it.group({}, "late"));
  assert.equal(late.outcome, "SHUTTING_DOWN");
  it.clock.advance(6000);
  await Promise.all([closed, again]);
  assert.equal(endless.outcome, "SHUTTING_DOWN");
  await assert.rejects(describing, /stopping/);
  assert.deepEqual([it.sandbox.living.length, it.pool.isTimed], [0, false]);
  await assert.rejects(it.pool.describe({ app: "x", root: "/", entry: "main.js", variableNames: [] }), /stopping/);
});
