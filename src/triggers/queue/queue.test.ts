import assert from "node:assert/strict";
import { test } from "node:test";
import type { Effect } from "../../wire/effects.ts";
import { queuePlace } from "../../state/queue/queue-keys.ts";
import { encodeQueueState } from "../../state/queue/queue-state.ts";
import { type Call, openQueueWorld, type QueueWorld } from "./queue.fixture.ts";

function set(key: string, json: unknown): Effect {
  return { resource: "kv", name: "stock", method: "set", args: { key, value: { json } } };
}

async function kv(world: QueueWorld, key: string): Promise<unknown> {
  const read = { resource: "kv", name: "stock", method: "get", args: { key } } as const;
  const { value } = await world.state.read(world.shop, read);
  return (value as { value: { json: unknown } } | null)?.value.json ?? null;
}

/** What the test answers by hand, in order. */
function nextCall(world: QueueWorld): Call {
  const [call] = world.open;
  assert.ok(call, "no handler was called");
  return call;
}

test("a message is delivered, and its acknowledgement commits with what its handler wrote", async () => {
  const world = await openQueueWorld();
  world.handler = null;
  await world.consume({ orders: {} });
  const { id } = await world.send("orders", { sku: 1 });
  await world.advance(0);
  const call = nextCall(world);
  assert.deepEqual(call.messages, [{ id, body: { sku: 1 }, attempt: 1, sentAtMs: world.clock.nowMs() }]);
  assert.equal(call.delivery.document.idempotencyKey, id);
  assert.equal(await world.depth("orders"), 1);
  call.succeed({ effects: [set("a", 1)] });
  await world.advance(0);
  assert.equal(await kv(world, "a"), 1);
  assert.equal(await world.depth("orders"), 0);
  const next = await world.crash();
  await next.consume({ orders: {} });
  assert.equal(next.open.length, 0);
});

test("a message that was sent before anybody consumed the queue waits for a consumer", async () => {
  const world = await openQueueWorld();
  const bodies: unknown[] = [];
  world.handler = (call) => {
    bodies.push(...call.bodies);
    call.succeed();
  };
  await world.send("orders", 1);
  await world.advance(60_000);
  assert.deepEqual(bodies, []);
  await world.consume({ orders: {} });
  await world.advance(0);
  assert.deepEqual(bodies, [1]);
});

test("rule 10: while its handler runs, a message is not delivered again, however long it takes", async () => {
  const world = await openQueueWorld();
  world.handler = null;
  await world.consume({ orders: {} });
  await world.send("orders", 1);
  await world.advance(24 * 3_600_000);
  assert.equal(world.open.length, 1);
});

test("rule 8: what a node that lost its shard has handled cannot be committed", async () => {
  const world = await openQueueWorld();
  world.handler = null;
  await world.consume({ orders: {} });
  await world.send("orders", 1);
  await world.advance(0);
  const late = nextCall(world);
  const next = await openQueueWorld(world.clock, world.disk);
  next.handler = null;
  await next.consume({ orders: {} });
  await next.advance(0);
  late.succeed({ effects: [set("a", "late")] });
  await world.advance(0);
  assert.equal(await kv(next, "a"), null);
  nextCall(next).succeed({ effects: [set("a", "right")] });
  await next.advance(0);
  assert.equal(await kv(next, "a"), "right");
  assert.equal(await next.depth("orders"), 0);
});

test("what was in flight when the node died is delivered again, as the same attempt", async () => {
  const world = await openQueueWorld();
  world.handler = null;
  await world.consume({ orders: {} });
  const { id } = await world.send("orders", 1);
  await world.advance(0);
  assert.equal(world.open.length, 1);
  const next = await world.crash();
  next.handler = null;
  await next.consume({ orders: {} });
  await next.advance(0);
  assert.deepEqual(
    nextCall(next).messages.map((message) => [message.id, message.attempt]),
    [[id, 1]],
  );
});

test("a delayed message is delivered when its time has come, also after a crash", async () => {
  let world = await openQueueWorld();
  const bodies: unknown[] = [];
  await world.consume({ orders: {} });
  await world.send("orders", "later", { delayMs: 5000 });
  await world.advance(3000);
  world = await world.crash();
  world.handler = (call) => {
    bodies.push(...call.bodies);
    call.succeed();
  };
  await world.consume({ orders: {} });
  await world.advance(1999);
  assert.deepEqual(bodies, []);
  await world.advance(1);
  assert.deepEqual(bodies, ["later"]);
});

test("a message with a higher priority goes first", async () => {
  const world = await openQueueWorld();
  const bodies: unknown[] = [];
  for (const priority of [0, 3, 9, 3, 1]) await world.send("orders", priority, { priority });
  world.handler = (call) => {
    bodies.push(...call.bodies);
    call.succeed();
  };
  await world.consume({ orders: { concurrency: 1 } });
  await world.advance(0);
  assert.deepEqual(bodies, [9, 3, 3, 1, 0]);
});

test("a deduplication id keeps a message from being sent twice within a day, in one commit too", async () => {
  const world = await openQueueWorld();
  const first = await world.send("orders", { a: 1 }, { dedupeId: "x" });
  const again = await world.send("orders", { a: 1 }, { dedupeId: "x" });
  assert.deepEqual(again, { id: first.id, duplicate: true });
  const twice = { resource: "queue", name: "orders", method: "send", args: { body: 2, dedupeId: "y" } } as const;
  const outcome = await world.commit([twice, twice]);
  assert.equal(outcome.kind === "committed" && (outcome.results[1] as { duplicate: boolean }).duplicate, true);
  assert.equal(await world.depth("orders"), 2);
  await assert.rejects(world.send("orders", { a: 2 }, { dedupeId: "x" }), { code: "DEDUPE_MISMATCH" });
  await world.advance(24 * 3_600_000);
  assert.equal((await world.send("orders", { a: 2 }, { dedupeId: "x" })).duplicate, false);
});

test("a failing message is tried again after growing delays, and then goes to the dead-letter queue with its error", async () => {
  const world = await openQueueWorld();
  const attempts: [number, number][] = [];
  const startMs = world.clock.nowMs();
  world.handler = (call) => {
    attempts.push([call.messages[0]!.attempt, world.clock.nowMs() - startMs]);
    call.fail({ message: "no stock" });
  };
  await world.consume({ orders: { retry: { attempts: 3, minDelay: "1s", factor: 3, jitter: 0 } } });
  const { id } = await world.send("orders", { sku: 1 });
  await world.advance(60_000);
  assert.deepEqual(attempts, [
    [1, 0],
    [2, 1000],
    [3, 4000],
  ]);
  assert.equal(await world.depth("orders"), 0);
  const dead: Call[] = [];
  world.handler = (call) => {
    dead.push(call);
    call.succeed();
  };
  await world.consume({ orders: {}, "orders-dead": {} });
  await world.advance(0);
  assert.deepEqual(dead[0]?.bodies, [{ sku: 1 }]);
  const note = dead[0]?.messages[0]?.dead as Record<string, unknown>;
  assert.deepEqual(
    { queue: note["queue"], id: note["id"], attempts: note["attempts"], error: note["error"] },
    { queue: "orders", id, attempts: 3, error: { type: "Error", message: "no stock" } },
  );
});

test("a handler says when to try again, or that it never will help", async () => {
  const world = await openQueueWorld();
  const startMs = world.clock.nowMs();
  const calls: [unknown, number][] = [];
  world.handler = (call) => {
    calls.push([call.bodies[0], world.clock.nowMs() - startMs]);
    if (call.bodies[0] === "never") call.fail({ retry: "never" });
    else if (call.messages[0]!.attempt === 1) call.fail({ retry: { afterMs: 30_000 } });
    else call.succeed();
  };
  await world.consume({ orders: {} });
  await world.send("orders", "never");
  await world.send("orders", "later");
  await world.advance(120_000);
  assert.deepEqual(calls, [
    ["never", 0],
    ["later", 0],
    ["later", 30_000],
  ]);
  assert.equal(await world.depth("orders-dead"), 1);
});

test("rule 11: a batch that throws has no effect, is redelivered in halves, and only a message delivered alone pays", async () => {
  const world = await openQueueWorld();
  const deliveries: unknown[][] = [];
  world.handler = (call) => {
    deliveries.push([...call.bodies]);
    if (call.bodies.includes(3)) call.fail({ message: "three" });
    else call.succeed({ effects: call.bodies.map((body) => set(String(body), body)) });
  };
  await world.sendMany("orders", [1, 2, 3, 4]);
  await world.consume({ orders: { batch: 4, retry: { attempts: 1 } } });
  await world.advance(0);
  assert.deepEqual(deliveries[0], [1, 2, 3, 4]);
  assert.deepEqual(
    deliveries.slice(1).map((one) => one.length),
    [2, 2, 1, 1],
  );
  for (const body of [1, 2, 4]) assert.equal(await kv(world, String(body)), body);
  assert.equal(await kv(world, "3"), null);
  assert.equal(await world.depth("orders-dead"), 1);
  assert.equal(await world.depth("orders"), 0);
});

test("rule 11: a batch that is to be tried again later waits as a whole, at no cost, and comes in halves", async () => {
  for (const crashes of [false, true]) {
    let world = await openQueueWorld();
    const startMs = world.clock.nowMs();
    const deliveries: [bodies: unknown[], attempts: number[], atMs: number][] = [];
    const handler = (call: Call): void => {
      const attempts = call.messages.map(({ attempt }) => attempt);
      deliveries.push([[...call.bodies], attempts, world.clock.nowMs() - startMs]);
      if (call.bodies.length === 4) call.fail({ retry: { afterMs: 30_000 } });
      else call.succeed();
    };
    world.handler = handler;
    await world.sendMany("orders", [1, 2, 3, 4]);
    await world.consume({ orders: { batch: 4 } });
    await world.advance(10_000);
    if (crashes) {
      world = await world.crash();
      world.handler = handler;
      await world.consume({ orders: { batch: 4 } });
    }
    await world.advance(19_999);
    assert.deepEqual(deliveries, [[[1, 2, 3, 4], [1, 1, 1, 1], 0]]);
    await world.advance(2);
    assert.deepEqual(
      deliveries.slice(1).map(([bodies, attempts]) => [bodies, attempts]),
      [
        [
          [1, 2],
          [1, 1],
        ],
        [
          [3, 4],
          [1, 1],
        ],
      ],
    );
    assert.equal(await world.depth("orders"), 0);
  }
});

test("rule 11: of a batch that is to be tried again later, groups keep their order and others go on", async () => {
  const world = await openQueueWorld();
  const handled: unknown[] = [];
  let isBusy = true;
  let failures = 0;
  world.handler = (call) => {
    if (isBusy && call.bodies.includes("a1")) {
      failures += 1;
      call.fail({ retry: { afterMs: 30_000 } });
    } else {
      handled.push(...call.bodies);
      call.succeed();
    }
  };
  await world.sendMany("orders", ["a1", "a2", "a3"], { group: "a" });
  await world.consume({ orders: { batch: 3 } });
  await world.advance(0);
  isBusy = false;
  await world.sendMany("orders", ["b1", "b2"], { group: "b" });
  await world.send("orders", "c");
  await world.advance(29_000);
  assert.deepEqual(handled.toSorted(), ["b1", "b2", "c"]);
  await world.advance(2000);
  assert.deepEqual(handled.slice(3), ["a1", "a2", "a3"]);
  assert.equal(failures, 1);
  assert.equal(await world.depth("orders"), 0);
});

test("rule 11: a message that always asks for more time is delivered alone in the end, pays, and is given up", async () => {
  const world = await openQueueWorld();
  const sizes: number[] = [];
  world.handler = (call) => {
    sizes.push(call.bodies.length);
    if (call.bodies.includes(3)) call.fail({ retry: { afterMs: 1000 } });
    else call.succeed();
  };
  await world.sendMany("orders", [1, 2, 3, 4]);
  await world.consume({ orders: { batch: 4, retry: { attempts: 2 } } });
  await world.advance(60_000);
  assert.deepEqual(sizes, [4, 2, 2, 1, 1, 1]);
  assert.equal(await world.depth("orders-dead"), 1);
  assert.equal(await world.depth("orders"), 0);
});

test("rule 11: messages that failed one by one pay with an attempt each, and the others commit", async () => {
  const world = await openQueueWorld();
  const attempts: [unknown, number][] = [];
  world.handler = (call) => {
    attempts.push(...call.messages.map(({ body, attempt }): [unknown, number] => [body, attempt]));
    const bad = call.messages.filter(({ body, attempt }) => body === 2 && attempt === 1);
    const error = { type: "Error", message: "two", stack: "" };
    const effects = call.bodies.map((body) => set(String(body), body));
    if (bad.length === 0) call.succeed({ effects });
    else call.succeed({ effects, failed: bad.map(({ id }) => ({ id, error })) });
  };
  await world.sendMany("orders", [1, 2, 3]);
  await world.consume({ orders: { batch: 10 } });
  await world.advance(5000);
  assert.deepEqual(attempts, [
    [1, 1],
    [2, 1],
    [3, 1],
    [2, 2],
  ]);
  assert.equal(await world.depth("orders"), 0);
});

test("rule 11: a list of failed ids is accepted from an outcome without writes, and of messages that were given only", async () => {
  for (const [more, code] of [
    [{ effects: [set("a", 1)] }, "PARTIAL_FAILURE_WITH_WRITES"],
    [{ value: { batchItemFailures: [{ itemIdentifier: "stranger" }] } }, "PARTIAL_FAILURE_INVALID"],
    [{ value: { batchItemFailures: [{}] } }, "PARTIAL_FAILURE_INVALID"],
  ] as const) {
    const world = await openQueueWorld();
    world.handler = (call) => {
      const failures = [{ itemIdentifier: call.messages[0]!.id }];
      call.succeed({ value: { batchItemFailures: failures }, ...more });
    };
    await world.consume({ orders: { retry: { attempts: 1 } } });
    await world.send("orders", 1);
    await world.advance(0);
    assert.equal(await kv(world, "a"), null);
    const dead: Call[] = [];
    world.handler = (call) => {
      dead.push(call);
      call.succeed();
    };
    await world.consume({ "orders-dead": {} });
    await world.advance(0);
    assert.equal(dead[0]?.messages[0]?.dead?.error.code, code);
  }
});

test("messages of a group are handled in order, one at a time, and groups beside each other", async () => {
  const world = await openQueueWorld();
  world.handler = null;
  for (const body of ["a1", "b1", "a2", "b2", "c1", "a3"]) await world.send("orders", body, { group: body[0] });
  await world.consume({ orders: {} });
  await world.advance(0);
  const running = (): unknown[] => world.open.map((call) => call.bodies[0]);
  assert.deepEqual(running(), ["a1", "b1", "c1"]);
  nextCall(world).succeed();
  await world.advance(0);
  assert.deepEqual(running(), ["b1", "c1", "a2"]);
  for (const call of [...world.open]) call.succeed();
  await world.advance(0);
  assert.deepEqual(running(), ["b2", "a3"]);
});

test("rule 11: a failed message holds its group back, the others go on; after it is dead the group goes on", async () => {
  const world = await openQueueWorld();
  const handled: [unknown, number][] = [];
  world.handler = (call) => {
    handled.push([call.bodies[0], call.messages[0]!.attempt]);
    if (call.bodies[0] === "a1") call.fail();
    else call.succeed();
  };
  for (const body of ["a1", "a2", "b1"]) await world.send("orders", body, { group: body[0] });
  await world.consume({ orders: { retry: { attempts: 2, minDelay: "10s", jitter: 0 } } });
  await world.advance(9_000);
  assert.deepEqual(handled, [
    ["a1", 1],
    ["b1", 1],
  ]);
  const next = await world.crash();
  next.handler = world.handler;
  await next.consume({ orders: { retry: { attempts: 2, minDelay: "10s", jitter: 0 } } });
  await next.advance(0);
  assert.equal(handled.length, 2, "its delay outlives a crash");
  await next.advance(1_000);
  assert.deepEqual(handled.slice(2), [
    ["a1", 2],
    ["a2", 1],
  ]);
  assert.equal(await next.depth("orders"), 0);
});

test("rule 11: in a batch, the later messages of a failed one's group go back uncounted", async () => {
  const world = await openQueueWorld();
  const deliveries: [unknown, number][][] = [];
  world.handler = (call) => {
    deliveries.push(call.messages.map(({ body, attempt }) => [body, attempt]));
    const bad = call.messages.filter(({ body, attempt }) => body === "a1" && attempt === 1);
    const error = { type: "Error", message: "one", stack: "" };
    call.succeed(bad.length === 0 ? {} : { failed: bad.map(({ id }) => ({ id, error })) });
  };
  for (const body of ["a1", "a2", "b1"]) await world.send("orders", body, { group: body[0] });
  await world.consume({ orders: { batch: 10, retry: { minDelay: "1s", jitter: 0 } } });
  await world.advance(5_000);
  assert.deepEqual(deliveries[0], [
    ["a1", 1],
    ["a2", 1],
    ["b1", 1],
  ]);
  assert.deepEqual(deliveries.slice(1).flat(), [
    ["a1", 2],
    ["a2", 1],
  ]);
});

test("rule 14 and 15: who read what has changed meanwhile runs again at no cost, and so does who failed on it", async () => {
  const world = await openQueueWorld();
  const attempts: number[] = [];
  world.handler = null;
  await world.consume({ orders: {} });
  await world.send("orders", 1);
  await world.advance(0);
  const readSet = [{ resource: "kv", name: "stock", key: "a", version: 0 }] as const;
  await world.commit([set("a", "other")]);
  nextCall(world).succeed({ seen: readSet, effects: [set("a", "stale")] });
  await world.advance(0);
  assert.equal(await kv(world, "a"), "other");
  attempts.push(nextCall(world).messages[0]!.attempt);
  nextCall(world).fail({}, readSet);
  await world.advance(0);
  attempts.push(nextCall(world).messages[0]!.attempt);
  nextCall(world).succeed({ effects: [set("a", "mine")] });
  await world.advance(0);
  assert.deepEqual(attempts, [1, 1]);
  assert.equal(await kv(world, "a"), "mine");
});

test("rule 15: after a hundred reruns a message fails with HOT_KEY, which names the key", async () => {
  const world = await openQueueWorld();
  let calls = 0;
  const stale = [{ resource: "kv", name: "stock", key: "hot", version: 77 }] as const;
  world.handler = (call) => {
    calls += 1;
    call.succeed({ seen: stale, effects: [set("a", 1)] });
  };
  await world.consume({ orders: { retry: { attempts: 1 } } });
  await world.send("orders", 1);
  for (let turn = 0; turn < 400 && (await world.depth("orders-dead")) === 0; turn++) await world.advance(0);
  assert.equal(calls, 100);
  let error: unknown = null;
  world.handler = (call) => {
    error = call.messages[0]?.dead?.error;
    call.succeed();
  };
  await world.consume({ "orders-dead": {} });
  await world.advance(0);
  assert.deepEqual([(error as { code: string }).code, /stock\/hot/.test((error as Error).message)], ["HOT_KEY", true]);
});

test("an instance that cannot be had costs no attempt, and is asked for less and less often", async () => {
  const world = await openQueueWorld();
  const { AloftError } = await import("../../contract/errors.ts");
  let refused = 0;
  world.handler = (call) => {
    refused += 1;
    call.end({ kind: "refused", invocationId: "i", error: new AloftError("NO_INSTANCE", "none") });
  };
  await world.consume({ orders: { retry: { attempts: 1 } } });
  await world.send("orders", 1);
  await world.advance(60_000);
  assert.ok(refused > 5 && refused < 20, `${refused}`);
  assert.equal(await world.depth("orders"), 1);
  world.handler = (call) => call.succeed();
  await world.advance(10_000);
  assert.equal(await world.depth("orders"), 0);
});

test("a batch waits for its window to fill, and no longer when it is full", async () => {
  const world = await openQueueWorld();
  const sizes: number[] = [];
  world.handler = (call) => {
    sizes.push(call.bodies.length);
    call.succeed();
  };
  await world.consume({ orders: { batch: 3, batchWindow: "5s" } });
  await world.sendMany("orders", [1, 2]);
  await world.advance(4999);
  assert.deepEqual(sizes, []);
  await world.advance(1);
  assert.deepEqual(sizes, [2]);
  await world.sendMany("orders", [1, 2, 3, 4]);
  await world.advance(0);
  assert.deepEqual(sizes, [2, 3]);
});

test("no more deliveries run at once than the queue's concurrency, and no more begin than its rate", async () => {
  const world = await openQueueWorld();
  world.handler = null;
  await world.consume({ orders: { concurrency: 2 } });
  await world.sendMany("orders", [1, 2, 3]);
  await world.advance(0);
  assert.equal(world.open.length, 2);
  let handled = 0;
  world.handler = (call) => {
    handled += 1;
    call.succeed();
  };
  for (const call of [...world.open]) call.succeed();
  await world.consume({ mails: { rate: { messages: 10, per: "1s" } } });
  await world.sendMany(
    "mails",
    Array.from({ length: 50 }, (_, number) => number),
  );
  await world.advance(0);
  handled = 0;
  await world.advance(2000);
  assert.ok(handled >= 18 && handled <= 21, `${handled}`);
});

test("a message that has waited longer than the maximum age is not handled any more", async () => {
  const world = await openQueueWorld();
  await world.send("orders", 1);
  await world.advance(11_000);
  let handled = 0;
  world.handler = (call) => {
    handled += 1;
    call.succeed();
  };
  await world.consume({ orders: { maxAge: "10s" } });
  await world.advance(0);
  assert.equal(handled, 0);
  assert.equal(await world.depth("orders-dead"), 1);
});

test("a new deployment takes over: what runs ends on the old one, what comes goes to the new one", async () => {
  const world = await openQueueWorld();
  world.handler = null;
  await world.consume({ orders: { concurrency: 2 } }, "old");
  await world.send("orders", 1);
  await world.advance(0);
  await world.consume({ orders: { concurrency: 2 } }, "new");
  await world.send("orders", 2);
  await world.advance(0);
  assert.deepEqual(
    world.open.map(({ delivery, bodies }) => [delivery.live.deploymentId, bodies[0]]),
    [
      ["old", 1],
      ["new", 2],
    ],
  );
});

test("a queue that the new deployment does not consume keeps its messages", async () => {
  const world = await openQueueWorld();
  await world.consume({ orders: {} });
  await world.consume({});
  await world.send("orders", 1);
  await world.advance(60_000);
  assert.equal(await world.depth("orders"), 1);
  await world.consume({ orders: {} });
  await world.advance(0);
  assert.equal(await world.depth("orders"), 0);
});

test("a paused queue begins nothing until it is resumed, and keeps what comes", async () => {
  const world = await openQueueWorld();
  const key = queuePlace(world.shop, "queue", "orders").stateKey;
  const row = (isPaused: boolean) =>
    world.keyspace.commit({
      checks: [],
      writes: [{ kind: "set", key, value: encodeQueueState({ generation: 0, isPaused }) }],
    });
  world.handler = null;
  await world.consume({ orders: {} });
  await row(true);
  await world.advance(0);
  await world.send("orders", 1);
  await world.advance(60_000);
  assert.equal(world.open.length, 0);
  await row(false);
  await world.advance(0);
  assert.equal(world.open.length, 1);
});

test("a thousand idle queues cost no query and no write", async () => {
  const world = await openQueueWorld();
  const names = Array.from({ length: 1000 }, (_, number) => `q${number}`);
  await world.consume(Object.fromEntries(names.map((name) => [name, {}])));
  await world.advance(1000);
  world.traffic.reads = 0;
  world.traffic.commits = 0;
  await world.advance(3_600_000);
  assert.deepEqual(world.traffic, { reads: 0, commits: 0 });
  assert.equal(world.time.size, 0);
});

test("what is sent must be something, of a size, and in no contradiction", async () => {
  const world = await openQueueWorld();
  for (const [args, code] of [
    [{}, "REQUEST_INVALID"],
    [{ body: "x".repeat(256 * 1024) }, "PAYLOAD_TOO_LARGE"],
    [{ body: 1, delayMs: -1 }, "REQUEST_INVALID"],
    [{ body: 1, delayMs: 367 * 24 * 3_600_000 }, "REQUEST_INVALID"],
    [{ body: 1, delayMs: "1s" }, "REQUEST_INVALID"],
    [{ body: 1, priority: 10 }, "REQUEST_INVALID"],
    [{ body: 1, group: "" }, "REQUEST_INVALID"],
    [{ body: 1, group: "g", delayMs: 5 }, "REQUEST_INVALID"],
    [{ body: 1, group: "g", priority: 5 }, "REQUEST_INVALID"],
    [{ body: 1, dedupeId: "x".repeat(257) }, "REQUEST_INVALID"],
    [{ body: 1, dedupeId: 5 }, "REQUEST_INVALID"],
  ] as const) {
    const effect: Effect = { resource: "queue", name: "orders", method: "send", args };
    await assert.rejects(world.commit([effect]), { code }, JSON.stringify(args).slice(0, 80));
  }
  const dead: Effect = { resource: "queue", name: "o", method: "put", args: { message: { id: "x", body: 1 } } };
  await assert.rejects(world.commit([dead]), { code: "REQUEST_INVALID" });
  assert.equal(await world.depth("orders"), 0);
});

test("a wall clock that jumps back an hour holds up what is delayed, and nothing else", async () => {
  const world = await openQueueWorld();
  const bodies: unknown[] = [];
  world.handler = (call) => {
    bodies.push(...call.bodies);
    call.succeed();
  };
  await world.consume({ orders: {} });
  await world.send("orders", "first");
  await world.advance(10);
  world.clock.stepWall(-3_600_000);
  await world.send("orders", "now");
  await world.send("orders", "later", { delayMs: 1000 });
  await world.advance(60_000);
  assert.deepEqual(bodies, ["first", "now"]);
  world.clock.stepWall(3_600_000);
  await world.advance(10_000);
  assert.deepEqual(bodies, ["first", "now", "later"]);
});

test("ten thousand messages are handled through a small window in memory", async () => {
  const world = await openQueueWorld();
  const count = 10_000;
  await world.sendMany(
    "orders",
    Array.from({ length: count }, (_, number) => number),
  );
  const seen = new Uint8Array(count);
  world.handler = (call) => {
    for (const body of call.bodies) seen[Number(body)]! += 1;
    call.succeed();
  };
  await world.consume({ orders: { batch: 100 } });
  for (let turn = 0; turn < 2000 && (await world.depth("orders")) > 0; turn++) await world.advance(0);
  assert.ok(seen.every((times) => times === 1));
  assert.deepEqual(world.errors, []);
});
