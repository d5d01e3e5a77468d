/** An invocation whose handler may have acted is never run again; one whose handler was certainly not called is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CancelReason, Flag, FrameType } from "../wire/frames.ts";
import { TestPool, turns, until } from "./pool.fixture.ts";

test("when an instance dies, what it had not begun runs elsewhere and what it had begun is answered 502", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group();
  const { exchange: begun, guest } = await it.running(group);
  const { exchange: fresh } = await it.running(group);
  guest.begun(1);
  guest.die();
  await until(() => begun.outcome !== "" && it.guests.length === 2 && it.guest.streams.length === 1);
  assert.equal(begun.outcome, "FUNCTION_CRASHED");
  assert.match(begun.error?.message ?? "", /exit code 1/);
  it.guest.answer(1);
  await until(() => fresh.outcome !== "");
  assert.deepEqual([fresh.outcome, fresh.received, fresh.handovers], ["ok", "ok", 2]);
  assert.deepEqual([begun.ends, fresh.ends], [1, 1]);
  assert.equal(group.running, 0);
});

test("an answer that has begun is not given again either, and what came of it was passed on before the end", async (t) => {
  const it = await TestPool.open(t);
  const { exchange, guest } = await it.running(it.group());
  guest.head(1, "first");
  guest.body(1, Buffer.from(", second"));
  guest.die({ signal: "SIGSEGV" });
  await until(() => exchange.outcome !== "");
  assert.deepEqual(
    [exchange.received, exchange.isComplete, exchange.outcome],
    ["first, second", false, "FUNCTION_CRASHED"],
  );
  assert.match(exchange.error?.message ?? "", /SIGSEGV/);
});

test("an answer written in the moment before death counts", async (t) => {
  const it = await TestPool.open(t);
  const { exchange, guest } = await it.running(it.group());
  guest.begun(1);
  guest.answer(1, "just in time");
  guest.die();
  await until(() => exchange.outcome !== "");
  assert.deepEqual([exchange.outcome, exchange.received], ["ok", "just in time"]);
});

test("begun is read even when the node writes to the instance after its death", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group();
  const { exchange: begun, guest } = await it.running(group);
  guest.begun(1);
  guest.closeSocket();
  // In this very turn: nothing of what the guest wrote has been read, and the other end is closed.
  // Texts that fill the writer's buffer are written at once.
  const more = ["a", "b", "c"].map((letter) => it.submit(group, { text: letter.repeat(60_000) }));
  guest.die();
  await until(() => begun.outcome !== "");
  assert.equal(begun.outcome, "FUNCTION_CRASHED");
  await until(() => it.sandbox.living[0]?.streams.length === 3);
  assert.equal(begun.handovers, 1);
  for (const stream of it.guest.streams) it.guest.answer(stream);
  await until(() => more.every((one) => one.outcome === "ok"));
});

test("an invocation is handed to three instances at the most", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group();
  const exchange = it.submit(group);
  const other = it.group({}, "other");
  for (let time = 1; time <= 3; time += 1) {
    await until(() => it.guestOf(exchange)?.hasEnded === false);
    // An answer in between keeps the back-off away.
    const answered = it.submit(group);
    const guest = it.guestOf(exchange);
    await until(() => guest?.streams.length === 2);
    guest?.begun(2);
    guest?.answer(2);
    await until(() => answered.outcome === "ok");
    guest?.die();
  }
  await until(() => exchange.outcome !== "");
  assert.deepEqual([exchange.outcome, exchange.handovers], ["FUNCTION_CRASHED", 3]);
  assert.equal(other.instances.length, 0);
});

test("a request whose body was streaming is not given to another instance", async (t) => {
  const it = await TestPool.open(t);
  const { exchange, guest } = await it.running(it.group(), { isBodyComplete: false });
  guest.die();
  await until(() => exchange.outcome !== "");
  assert.equal(exchange.outcome, "FUNCTION_CRASHED");
});

test("a caller who leaves while the invocation waits for its next instance is not run", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group({ maxInstances: 1 });
  const { exchange, guest } = await it.running(group);
  const { exchange: other } = await it.running(group);
  it.sandbox.habits.imports = false;
  guest.die();
  await until(() => it.sandbox.living[0]?.assigned !== undefined && it.sandbox.living[0]?.assigned !== null);
  exchange.link?.cancel(exchange);
  it.guest.ready();
  await until(() => it.guest.streams.length > 0);
  await turns();
  assert.deepEqual(
    it.guest.streams.map((stream) => it.guest.textOf(stream)),
    [other.text],
  );
});

test("what a blocked instance has not begun is asked back and runs where there is room", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group({ concurrency: 2, maxInstances: 2 });
  const { exchange: blocking, guest: blocked } = await it.running(group);
  blocked.begun(1);
  blocked.habits.answersPings = false;
  const { exchange: fresh } = await it.running(group);
  const { exchange: elsewhere, guest: other } = await it.running(group);
  assert.notEqual(other, blocked);
  await it.advance(400);
  assert.deepEqual(blocked.cancels, [[2, CancelReason.takenBack]]);
  assert.equal(fresh.handovers, 1);
  // The loop turns again: it had not begun, so it gives it back.
  blocked.confirm(2);
  await until(() => fresh.handovers === 2 && other.streams.length === 2);
  other.answer(1);
  other.answer(2);
  blocked.answer(1);
  await until(() => [blocking, fresh, elsewhere].every((one) => one.outcome === "ok"));
  assert.equal(group.running, 0);
});

test("what begins after it was asked back stays where it is", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group({ concurrency: 2, maxInstances: 2 });
  const { guest: blocked } = await it.running(group);
  blocked.begun(1);
  blocked.habits.answersPings = false;
  const { exchange: fresh } = await it.running(group);
  await it.running(group);
  await it.advance(400);
  blocked.begun(2);
  blocked.raw(FrameType.head, Flag.end | Flag.done, 2, Buffer.from([200, 0, 0, 0, 0, 0]));
  await until(() => fresh.outcome !== "");
  assert.deepEqual([fresh.outcome, fresh.handovers], ["ok", 1]);
});

test("nothing that a dead instance had is run again when what it wrote could not be read", async (t) => {
  const it = await TestPool.open(t);
  const { exchange, guest } = await it.running(it.group());
  // Whatever follows bytes that are no frame has no meaning, a begun among it.
  guest.garbage(Buffer.alloc(12, 255));
  await until(() => exchange.outcome !== "");
  assert.deepEqual([exchange.outcome, exchange.handovers], ["WIRE_VIOLATION", 1]);
});

test("a mark says the same as frames: all up to that stream may have acted, what came after has not", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group();
  const { exchange: first, guest } = await it.running(group);
  const { exchange: second } = await it.running(group);
  const { exchange: third } = await it.running(group);
  guest.begunMark = second.stream;
  guest.die();
  await until(() => first.outcome !== "" && second.outcome !== "" && it.guest.streams.length === 1);
  assert.deepEqual([first.outcome, second.outcome], ["FUNCTION_CRASHED", "FUNCTION_CRASHED"]);
  it.guest.answer(1);
  await until(() => third.outcome !== "");
  assert.deepEqual([third.outcome, third.handovers], ["ok", 2]);
});

test("a mark that was never written says that nothing has begun", async (t) => {
  const it = await TestPool.open(t);
  const { exchange, guest } = await it.running(it.group());
  guest.begunMark = 0;
  guest.die();
  await until(() => it.guests.length === 2 && it.guest.streams.length === 1);
  it.guest.answer(1);
  await until(() => exchange.outcome !== "");
  assert.equal(exchange.outcome, "ok");
});
