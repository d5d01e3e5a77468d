import assert from "node:assert/strict";
import { test } from "node:test";
import type { Environment } from "../contract/durable.ts";
import { limits } from "../contract/limits.ts";
import { createLines } from "./lines.ts";

const shop: Environment = { id: 1, generation: 1, app: "shop", alias: "production" };
const other: Environment = { ...shop, id: 2 };

test("rule 15: whoever met a conflict on a key reruns alone, in the order they came", async () => {
  const lines = createLines();
  const order: number[] = [];
  const first = await lines.enter(shop, "kv s/a");
  const rest = [1, 2, 3].map(async (n) => {
    const ticket = await lines.enter(shop, "kv s/a");
    order.push(n);
    lines.leave(shop, ticket);
  });
  await lines.enter(shop, "kv s/b");
  await lines.enter(other, "kv s/a");
  assert.deepEqual(order, []);
  lines.leave(other, first); // a ticket of another environment
  assert.deepEqual(order, []);
  lines.leave(shop, first);
  await Promise.all(rest);
  assert.deepEqual(order, [1, 2, 3]);
});

test("a place at the head that is held too long goes to the next", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const lines = createLines();
  const first = await lines.enter(shop, "kv s/a");
  const second = lines.enter(shop, "kv s/a");
  t.mock.timers.tick(limits.lineHoldMs);
  assert.notEqual(await second, first);
});
