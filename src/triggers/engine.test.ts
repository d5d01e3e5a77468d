import assert from "node:assert/strict";
import { test } from "node:test";
import { asyncSubscriptionKey, encodeAsyncSubscription } from "../state/async/async-keys.ts";
import { openQueueWorld } from "./queue/queue.fixture.ts";

test("a start finds who consumes what by its rows, and what is new since by what is live", async () => {
  const world = await openQueueWorld();
  await world.consume({ orders: {} });
  await world.send("orders", 1, { delayMs: 60_000 });
  const next = await world.crash();
  const bodies: unknown[] = [];
  next.handler = (call) => {
    bodies.push(...call.bodies);
    call.succeed();
  };
  next.goLive({ orders: {} });
  await next.advance(60_000);
  assert.deepEqual(bodies, [1]);
});

test("an environment whose functions were called asynchronously has a consumer for that, from the first call on", async () => {
  const world = await openQueueWorld();
  const told: string[] = [];
  world.engine.register({
    kind: "async",
    shardsOf: () => [7],
    open: () => ({
      set: ({ kind, environment }) => void told.push(`${kind} ${environment.app}`),
      drop: () => {},
      close: async () => {},
    }),
  });
  const signal = new AbortController().signal;
  world.engine.keepers({ shard: 7, epoch: 1, epochCheck: { kind: "absent", key: new Uint8Array() }, signal });
  await world.keyspace.commit({
    checks: [],
    writes: [{ kind: "set", key: asyncSubscriptionKey(world.shop), value: encodeAsyncSubscription(world.shop) }],
  });
  await world.advance(0);
  assert.deepEqual(told, ["async shop"]);
});

test("what an app consumed is not consumed any more when it is deleted, and begins empty when it is made again", async () => {
  const world = await openQueueWorld();
  world.handler = null;
  await world.consume({ orders: {} });
  await world.send("orders", 1);
  await world.advance(0);
  assert.equal(world.open.length, 1);
  world.engine.publish("shop", "production", null);
  await world.environments.retire("shop");
  await world.engine.settled();
  world.open[0]?.succeed();
  await world.advance(10_000);
  await world.consume({ orders: {} });
  await world.advance(10_000);
  assert.equal(world.open.length, 0);
  const again = await world.environments.get("shop", "production");
  assert.notEqual(again.id, world.shop.id);
});
