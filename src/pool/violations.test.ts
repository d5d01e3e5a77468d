/** User code can write any byte on its instance's socket. What breaks the protocol ends that instance and nothing else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../contract/limits.ts";
import { Flag, FrameType, payloadBytesMax, streamWindowBytes } from "../wire/frames.ts";
import { TestPool, turns, until } from "./pool.fixture.ts";
import type { ScriptedGuest } from "./scripted-sandbox.fixture.ts";

const none = Buffer.alloc(0);
const head = Buffer.from([200, 0, 0, 0, 0, 0]);
const more = Buffer.alloc(payloadBytesMax);

function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, index * 4);
  return bytes;
}

function frameHead(payloadBytes: number, type: number, flags: number, reserved: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32LE(payloadBytes);
  bytes.set([type, flags], 4);
  bytes.writeUInt16LE(reserved, 6);
  return bytes;
}

/** Stream 1 is open and has begun; stream 2 has a head already; stream 3 is open and uploads. */
const violations: [string, RegExp, (guest: ScriptedGuest) => void][] = [
  ["a frame that is too long", /over the limit/, (guest) => guest.garbage(frameHead(payloadBytesMax + 1, 12, 0, 0))],
  ["a type that there is not", /not a frame type/, (guest) => guest.garbage(frameHead(0, 20, 0, 0))],
  ["type 0", /not a frame type/, (guest) => guest.garbage(frameHead(0, 0, 0, 0))],
  ["a reserved flag", /reserved/, (guest) => guest.garbage(frameHead(0, 12, 8, 0))],
  ["reserved bits", /reserved/, (guest) => guest.garbage(frameHead(0, 12, 0, 1))],
  ["a frame that only the node sends", /does not send/, (guest) => guest.raw(FrameType.invoke, 0, 1, none)],
  ["a second hello", /second hello/, (guest) => guest.hello()],
  ["ready without an assignment", /assignment/, (guest) => guest.ready()],
  ["a head for a stream that is not open", /stream 9 is not open/, (guest) => guest.answer(9)],
  ["begun for a stream that is not open", /stream 9 is not open/, (guest) => guest.begun(1, 9)],
  ["a body for a stream that is not open", /stream 9 is not open/, (guest) => guest.body(9, none)],
  ["an outcome for a stream that is not open", /stream 9 is not open/, (guest) => guest.fail(9, "no")],
  [
    "credit for a stream that is not open",
    /stream 9 is not open/,
    (guest) => guest.raw(FrameType.credit, 0, 9, u32(1)),
  ],
  ["a call in the name of a stream that never was", /stream 9 is not open/, (guest) => guest.call(9, 1, "f")],
  ["a log in the name of a stream that never was", /stream 9 is not open/, (guest) => guest.log("me", 9)],
  ["begun on a stream", /names stream 1/, (guest) => guest.raw(FrameType.begun, 0, 1, u32(1))],
  ["begun that is cut", /begun frame is cut/, (guest) => guest.raw(FrameType.begun, 0, 0, Buffer.alloc(5))],
  ["a pong on a stream", /names stream 1/, (guest) => guest.raw(FrameType.pong, 0, 1, Buffer.alloc(24))],
  ["a pong that is too short", /24 bytes/, (guest) => guest.raw(FrameType.pong, 0, 0, Buffer.alloc(3))],
  ["credit that is too short", /4 bytes/, (guest) => guest.raw(FrameType.credit, 0, 3, Buffer.alloc(3))],
  ["a head that is too short", /too short/, (guest) => guest.raw(FrameType.head, 0, 1, Buffer.alloc(2))],
  [
    "a head that says it is longer",
    /longer/,
    (guest) => guest.raw(FrameType.head, 0, 1, Buffer.from([200, 0, 9, 0, 0, 0])),
  ],
  ["a log that is too short", /too short/, (guest) => guest.raw(FrameType.log, 0, 0, Buffer.alloc(4))],
  ["a second head", /second head/, (guest) => guest.raw(FrameType.head, 0, 2, head)],
  ["a body before its head", /before the head/, (guest) => guest.body(1, none)],
  ["a reset before a head", /reset/, (guest) => guest.raw(FrameType.reset, 0, 1, none)],
  [
    "done before the answer is complete",
    /without an answer/,
    (guest) => guest.raw(FrameType.outcome, Flag.done, 2, none),
  ],
  [
    "a body after its end",
    /after the end/,
    (guest) => {
      guest.body(2, none, Flag.end);
      guest.body(2, none);
    },
  ],
  [
    "a body after its reset",
    /after the end/,
    (guest) => {
      guest.raw(FrameType.reset, 0, 2, none);
      guest.body(2, none);
    },
  ],
  [
    "an answer of one that has ended",
    /stream 2 is not open/,
    (guest) => {
      guest.body(2, none, Flag.end | Flag.done);
      guest.raw(FrameType.outcome, Flag.done, 2, none);
    },
  ],
  [
    "more body than there is room for",
    /credit/,
    (guest) => {
      for (let bytes = 0; bytes <= streamWindowBytes; bytes += more.length) guest.body(2, more);
    },
  ],
  ["more credit than was used", /credit/, (guest) => guest.raw(FrameType.credit, 0, 3, u32(1))],
  ["credit for a body that was complete", /credit/, (guest) => guest.raw(FrameType.credit, 0, 1, u32(1))],
  ["an outcome that is not JSON", /not JSON/, (guest) => guest.raw(FrameType.outcome, 0, 1, Buffer.from("{"))],
  ["an outcome that is no object", /not an object/, (guest) => guest.raw(FrameType.outcome, 0, 1, Buffer.from("null"))],
  ["an outcome of no known kind", /no known kind/, (guest) => guest.raw(FrameType.outcome, 0, 1, Buffer.from("{}"))],
  ["a failure that is not JSON", /not JSON/, (guest) => guest.raw(FrameType.failed, 0, 0, Buffer.from("{"))],
  ["a call that is too short", /too short/, (guest) => guest.raw(FrameType.call, 0, 1, none)],
  ["a call that is not JSON", /not JSON/, (guest) => guest.raw(FrameType.call, 0, 1, u32(1, 1))],
  ["a call that there is not", /not one of/, (guest) => guest.raw(FrameType.call, 0, 1, Buffer.from("....null"))],
  [
    "a call inside another one",
    /inside/,
    (guest) => {
      guest.raw(FrameType.call, Flag.more, 1, more);
      guest.raw(FrameType.call, Flag.more, 2, more);
    },
  ],
  [
    "too many calls",
    /256 calls/,
    (guest) => {
      for (let number = 0; number <= limits.callsOpenPerInstance; number += 1) guest.call(1, number, "f");
    },
  ],
  [
    "too many calls that wait",
    /2000 waiting calls/,
    (guest) => {
      for (let number = 0; number <= limits.callsWaitingPerInstance; number += 1) guest.watch(1, number);
    },
  ],
  [
    "a call that is too long",
    /over the limit/,
    (guest) => {
      for (let bytes = 0; bytes <= limits.payloadBytes + 64 * 1024; bytes += more.length) {
        guest.raw(FrameType.call, Flag.more, 1, more);
      }
    },
  ],
];

for (const [name, says, violate] of violations) {
  test(`${name} ends the instance with WIRE_VIOLATION, and no other`, async (t) => {
    const it = await TestPool.open(t);
    it.reply = new Promise(() => {});
    const group = it.group();
    const begun = await it.running(group);
    const { guest } = begun;
    guest.begun(1);
    const streaming = await it.running(group);
    guest.head(2);
    const uploading = await it.running(group, { isBodyComplete: false });
    const neighbour = await it.running(it.group({}, "neighbour"));
    violate(guest);
    await until(() => guest.hasEnded && begun.exchange.outcome !== "");
    assert.deepEqual([begun.exchange.outcome, uploading.exchange.outcome], ["WIRE_VIOLATION", "WIRE_VIOLATION"]);
    assert.match(begun.exchange.error?.message ?? "", says);
    assert.ok(streaming.exchange.ends <= 1);
    neighbour.guest.answer(1);
    await until(() => neighbour.exchange.outcome === "ok");
    assert.equal(group.running, 0);
    // The group goes on in a new instance.
    const next = await it.running(group);
    assert.notEqual(next.guest, guest);
  });
}

test("a hello that is none ends a process before it gets any code", async (t) => {
  for (const text of ["null", "{}", '{"protocol":2}', "1", "["]) {
    const it = await TestPool.open(t);
    it.sandbox.habits.greets = false;
    const exchange = it.submit(it.group());
    await until(() => it.guests.length === 1);
    await turns();
    it.guest.raw(FrameType.hello, 0, 0, Buffer.from(text));
    await until(() => exchange.outcome !== "");
    assert.equal(exchange.outcome, "WIRE_VIOLATION", text);
  }
});

test("a description over 1 MiB ends the process that sends it", async (t) => {
  const it = await TestPool.open(t);
  it.sandbox.habits.imports = false;
  const exchange = it.submit(it.group());
  await until(() => it.guests[0]?.assigned !== null && it.guests[0] !== undefined);
  it.guest.ready("x".repeat(limits.describeBytes));
  await until(() => exchange.outcome !== "");
  assert.equal(exchange.outcome, "WIRE_VIOLATION");
});

test("nothing that follows a violation is believed", async (t) => {
  const it = await TestPool.open(t);
  it.sandbox.habits.diesWhenKilled = false;
  const { exchange, guest } = await it.running(it.group());
  guest.begun(1);
  guest.garbage(frameHead(0, 0, 0, 0));
  await until(() => guest.wasKilled);
  guest.answer(1, "never mind");
  await turns();
  assert.equal(exchange.received, "");
  guest.die();
  await until(() => exchange.outcome !== "");
  assert.equal(exchange.outcome, "WIRE_VIOLATION");
});

test("an instance that lives on without its socket is ended", async (t) => {
  const it = await TestPool.open(t);
  const { exchange, guest } = await it.running(it.group());
  guest.begun(1);
  await turns();
  guest.closeSocket();
  await until(() => exchange.outcome !== "");
  assert.equal(exchange.outcome, "WIRE_VIOLATION");
  assert.ok(guest.wasKilled);
});

test("a call in the name of an invocation that has ended is refused, and costs nothing else", async (t) => {
  const it = await TestPool.open(t);
  const group = it.group();
  const { exchange, guest } = await it.running(group);
  guest.answer(1);
  guest.call(1, 7, "later");
  guest.log("later", 1);
  await until(() => guest.all(FrameType.reply).length === 1);
  const reply = guest.all(FrameType.reply)[0]?.payload ?? none;
  assert.equal(reply.readUInt32LE(), 7);
  assert.match(reply.toString("utf8", 4), /"INVOCATION_ENDED"/);
  assert.equal(exchange.outcome, "ok");
  assert.deepEqual([it.logs[0]?.message, it.logs[0]?.exchange], ["later", null]);
  assert.equal(group.instances.length, 1);
});

test("calls that wait leave room for others", async (t) => {
  const it = await TestPool.open(t);
  it.reply = new Promise(() => {});
  const { exchange, guest } = await it.running(it.group());
  for (let number = 0; number < limits.callsWaitingPerInstance; number += 1) guest.watch(1, number);
  await until(() => it.calls === limits.callsWaitingPerInstance);
  it.reply = Promise.resolve({ ok: true, value: "here" });
  guest.call(1, 9999, "f");
  await until(() => guest.all(FrameType.reply).length === 1);
  assert.equal(guest.all(FrameType.reply)[0]?.payload.readUInt32LE(), 9999);
  assert.equal(exchange.outcome, "");
});

test("credit goes both ways: what was used may be granted again", async (t) => {
  const it = await TestPool.open(t);
  const { exchange, guest } = await it.running(it.group(), { isBodyComplete: false });
  exchange.link?.sendBody(exchange, Buffer.alloc(100_000), false);
  exchange.link?.sendBody(exchange, Buffer.alloc(50_000), true);
  guest.raw(FrameType.credit, 0, 1, u32(150_000));
  await until(() => exchange.roomBytes === 150_000);
  guest.head(1);
  const sent = 8 * streamWindowBytes;
  for (let bytes = 0; bytes < sent; bytes += 32 * 1024) {
    guest.body(1, Buffer.alloc(32 * 1024, "x"));
    await until(() => exchange.received.length === bytes + 32 * 1024);
    exchange.link?.grant(exchange, 32 * 1024);
  }
  guest.body(1, none, Flag.end | Flag.done);
  await until(() => exchange.outcome !== "");
  assert.deepEqual([exchange.outcome, exchange.received.length], ["ok", sent]);
  await until(() => guest.all(FrameType.credit).length === sent / (32 * 1024));
});
