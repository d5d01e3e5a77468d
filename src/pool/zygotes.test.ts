import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { AloftError } from "../contract/errors.ts";
import { ManualClock } from "../lib/clock.ts";
import { FrameType } from "../wire/frames.ts";
import type { Assign } from "../wire/messages.ts";
import type { Instance, InstanceOwner } from "./instance.ts";
import { turns, until } from "./pool.fixture.ts";
import { type ScriptedGuest, ScriptedSandbox } from "./scripted-sandbox.fixture.ts";
import { Zygotes, type ZygotesOptions } from "./zygotes.ts";

const MiB = 1024 * 1024;

/** Takes a zygote as a group would: its code is imported at once, unless told otherwise. */
class Taker implements InstanceOwner {
  imports = true;
  instanceHello(instance: Instance): void {
    this.assign(instance);
  }
  assign(instance: Instance): void {
    const functions = [{ name: "f", timeoutMs: 1000 }];
    const assign: Assign = {
      mode: "serve",
      app: "app",
      alias: "production",
      deployment: "1",
      root: "/",
      entry: "main.js",
      functions,
      lambda: null,
      variables: {},
      memoryMiB: instance.memoryMiB,
    };
    instance.assign(assign, "internet");
  }
  instanceReady(): void {}
  instanceFreed(): void {}
  instanceLogged(): void {}
  async instanceCalled(): Promise<{ ok: true; value: null }> {
    return { ok: true, value: null };
  }
  instanceGone(): void {}
}

async function open(t: Pick<TestContext, "after">, over: Partial<ZygotesOptions> = {}) {
  const sandbox = await ScriptedSandbox.open();
  const clock = new ManualClock();
  clock.advance(1_000_000);
  const warnings: string[] = [];
  let ids = 0;
  const zygotes = new Zygotes({
    sandbox,
    program: {
      node: "/node",
      entry: "/guest",
      companion: "/companion",
      python: () => ({ executable: "/python3", guest: "/guest/main.py", paths: [], home: "/usr", version: "3.9.0" }),
    },
    kind: "node",
    clock,
    newId: () => String((ids += 1)),
    least: () => 2,
    most: 8,
    cores: 2,
    budgetBytes: () => 4096 * MiB,
    onWarning: (message) => warnings.push(message),
    ...over,
  });
  t.after(async () => {
    zygotes.close();
    await sandbox.close();
  });
  const taker = new Taker();
  /** As a cold start does: whether a ready one was found. */
  function take(memoryMiB = 256): boolean {
    const instance = zygotes.take(memoryMiB, taker);
    const wasReady = instance.state === "zygote";
    if (wasReady) taker.assign(instance);
    return wasReady;
  }
  async function advance(ms: number, stepMs = 20): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      clock.advance(Math.min(left, stepMs));
      zygotes.tick();
      await turns();
    }
  }
  const waiting = (memoryMiB = 256): number =>
    sandbox.living.filter((one) => one.assigned === null && one.spec.memoryMiB === memoryMiB).length;
  zygotes.open();
  return { sandbox, clock, zygotes, warnings, take, advance, waiting, isGreeted: new Set<ScriptedGuest>() };
}

test("the minimum waits ready from the start, counts as memory, and then no timer runs", async (t) => {
  const it = await open(t);
  await it.zygotes.filled();
  assert.deepEqual([it.zygotes.readyCount, it.zygotes.memoryBytes], [2, 32 * MiB]);
  await until(() => !it.zygotes.isTimed);
});

test("they are started in the background, until they have prepared all they can", async (t) => {
  const it = await open(t);
  await it.zygotes.filled();
  const [first, second] = it.sandbox.guests;
  first?.raw(FrameType.warmed, 0, 0, Buffer.alloc(0));
  await until(() => first?.priority === "normal");
  assert.equal(second?.priority, "background");
});

test("a start at the lowest priority is hurried when it is needed", async (t) => {
  const it = await open(t);
  assert.ok(it.sandbox.guests.every((guest) => guest.priority === "background"));
  assert.equal(it.take(), false);
  assert.equal(it.sandbox.guests[0]?.priority, "normal");
  assert.equal(it.sandbox.guests.length, 2);
});

test("two hundred cold starts 100 ms apart find one ready each time, with at most eight waiting", async (t) => {
  const it = await open(t, { least: () => 8 });
  await it.zygotes.filled();
  // Two cores make two in 150 ms.
  for (const guest of it.sandbox.guests) it.isGreeted.add(guest);
  it.sandbox.habits.greets = false;
  let missed = 0;
  const startedAt = new Map<string, number>();
  for (let app = 0; app < 200; app += 1) {
    if (!it.take()) missed += 1;
    for (let step = 0; step < 5; step += 1) {
      await it.advance(20);
      const now = it.clock.monotonicMs();
      for (const guest of it.sandbox.living) {
        if (guest.assigned !== null || it.isGreeted.has(guest)) continue;
        if (!startedAt.has(guest.id)) startedAt.set(guest.id, now);
        if (now - (startedAt.get(guest.id) ?? now) < 150) continue;
        it.isGreeted.add(guest);
        guest.hello();
      }
      await turns();
    }
    assert.ok(it.waiting() <= 8);
  }
  assert.equal(missed, 0);
});

test("a burst of twenty finds twenty, and the refill waits until the burst is served", async (t) => {
  const it = await open(t, { least: () => 20, most: 20 });
  await it.zygotes.filled();
  it.sandbox.habits.imports = false;
  const before = it.sandbox.guests.length;
  for (let app = 0; app < 20; app += 1) assert.ok(it.take());
  it.zygotes.tick();
  assert.equal(it.sandbox.guests.length, before);
  await until(() => it.sandbox.guests.every((guest) => guest.hasEnded || guest.assigned !== null));
  await it.advance(20);
  await it.advance(20);
  assert.ok(it.sandbox.guests.length > before);
  await it.zygotes.filled();
  assert.equal(it.zygotes.readyCount, 20);
});

test("the stock follows demand by memory class, within the most, and forgets it after ten minutes", async (t) => {
  const it = await open(t);
  await it.zygotes.filled();
  for (let app = 0; app < 5; app += 1) it.take(512);
  for (let app = 0; app < 3; app += 1) it.take();
  await it.advance(600);
  await it.zygotes.filled();
  assert.deepEqual([it.waiting(), it.waiting(512)], [3, 5]);
  await it.advance(11 * 60_000, 60_000);
  await until(() => it.waiting() === 2 && it.waiting(512) === 0);
  assert.equal(it.zygotes.readyCount, 2);
});

test("memory that others need is given back, and taken again", async (t) => {
  let budgetBytes = 100 * MiB;
  const it = await open(t, { least: () => 4, budgetBytes: () => budgetBytes });
  await it.zygotes.filled();
  assert.equal(it.zygotes.readyCount, 4);
  budgetBytes = 20 * MiB;
  it.zygotes.tick();
  assert.equal(it.zygotes.readyCount, 1);
  assert.equal(it.zygotes.memoryBytes, 16 * MiB);
  budgetBytes = 100 * MiB;
  await it.advance(100);
  await it.zygotes.filled();
  assert.equal(it.zygotes.readyCount, 4);
  assert.deepEqual(it.warnings, []);
});

test("processes that die while they wait are replaced ever more rarely", async (t) => {
  const it = await open(t, { least: () => 1 });
  await it.zygotes.filled();
  const startsAfter: number[] = [];
  for (let death = 0; death < 4; death += 1) {
    const started = it.sandbox.guests.length;
    it.sandbox.living[0]?.die();
    await until(() => it.warnings.length === death + 1);
    let waitedMs = 0;
    while (it.sandbox.guests.length === started) {
      await it.advance(100, 100);
      waitedMs += 100;
    }
    startsAfter.push(waitedMs);
    await until(() => it.zygotes.readyCount === 1);
  }
  // The first one is replaced at once; real timers only ask whether the time has come.
  assert.ok((startsAfter[0] ?? 0) <= 300, startsAfter.join(", "));
  assert.deepEqual(startsAfter.slice(1), [1000, 2000, 4000]);
  assert.match(it.warnings[0] ?? "", /exit code 1 while it started/);
});

test("a sandbox that starts nothing is tried ever more rarely, and nobody waits for it", async (t) => {
  const it = await open(t, { least: () => 0 });
  it.sandbox.startError = new AloftError("SANDBOX_START_FAILED", "no more processes");
  assert.throws(() => it.take(), /no more processes/);
  await it.advance(5000, 100);
  const tries = it.warnings.length;
  assert.ok(tries >= 2 && tries <= 5, `${tries} tries`);
  await it.zygotes.filled();
});

test("one that never says hello is ended", async (t) => {
  const sandbox = await ScriptedSandbox.open();
  sandbox.habits.greets = false;
  const it = await open(t, { sandbox, least: () => 1 });
  await it.advance(61_000, 10_000);
  await until(() => it.warnings.length === 1);
  assert.ok(sandbox.guests[0]?.hasEnded);
  it.zygotes.close();
  await sandbox.close();
});

test("close ends what waits, starts nothing more and leaves no timer", async (t) => {
  const it = await open(t);
  await it.zygotes.filled();
  it.take();
  it.zygotes.close();
  await until(() => it.waiting() === 0);
  await it.advance(1000, 100);
  assert.deepEqual([it.sandbox.guests.length, it.zygotes.isTimed, it.warnings.length], [2, false, 0]);
});
