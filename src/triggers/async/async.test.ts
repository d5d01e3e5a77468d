import assert from "node:assert/strict";
import { test } from "node:test";
import type { AsyncCallJson, AsyncCallOptions } from "../../contract/async-calls.ts";
import { createAsyncCalls } from "../../state/async/async-calls.ts";
import { type Call, openQueueWorld, type QueueWorld } from "../queue/queue.fixture.ts";

interface AsyncWorld extends QueueWorld {
  start(input: unknown, options?: AsyncCallOptions, name?: string): Promise<{ id: string; duplicate: boolean }>;
  look(id: string): Promise<AsyncCallJson>;
  cancel(id: string): Promise<{ cancelled: boolean; status: string }>;
  list(filter?: object): Promise<readonly AsyncCallJson[]>;
}

async function openAsyncWorld(given?: QueueWorld): Promise<AsyncWorld> {
  const world = given ?? (await openQueueWorld());
  if (given === undefined) await world.consume({ mail: {}, report: {} });
  const calls = createAsyncCalls({
    keyspace: world.keyspace,
    service: world.state,
    environments: world.environments,
    schedule: world.time.schedule,
  });
  return Object.assign(world, {
    async start(input: unknown, options: AsyncCallOptions = {}, name = "on-report") {
      const begun = await calls.start("shop", "production", name, input, options);
      await world.advance(0);
      return begun;
    },
    look: (id: string) => calls.get("shop", "production", id),
    cancel: (id: string) => calls.cancel("shop", "production", id),
    list: (filter = {}) => calls.list("shop", "production", filter),
  });
}

/** Only the calls; what goes to queues is handled by itself. */
function callsAmong(open: readonly Call[]): readonly Call[] {
  return open.filter(({ delivery }) => delivery.trigger === "async");
}

test("a call is made with its input, and what it answers is kept for a day", async () => {
  const world = await openAsyncWorld();
  world.handler = (call) => call.succeed({ value: { rows: 3 } });
  const { id, duplicate } = await world.start({ month: "2026-10" });
  assert.equal(duplicate, false);
  const { createdAtMs, endedAtMs, ...call } = await world.look(id);
  assert.deepEqual(call, { id, function: "on-report", status: "succeeded", attempts: 1, result: { rows: 3 } });
  assert.ok(createdAtMs <= (endedAtMs ?? 0));
  await world.advance(24 * 60 * 60_000 + 1);
  await assert.rejects(world.look(id), { code: "CALL_NOT_FOUND" });
  await world.close();
});

test("the handler gets the input alone, and the call's id as its idempotency key", async () => {
  const world = await openAsyncWorld();
  world.handler = null;
  const { id } = await world.start([1, 2]);
  const [call] = callsAmong(world.open);
  const { trigger, document, attempt, subject } = call!.delivery;
  assert.deepEqual(
    [trigger, document.payload, document.idempotencyKey, attempt, subject],
    ["async", [1, 2], id, 1, id],
  );
  call!.succeed();
  await world.close();
});

test("a call that was acknowledged is made after a crash, and its effects commit once", async () => {
  const world = await openAsyncWorld();
  world.handler = null;
  const { id } = await world.start(1);
  assert.equal(callsAmong(world.open).length, 1);
  const next = await openAsyncWorld(await world.crash());
  await next.consume({ report: {} });
  await next.advance(0);
  assert.deepEqual((await next.look(id)).status, "succeeded");
  await next.close();
});

test("the same idempotency key makes one call within a day; with other input it is refused", async () => {
  const world = await openAsyncWorld();
  const first = await world.start({ a: 1 }, { idempotencyKey: "k" });
  assert.deepEqual(await world.start({ a: 1 }, { idempotencyKey: "k" }), { id: first.id, duplicate: true });
  await assert.rejects(world.start({ a: 2 }, { idempotencyKey: "k" }), { code: "DEDUPE_MISMATCH" });
  assert.equal((await world.start({ a: 1 }, { idempotencyKey: "k" }, "on-mail")).duplicate, false);
  await world.advance(24 * 60 * 60_000 + 1);
  assert.equal((await world.start({ a: 2 }, { idempotencyKey: "k" })).duplicate, false);
  await world.close();
});

test("the profile of Lambda: two more tries, after one minute and after two", async () => {
  const world = await openAsyncWorld();
  const triedAtMs: number[] = [];
  const beganMs = world.clock.nowMs();
  world.handler = (call) => {
    triedAtMs.push(world.clock.nowMs() - beganMs);
    call.fail({ type: "RangeError", message: "too much" });
  };
  const { id } = await world.start(1, { retry: "lambda" });
  await world.advance(10 * 60_000);
  assert.deepEqual(triedAtMs, [0, 60_000, 180_000]);
  const { status, attempts, error } = await world.look(id);
  assert.deepEqual([status, attempts, error], ["failed", 3, { type: "RangeError", message: "too much" }]);
  await world.close();
});

test("no retry, a policy of its own, and an error that says never", async () => {
  for (const [retry, fails, tries] of [
    ["none", {}, 1],
    [{ attempts: 5, minDelayMs: 10, maxDelayMs: 10 }, {}, 5],
    [{ attempts: 5 }, { retry: "never" as const }, 1],
  ] as const) {
    const world = await openAsyncWorld();
    world.handler = (call) => call.fail(fails);
    const { id } = await world.start(1, { retry });
    await world.advance(60 * 60_000);
    assert.equal((await world.look(id)).attempts, tries);
    await world.close();
  }
});

test("a delayed call is made when its time has come", async () => {
  const world = await openAsyncWorld();
  const { id } = await world.start(1, { delayMs: 60_000 });
  await world.advance(59_000);
  assert.equal((await world.look(id)).status, "pending");
  await world.advance(1_000);
  assert.equal((await world.look(id)).status, "succeeded");
  await world.close();
});

test("a call that waits is cancelled at once, and is never made", async () => {
  const world = await openAsyncWorld();
  let made = 0;
  world.handler = (call) => {
    made += 1;
    call.succeed();
  };
  const { id } = await world.start(1, { delayMs: 60_000 });
  assert.deepEqual(await world.cancel(id), { cancelled: true, status: "cancelled" });
  await world.advance(120_000);
  assert.deepEqual([made, (await world.look(id)).status], [0, "cancelled"]);
  assert.deepEqual(await world.cancel(id), { cancelled: false, status: "cancelled" });
  await world.close();
});

test("a call that runs is aborted when it is cancelled; whatever it still answers, it stays cancelled", async () => {
  const world = await openAsyncWorld();
  world.handler = null;
  const { id } = await world.start(1);
  const [call] = callsAmong(world.open);
  await world.cancel(id);
  await world.advance(0);
  assert.equal(call!.isCancelled, true);
  const set = { resource: "kv" as const, name: "s", method: "set", args: { key: "a", value: { json: 1 } } };
  call!.succeed({ value: "too late", effects: [set] });
  await world.advance(60_000);
  assert.equal((await world.look(id)).status, "cancelled");
  assert.deepEqual(callsAmong(world.open), []);
  await world.close();
});

test("the end of a call is told to a queue, in the shape of Lambda's records", async () => {
  const world = await openAsyncWorld();
  const told: unknown[] = [];
  world.handler = (call) => {
    if (call.delivery.trigger === "async") call.succeed({ value: "done" });
    else {
      told.push(...call.bodies);
      call.succeed();
    }
  };
  const { id } = await world.start({ n: 1 }, { onSuccess: { queue: "mail" } });
  await world.advance(1000);
  const [record] = told as { requestContext: object }[];
  assert.deepEqual(record, {
    version: "1.0",
    timestamp: new Date(world.clock.nowMs() - 1000).toISOString(),
    requestContext: {
      requestId: id,
      functionArn: "arn:aws:lambda:local:000000000000:function:shop-on-report:production",
      condition: "Success",
      approximateInvokeCount: 1,
    },
    requestPayload: { n: 1 },
    responseContext: { statusCode: 200, executedVersion: "production" },
    responsePayload: "done",
  });
  await world.close();
});

test("a failed call is told to a function, and no chain comes of it", async () => {
  const world = await openAsyncWorld();
  const made: string[] = [];
  world.handler = (call) => {
    made.push((call.delivery.document.payload as { version?: string }).version ?? "first");
    call.fail({ retry: "never" });
  };
  await world.start({}, { onFailure: { function: "on-report" } });
  await world.advance(1000);
  // The function that is told fails as well, but nobody asked that this be told.
  assert.deepEqual(made, ["first", "1.0"]);
  await world.close();
});

test("a call of a function that is gone fails and says so; one that is too old is not made", async () => {
  const world = await openAsyncWorld();
  const gone = await world.start(1, {}, "on-nothing");
  await world.advance(0);
  assert.equal((await world.look(gone.id)).error?.code, "FUNCTION_NOT_FOUND");
  world.handler = (call) => call.fail();
  const old = await world.start(1, { maxAgeMs: 5000, retry: { attempts: 100, minDelayMs: 2000, maxDelayMs: 2000 } });
  await world.advance(60_000);
  assert.equal((await world.look(old.id)).error?.code, "MESSAGE_EXPIRED");
  await world.close();
});

test("calls are listed newest first, by function and status, page by page", async () => {
  const world = await openAsyncWorld();
  const ids: string[] = [];
  for (let n = 0; n < 5; n += 1) {
    ids.unshift((await world.start(n, n === 3 ? { delayMs: 1000 } : {}, n === 1 ? "on-mail" : "on-report")).id);
    await world.advance(1);
  }
  const idsOf = async (filter?: object): Promise<string[]> => (await world.list(filter)).map(({ id }) => id);
  assert.deepEqual(await idsOf(), ids);
  assert.deepEqual(await idsOf({ status: "pending" }), [ids[1]]);
  assert.deepEqual(await idsOf({ function: "on-mail" }), [ids[3]]);
  assert.deepEqual(await idsOf({ limit: 2, before: ids[1] }), [ids[2], ids[3]]);
  await world.close();
});

test("what is asked for must make sense", async () => {
  const world = await openAsyncWorld();
  const cases: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ delayMs: -1 }, "REQUEST_INVALID"],
    [{ retry: "often" }, "REQUEST_INVALID"],
    [{ retry: { attempts: 0 } }, "REQUEST_INVALID"],
    [{ retry: { tries: 3 } }, "REQUEST_INVALID"],
    [{ onSuccess: { topic: "a" } }, "REQUEST_INVALID"],
    [{ onSuccess: { queue: "a", function: "b" } }, "REQUEST_INVALID"],
    [{ idempotencyKey: "" }, "REQUEST_INVALID"],
    [{ maxAgeMs: 1 }, "REQUEST_INVALID"],
  ];
  for (const [options, code] of cases) {
    await assert.rejects(world.start(1, options), { code }, JSON.stringify(options));
  }
  await assert.rejects(world.start("x".repeat(300_000)), { code: "PAYLOAD_TOO_LARGE" });
  await assert.rejects(world.look("nope"), { code: "CALL_NOT_FOUND" });
  await world.close();
});
