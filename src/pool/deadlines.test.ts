/** Deadlines, event loops that block, handlers that do not stop, memory, crashes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../contract/limits.ts";
import { CancelReason, FrameType } from "../wire/frames.ts";
import { TestPool, turns, until } from "./pool.fixture.ts";

const MiB = 1024 * 1024;

test("a handler past its deadline is answered 504 and told to stop, and its instance serves on", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group({ timeoutMs: 1000 });
  const { exchange, guest } = await it.running(group);
  guest.begun(1);
  await it.advance(900);
  assert.equal(exchange.outcome, "");
  await it.advance(100);
  assert.equal(exchange.outcome, "FUNCTION_TIMEOUT");
  assert.deepEqual(guest.cancels, [[1, CancelReason.deadline]]);
  guest.confirm(1);
  await until(() => group.running === 0);
  const next = await it.running(group);
  assert.equal(next.guest, guest);
  assert.equal(exchange.ends, 1);
});

test("a handler that goes on after its abort costs its instance, once the others have finished", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group({ timeoutMs: 1000 });
  const { guest } = await it.running(group);
  const { exchange: slow } = await it.running(group, { deadlineAtMs: it.clock.monotonicMs() + 60_000 });
  guest.begun(1, 2);
  await it.advance(1000 + limits.cancelGraceMs + 200);
  assert.ok(!guest.wasKilled);
  const { guest: other } = await it.running(group);
  assert.notEqual(other, guest);
  guest.answer(2, "slow but well");
  await until(() => slow.outcome === "ok");
  await it.advance(100);
  assert.ok(guest.wasKilled);
  await until(() => group.instances.length === 1);
  assert.equal(group.status().lastError, "");
});

test("an instance that does not answer pings gets no new work: another one starts", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group();
  const { exchange: first, guest: blocked } = await it.running(group);
  blocked.begun(1);
  blocked.habits.answersPings = false;
  await it.advance(400);
  const { exchange, guest } = await it.running(group);
  assert.notEqual(guest, blocked);
  guest.answer(1);
  await until(() => exchange.outcome === "ok");
  // Once it answers again it is as good as any.
  blocked.answer(1);
  blocked.pong();
  await until(() => first.outcome === "ok");
  await turns();
  assert.equal((await it.running(group)).guest, blocked);
});

test("a blocked instance is killed one second past a deadline, and not before", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group({ timeoutMs: 2000 });
  const { exchange, guest } = await it.running(group);
  guest.begun(1);
  guest.habits.answersPings = false;
  await it.advance(2000 + limits.blockedGraceMs);
  assert.equal(exchange.outcome, "FUNCTION_TIMEOUT");
  assert.ok(!guest.wasKilled);
  await it.advance(100);
  assert.ok(guest.wasKilled);
  await until(() => it.logs.some((log) => log.message.includes("blocked its event loop")));
  // Its place has been taken meanwhile.
  assert.equal(group.instances.length, 1);
});

test("after an uncaught exception an instance finishes what it has and is replaced", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group();
  const { exchange: guilty, guest } = await it.running(group);
  const { exchange: innocent } = await it.running(group);
  guest.begun(1, 2);
  guest.fail(1, "boom", "crashed");
  guest.failed("boom", "crashed");
  await until(() => guilty.outcome !== "");
  assert.equal(guilty.outcome, "FUNCTION_CRASHED");
  const { guest: other } = await it.running(group);
  assert.notEqual(other, guest);
  assert.ok(!guest.wasKilled);
  guest.answer(2);
  await until(() => innocent.outcome === "ok" && it.logs.some((log) => log.message.includes("boom")));
  assert.equal(group.status().lastError, "Error: boom");
});

test("what a crashing instance does not finish within ten seconds fails with the crash", async (t) => {
  const it = await TestPool.open(t);
  const { exchange, guest } = await it.running(it.group());
  guest.begun(1);
  guest.failed("boom", "crashed");
  await turns();
  await it.advance(limits.crashDrainMs);
  assert.equal(exchange.outcome, "");
  await it.advance(100);
  await until(() => exchange.outcome !== "");
  assert.equal(exchange.outcome, "FUNCTION_CRASHED");
  assert.match(exchange.error?.message ?? "", /boom/);
});

test("memory over the limit ends the instance and says so, whether it works or idles", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group({ memoryMiB: 128 });
  const { exchange, guest } = await it.running(group);
  guest.begun(1);
  await turns();
  guest.habits.memoryBytes = 129 * MiB;
  await it.advance(200);
  await until(() => exchange.outcome !== "");
  assert.equal(exchange.outcome, "FUNCTION_OUT_OF_MEMORY");
  assert.match(exchange.error?.message ?? "", /128 MiB/);
  const { exchange: fine, guest: idler } = await it.running(group);
  idler.answer(1);
  await until(() => fine.outcome === "ok");
  idler.habits.memoryBytes = 129 * MiB;
  await it.advance(1500);
  assert.ok(idler.wasKilled);
});

test("V8's own end for want of memory is told from other crashes", async (t) => {
  const it = await TestPool.open(t);
  const { exchange, guest } = await it.running(it.group());
  guest.begun(1);
  guest.stderr.write("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n");
  await turns();
  guest.die({ signal: "SIGABRT" });
  await until(() => exchange.outcome !== "");
  assert.equal(exchange.outcome, "FUNCTION_OUT_OF_MEMORY");
});

test("a caller who leaves is told to the instance, which confirms or is drained", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group();
  const { exchange, guest } = await it.running(group);
  guest.begun(1);
  exchange.link?.cancel(exchange);
  await until(() => guest.cancels.length === 1);
  assert.deepEqual(guest.cancels, [[1, CancelReason.callerGone]]);
  guest.head(1, "nobody reads this");
  guest.confirm(1);
  await until(() => group.running === 0);
  assert.deepEqual([exchange.ends, exchange.received], [0, ""]);
});

test("log lines above the rate are dropped and counted", async (t) => {
  const it = await TestPool.open(t);
  const { guest } = await it.running(it.group());
  const tooMany = limits.logLinesBurst + 123;
  for (let line = 0; line < tooMany; line += 1) guest.log(`line ${line}`, 1);
  guest.answer(1);
  await until(() => it.logs.length >= limits.logLinesBurst);
  await turns();
  assert.equal(it.logs.length, limits.logLinesBurst);
  await it.advance(1000);
  guest.log("and on");
  await until(() => it.logs.at(-1)?.message === "and on");
  assert.match(it.logs.at(-2)?.message ?? "", /^123 log lines were dropped/);
});

test("what is printed past the console is logged line by line", async (t) => {
  const it = await TestPool.open(t);
  const { guest } = await it.running(it.group());
  guest.stdout.write("one\ntw");
  guest.stdout.write("o\nrest");
  guest.stderr.write("bad\n");
  guest.die();
  await until(() => it.logs.some((log) => log.message === "rest"));
  const printed = it.logs
    .filter((log) => log.stream !== "platform")
    .map(({ stream, level, message }) => [stream, level, message]);
  assert.deepEqual(printed.toSorted(), [
    ["stderr", "error", "bad"],
    ["stdout", "info", "one"],
    ["stdout", "info", "rest"],
    ["stdout", "info", "two"],
  ]);
});

test("an instance that reads nothing is not read from either, until it has caught up", async (t) => {
  const it = await TestPool.open(t);
  it.reply = Promise.resolve({ ok: true, value: "x".repeat(400_000) });
  const { guest } = await it.running(it.group());
  guest.deaf(true);
  for (let number = 0; number < 40; number += 1) guest.call(1, number, "f");
  guest.log("first", 1);
  await until(() => guest.socket.isPaused());
  guest.log("unheard", 1);
  await turns();
  assert.ok(!it.logs.some((log) => log.message === "unheard"));
  guest.deaf(false);
  await until(() => it.logs.some((log) => log.message === "unheard"));
  await until(() => guest.all(FrameType.reply).filter((frame) => (frame.flags & 4) === 0).length === 40);
});
