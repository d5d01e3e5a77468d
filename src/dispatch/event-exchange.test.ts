import assert from "node:assert/strict";
import { test } from "node:test";
import type { FunctionSpec, LiveDeployment } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import type { ExchangeLink } from "../contract/exchange.ts";
import { systemClock } from "../lib/clock.ts";
import { createEvent, type PendingEvent } from "./event-exchange.ts";

const spec = {
  name: "f",
  style: "event",
  triggers: [],
  group: "events",
  limits: { timeoutMs: 60_000 },
} as unknown as FunctionSpec;

const link: ExchangeLink = { sendBody() {}, resetBody() {}, grant() {}, cancel() {} };

function pending(program = false): PendingEvent {
  return createEvent({
    delivery: {
      live: { app: "shop", alias: "production", deploymentId: "d" } as unknown as LiveDeployment,
      functionNumber: 0,
      trigger: "queue",
      subject: "orders 1",
      attempt: 1,
      document: { trigger: "queue", idempotencyKey: "k", payload: { n: 1 } },
      traceparent: null,
    },
    spec: program ? { ...spec, program: { runtime: "python", handler: "a.b", command: [], ready: null } } : spec,
    invocationId: "1".repeat(32),
    arrivedAtMs: 0,
    startedAtMs: 0,
    clock: systemClock,
    record: () => {},
    readState: ({ name, args }) =>
      Promise.resolve({ value: null, seen: [{ resource: "kv", name, key: String(args["key"]), version: 0 }] }),
  });
}

function handOver({ exchange }: PendingEvent): void {
  exchange.stream = 7;
  exchange.started(link);
}

test("what a handler wrote and read is the outcome of its delivery", async () => {
  const event = pending();
  handOver(event);
  const effect = { resource: "kv", name: "stock", method: "set", args: { key: "a", value: 1 } };
  const outcome = { ok: true, value: 5, seen: [], effects: [effect] };
  event.exchange.head(200, "", Buffer.from(JSON.stringify(outcome)), true);
  assert.deepEqual(await event.ended, { kind: "answered", invocationId: "1".repeat(32), outcome });
});

test("rule 10: a delivery past its deadline has not ended until its instance says so", async () => {
  const event = pending();
  handOver(event);
  event.exchange.failed(new AloftError("FUNCTION_TIMEOUT", "late"));
  const first = await Promise.race([event.ended.then(() => "ended"), new Promise(setImmediate).then(() => "runs on")]);
  assert.equal(first, "runs on");
  event.exchange.hasBegun = true;
  event.exchange.closed();
  assert.equal((await event.ended).kind, "failed");
});

test("one that never reached an instance was refused, at once", async () => {
  const event = pending();
  event.exchange.failed(new AloftError("NO_INSTANCE", "none"));
  assert.equal((await event.ended).kind, "refused");
});

test("one whose instance went away before it began was refused", async () => {
  const event = pending();
  handOver(event);
  event.exchange.failed(new AloftError("FUNCTION_CRASHED", "gone"));
  event.exchange.closed();
  assert.equal((await event.ended).kind, "refused");
});

test("an outcome that is none fails the delivery", async () => {
  for (const answer of ["nonsense", "[]", '{"ok":true}', '{"ok":true,"seen":[],"effects":[{"resource":"disk"}]}']) {
    const event = pending();
    handOver(event);
    event.exchange.head(200, "", Buffer.from(answer), true);
    const end = await event.ended;
    assert.equal(end.kind === "failed" && end.error.code, "FUNCTION_BAD_RESPONSE", answer);
  }
});

test("a program gets the payload alone; its answer is the value, and its error is an outcome too", async () => {
  const good = pending(true);
  assert.equal(good.exchange.body?.toString(), '{"n":1}');
  handOver(good);
  good.exchange.head(200, "", Buffer.from('{"batchItemFailures":[]}'), true);
  const end = await good.ended;
  assert.deepEqual(end.kind === "answered" && end.outcome, {
    ok: true,
    value: { batchItemFailures: [] },
    seen: [],
    effects: [],
  });
  const bad = pending(true);
  handOver(bad);
  bad.exchange.failed(
    new AloftError("FUNCTION_THREW", "KeyError: 'id'", { detail: { error: "KeyError", stack: "s" } }),
  );
  bad.exchange.closed();
  const badEnd = await bad.ended;
  assert.deepEqual(badEnd.kind === "answered" && badEnd.outcome, {
    ok: false,
    error: { type: "KeyError", message: "'id'", stack: "s" },
    seen: [],
  });
});

test("rule 13: what a program writes by the local API is held, and is the outcome of its delivery with what it read", async () => {
  const event = pending(true);
  handOver(event);
  const held = event.exchange.held!;
  const effect = { resource: "kv", name: "stock", method: "set", args: { key: "a", value: { json: 1 } } } as const;
  await held.read({ resource: "kv", name: "stock", method: "get", args: { key: "b" } });
  await held.write(effect);
  event.exchange.head(200, "", Buffer.from("done"), true);
  const end = await event.ended;
  assert.deepEqual(end.kind === "answered" && end.outcome, {
    ok: true,
    value: "done",
    seen: [{ resource: "kv", name: "stock", key: "b", version: 0 }],
    effects: [effect],
  });
});

test("rule 14: a program that fails has failed only if what it read still holds", async () => {
  const event = pending(true);
  handOver(event);
  await event.exchange.held!.read({ resource: "kv", name: "stock", method: "get", args: { key: "b" } });
  event.exchange.failed(new AloftError("FUNCTION_THREW", "Error: no"));
  event.exchange.closed();
  const end = await event.ended;
  assert.equal(end.kind === "answered" && end.outcome.seen.length, 1);
});
