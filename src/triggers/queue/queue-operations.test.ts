import assert from "node:assert/strict";
import { test } from "node:test";
import type { QueueManaging } from "../../contract/managing-queues.ts";
import { tupleRange } from "../../contract/tuple.ts";
import { createQueueOperations } from "../../state/queue/queue-operations.ts";
import { openQueueWorld, type QueueWorld } from "./queue.fixture.ts";

function operationsOf(world: QueueWorld, consumed: string[] = ["orders"]): QueueManaging {
  return createQueueOperations({
    keyspace: world.keyspace,
    environments: world.environments,
    state: world.state,
    consumed: () => consumed.map((name) => ({ name, functionName: `on-${name}`, options: {} })),
    onError: (error) => assert.fail(error as Error),
  });
}

const shop = ["shop", "production"] as const;

test("a queue tells how much waits, what is delayed and since when, exactly", async () => {
  const world = await openQueueWorld();
  const operations = operationsOf(world);
  world.handler = (call) => (call.bodies[0] === "bad" ? call.fail() : call.succeed());
  await world.send("orders", "delayed", { delayMs: 60_000 });
  await world.advance(1000);
  await world.sendMany("orders", ["a", "b", "bad"]);
  const sentAt = new Date(world.clock.nowMs() - 1000).toISOString();
  const before = await operations.getQueue(...shop, "orders");
  assert.deepEqual(before, {
    name: "orders",
    consumer: "on-orders",
    paused: false,
    messages: 4,
    delayed: 1,
    oldestSentAt: sentAt,
    deadLetter: "orders-dead",
    deadLetters: 0,
  });
  await world.consume({ orders: { retry: { attempts: 2, minDelay: "1s" } } });
  await world.advance(0);
  const { messages, delayed } = await operations.getQueue(...shop, "orders");
  assert.deepEqual([messages, delayed], [2, 2], "the delayed one, and the one to be tried again");
  await world.advance(60_000);
  const after = await operations.getQueue(...shop, "orders");
  assert.deepEqual([after.messages, after.delayed, after.deadLetters, after.oldestSentAt], [0, 0, 1, null]);
});

test("queues are listed with those that nobody consumes; one that nobody knows is not found", async () => {
  const world = await openQueueWorld();
  const operations = operationsOf(world);
  await world.send("mails", 1);
  await world.send("zz", 1);
  assert.deepEqual(
    (await operations.listQueues(...shop)).map(({ name, consumer, messages }) => [name, consumer, messages]),
    [
      ["mails", null, 1],
      ["orders", "on-orders", 0],
      ["zz", null, 1],
    ],
  );
  await assert.rejects(operations.getQueue(...shop, "nothing"), { code: "QUEUE_NOT_FOUND" });
  await assert.rejects(operations.purge(...shop, "nothing"), { code: "QUEUE_NOT_FOUND" });
  await assert.rejects(operations.getQueue(...shop, ""), { code: "REQUEST_INVALID" });
});

test("a look at the next messages takes none of them", async () => {
  const world = await openQueueWorld();
  const operations = operationsOf(world);
  await world.send("orders", "later", { delayMs: 5000 });
  await world.send("orders", "plain");
  await world.send("orders", "first", { priority: 9 });
  const messages = await operations.peek(...shop, "orders", 10);
  assert.deepEqual(
    messages.map(({ body, priority, dueAt }) => [body, priority ?? 0, dueAt === undefined]),
    [
      ["first", 9, true],
      ["plain", 0, true],
      ["later", 0, false],
    ],
  );
  assert.equal((await operations.peek(...shop, "orders", 1)).length, 1);
  assert.equal(await world.depth("orders"), 3);
});

test("a paused queue begins nothing, takes what is sent, and goes on when it is resumed", async () => {
  const world = await openQueueWorld();
  const operations = operationsOf(world);
  const bodies: unknown[] = [];
  world.handler = (call) => {
    bodies.push(...call.bodies);
    call.succeed();
  };
  await world.consume({ orders: {} });
  assert.equal((await operations.setPaused(...shop, "orders", true)).paused, true);
  await world.advance(0);
  await world.send("orders", 1);
  await world.advance(60_000);
  assert.deepEqual(bodies, []);
  await operations.setPaused(...shop, "orders", false);
  await world.advance(0);
  assert.deepEqual(bodies, [1]);
});

test("rule 6: a purge takes everything out of reach at once, and removes it in slices", async () => {
  const world = await openQueueWorld();
  const operations = operationsOf(world);
  const bodies: unknown[] = [];
  await world.sendMany(
    "orders",
    Array.from({ length: 3500 }, (_, number) => number),
  );
  await world.send("orders", "delayed", { delayMs: 1000 });
  assert.deepEqual(await operations.purge(...shop, "orders"), { purged: 3501 });
  world.handler = (call) => {
    bodies.push(...call.bodies);
    call.succeed();
  };
  await world.consume({ orders: {} });
  await world.send("orders", "new");
  await world.advance(10_000);
  assert.deepEqual(bodies, ["new"]);
  const { entries } = await world.keyspace.range(tupleRange(["q"]));
  assert.ok(entries.length < 10, `${entries.length} are left`);
  assert.equal((await operations.getQueue(...shop, "orders")).messages, 0);
});

test("a queue is purged while it is consumed: what runs may commit, nothing else is begun", async () => {
  const world = await openQueueWorld();
  const operations = operationsOf(world);
  world.handler = null;
  await world.consume({ orders: { concurrency: 1 } });
  await world.sendMany("orders", [1, 2, 3]);
  await world.advance(0);
  assert.equal(world.open.length, 1);
  await operations.purge(...shop, "orders");
  await world.advance(0);
  world.open[0]?.succeed();
  await world.advance(1000);
  assert.equal(world.open.length, 0);
  await world.send("orders", "new");
  await world.advance(0);
  assert.deepEqual(world.open[0]?.bodies, ["new"]);
  world.open[0]?.succeed();
  await world.advance(0);
  assert.equal((await operations.getQueue(...shop, "orders")).messages, 0);
});

test("dead letters are sent again under their ids, all or those with an error, and a dry run only counts", async () => {
  const world = await openQueueWorld();
  const operations = operationsOf(world);
  world.handler = (call) => call.fail({ message: call.bodies[0] === 1 ? "no stock" : "timeout" });
  await world.consume({ orders: { retry: { attempts: 1 } } });
  const first = await world.send("orders", 1, { group: "g" });
  await world.send("orders", 2, { priority: 3 });
  await world.advance(0);
  const handled: [string, unknown, number, unknown][] = [];
  world.handler = (call) => {
    for (const { id, body, attempt, group, priority } of call.messages)
      handled.push([id, body, attempt, group ?? priority]);
    call.succeed();
  };
  const error = "stock";
  assert.deepEqual(await operations.redrive(...shop, "orders", { error, dryRun: true }), {
    messages: 1,
    ids: [first.id],
    dryRun: true,
  });
  assert.equal((await operations.getQueue(...shop, "orders")).deadLetters, 2);
  await operations.redrive(...shop, "orders", { error, dryRun: false });
  await world.advance(0);
  assert.deepEqual(handled, [[first.id, 1, 1, "g"]]);
  assert.equal((await operations.redrive(...shop, "orders", { dryRun: false })).messages, 1);
  await world.advance(0);
  assert.deepEqual(handled[1]?.slice(1), [2, 1, 3]);
  const { messages, deadLetters } = await operations.getQueue(...shop, "orders");
  assert.deepEqual([messages, deadLetters], [0, 0]);
});
