/** Instances that do not start, and groups that fail again and again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import { liveOf, TestPool, turns, until } from "./pool.fixture.ts";

test("an import that throws is the answer to whoever waits for it, with the user's own error", async (t) => {
  const it = await TestPool.open(t);
  it.sandbox.habits.imports = false;
  const exchange = it.submit(it.group());
  await until(() => it.guests[0]?.assigned?.mode === "serve");
  it.guest.failed("no such table");
  await until(() => exchange.outcome !== "");
  assert.equal(exchange.outcome, "FUNCTION_START_FAILED");
  assert.match(exchange.error?.message ?? "", /no such table/);
  assert.match(String(exchange.error?.detail?.["stack"]), /main\.ts:1:1/);
});

test("a process that ends while it starts or imports is told from one that ends while it serves", async (t) => {
  const table: [boolean, string, RegExp][] = [
    [false, "SANDBOX_START_FAILED", /exit code 9 while it started/],
    [true, "FUNCTION_START_FAILED", /exit code 9 while the code was imported/],
  ];
  for (const [greets, code, says] of table) {
    const it = await TestPool.open(t);
    Object.assign(it.sandbox.habits, { greets, imports: false });
    const exchange = it.submit(it.group());
    await until(() => it.guests.length === 1 && (!greets || it.guest.assigned !== null));
    await turns();
    it.guest.die({ code: 9 });
    await until(() => exchange.outcome !== "");
    assert.equal(exchange.outcome, code);
    assert.match(exchange.error?.message ?? "", says);
  }
});

test("an import that never ends, and a process that never says hello, are ended after 30 s", async (t) => {
  for (const greets of [true, false]) {
    const it = await TestPool.open(t, { waitForInstanceMs: 60_000 });
    Object.assign(it.sandbox.habits, { greets, imports: false });
    const exchange = it.submit(it.group({ timeoutMs: 60_000 }));
    await until(() => it.guests.length === 1 && (!greets || it.guest.assigned !== null));
    await it.advance(limits.startMs - 200, 1000);
    assert.equal(exchange.outcome, "");
    await it.advance(400);
    await until(() => exchange.outcome !== "");
    assert.equal(exchange.outcome, greets ? "FUNCTION_START_FAILED" : "SANDBOX_START_FAILED");
    assert.match(exchange.error?.message ?? "", /30 s/);
  }
});

test("a group that fails again and again waits ever longer, and says why and when the next try is", async (t) => {
  const it = await TestPool.open(t);
  it.sandbox.habits.imports = false;
  const group = it.group();
  async function failOnce(): Promise<void> {
    const exchange = it.submit(group);
    await until(() => it.sandbox.living[0]?.assigned?.mode === "serve");
    it.guest.failed("no such table");
    await until(() => exchange.outcome !== "");
    assert.equal(exchange.outcome, "FUNCTION_START_FAILED");
    await until(() => group.instances.length === 0);
  }
  await failOnce();
  // The first failure may have been the machine.
  await failOnce();
  for (const waitMs of [1000, 2000, 4000]) {
    const refused = it.submit(group);
    assert.equal(refused.outcome, "FUNCTION_CRASH_LOOP");
    assert.match(refused.error?.message ?? "", /no such table/);
    assert.equal(refused.error?.detail?.["retryAfterSeconds"], waitMs / 1000);
    await it.advance(waitMs);
    await failOnce();
  }
  assert.match(group.status().lastError, /no such table/);
  await it.advance(8000);
  it.sandbox.habits.imports = true;
  const { exchange, guest } = await it.running(group);
  guest.answer(1);
  await until(() => exchange.outcome === "ok");
  assert.equal(group.status().lastError, "");
});

test("crashes while serving back off too, and what waits then is told so", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group({ concurrency: 1, maxInstances: 1 });
  for (const outcome of ["ok", "FUNCTION_CRASH_LOOP"]) {
    await it.advance(100);
    const { exchange, guest } = await it.running(group);
    const waiting = it.submit(group);
    guest.begun(guest.streams.at(-1) ?? 0);
    guest.die();
    await until(() => exchange.outcome === "FUNCTION_CRASHED");
    if (outcome === "ok") {
      await until(() => it.guestOf(waiting) !== undefined);
      // No answer that would make up for the crash.
      it.guestOf(waiting)?.begun(1);
      it.guestOf(waiting)?.fail(1, "threw");
      await until(() => waiting.outcome === "FUNCTION_THREW");
    } else {
      await until(() => waiting.outcome !== "");
      assert.equal(waiting.outcome, outcome);
      assert.equal(waiting.error?.detail?.["retryAfterSeconds"], 1);
    }
  }
});

test("a sandbox that cannot be started is the platform's fault", async (t) => {
  const it = await TestPool.open(t);
  it.sandbox.startError = new AloftError("SANDBOX_START_FAILED", "no more processes");
  const exchange = it.submit(it.group());
  assert.equal(exchange.outcome, "SANDBOX_START_FAILED");
  assert.equal(exchange.error?.fault, "platform");
});

test("prepare resolves when the code is imported, and its instance serves the first request", async (t) => {
  const it = await TestPool.open(t);
  const live = liveOf();
  await it.pool.prepare(live);
  assert.equal(it.guest.assigned?.mode, "serve");
  await it.pool.prepare(live);
  const { guest } = await it.running(it.pool.group(live, "http"));
  assert.equal(it.guests[0], guest);
});

test("prepare fails with the error of the import, and what was prepared in vain is forgotten", async (t) => {
  const it = await TestPool.open(t);
  it.sandbox.habits.imports = false;
  const live = liveOf();
  const prepared = it.pool.prepare(live);
  prepared.catch(() => {});
  await until(() => it.guests[0]?.assigned?.mode === "serve");
  it.guest.failed("broken");
  await assert.rejects(
    prepared,
    (error: AloftError) => error.code === "FUNCTION_START_FAILED" && /broken/.test(error.message),
  );
  it.pool.retire(live);
  await it.advance(300);
  assert.deepEqual([it.pool.runningRevisions().size, it.sandbox.living.length], [0, 0]);
  await until(() => !it.pool.isTimed);
});

test("a deployment abandoned while it is imported ends, and whoever prepared it hears of it", async (t) => {
  const it = await TestPool.open(t);
  it.sandbox.habits.imports = false;
  const live = liveOf();
  const prepared = it.pool.prepare(live);
  prepared.catch(() => {});
  await until(() => it.guests[0]?.assigned?.mode === "serve");
  it.pool.retire(live);
  await assert.rejects(prepared);
  await until(() => it.sandbox.living.length === 0);
});

test("code that sets what Node reads at its start gets a process of its own", async (t) => {
  const it = await TestPool.open(t, { zygotes: 1, zygotesMax: 1 });
  await it.pool.warmed();
  const live = { ...liveOf(), variables: { NODE_OPTIONS: "--no-warnings", KEY: "1" } };
  await it.pool.prepare(live);
  const own = it.guests.find((guest) => guest.assigned !== null);
  assert.notEqual(own, it.guests[0]);
  assert.equal(own?.spec.env["NODE_OPTIONS"], "--no-warnings");
});

test("what an instance may reach is settled before it learns its deployment; where that cannot be kept to the app is told", async (t) => {
  for (const keeps of [true, false]) {
    const it = await TestPool.open(t);
    it.sandbox.keepsNetwork = keeps;
    const live = liveOf();
    const network = ["api.example.com"];
    const group = it.pool.group({ ...live, manifest: { ...live.manifest, network } }, "http");
    it.submit(group);
    await until(() => it.guests[0]?.assigned?.mode === "serve");
    assert.deepEqual(it.guest.network, network);
    const told = it.logs.filter(({ message }) => message.includes("network is not kept to"));
    assert.equal(told.length, keeps ? 0 : 1);
  }
});

test("only so many processes start at once; who waits for one has it in turn, a group's second after others' first", async (t) => {
  const it = await TestPool.open(t);
  it.sandbox.habits.greets = false;
  const atOnce = 2 * it.pool.cores;
  const groups = Array.from({ length: atOnce + 2 }, (_, index) => it.group({ concurrency: 1 }, `app-${index}`));
  for (const group of groups.slice(0, atOnce)) it.submit(group);
  const early = groups[atOnce];
  const late = groups[atOnce + 1];
  assert.ok(early !== undefined && late !== undefined);
  const exchanges = [it.submit(early), it.submit(early), it.submit(late)];
  await turns();
  assert.equal(it.guests.length, atOnce);
  assert.deepEqual([early.instances.length, late.instances.length], [0, 0]);
  it.guests[0]?.hello();
  await until(() => it.guests.length === atOnce + 1);
  assert.deepEqual([early.instances.length, late.instances.length], [1, 0]);
  // One that dies leaves its place as well.
  it.guests[1]?.die({ code: 1 });
  await until(() => it.guests.length === atOnce + 2);
  await turns();
  assert.deepEqual([early.instances.length, late.instances.length], [1, 1]);
  it.sandbox.habits.greets = true;
  for (const guest of it.guests.slice(2)) guest.hello();
  await until(() => exchanges.filter((one) => it.guestOf(one) !== undefined).length === 3);
});

test("a deployment's first import waits in the same line, and a server that stops ends its wait", async (t) => {
  const it = await TestPool.open(t);
  it.sandbox.habits.greets = false;
  const atOnce = 2 * it.pool.cores;
  for (let index = 0; index < atOnce; index += 1) it.submit(it.group({}, `app-${index}`));
  const prepared = it.pool.prepare(liveOf({}, "first"));
  const stopped = it.pool.prepare(liveOf({}, "second"));
  stopped.catch(() => {});
  await it.advance(100);
  assert.equal(it.guests.length, atOnce);
  it.guests[0]?.hello();
  await until(() => it.guests.length === atOnce + 1);
  await turns();
  it.guests.at(-1)?.hello();
  await prepared;
  await it.pool.close(0);
  await assert.rejects(stopped, /stopping/);
});
