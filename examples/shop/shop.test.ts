import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { QueueJson } from "../../src/contract/managing-queues.ts";
import { startTestServer } from "../../test/kit/server.ts";
import { until } from "../../test/kit/until.ts";
import { OutsideWorld, silentCard } from "./outside-world.ts";
import type { Order } from "./stores.ts";

const world = await OutsideWorld.open();
const server = await startTestServer({ after });
after(() => world.close());
await server.client.changeVariables("shop", "production", {
  set: { PAYMENTS_URL: world.url, MAIL_URL: world.url, HOLD_SECONDS: "1000" },
});
await server.deploy(import.meta.dirname);
await stockUp({ id: "tea", name: "Tea", cents: 450, count: 10 });
await stockUp({ id: "cup", name: "Cup", cents: 1200, count: 2 });

async function stockUp(product: object): Promise<void> {
  const { status } = await invoke("stockUp", product);
  assert.equal(status, 200);
}

function invoke(name: string, input: unknown): Promise<{ status: number; body: Buffer }> {
  return server.client.invoke("shop", name, "production", Buffer.from(JSON.stringify(input)));
}

async function post(
  path: string,
  body: unknown,
  key: string = crypto.randomUUID(),
): Promise<{ status: number; order: Order }> {
  const headers = { "idempotency-key": key };
  const response = await server.fetch("shop", path, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: response.status, order: (await response.json()) as Order };
}

async function ended(id: string, status: Order["status"]): Promise<void> {
  await until(`the order is ${status}`, async () => (await get<Order>(`/orders/${id}`)).status === status);
}

async function get<T>(path: string): Promise<T> {
  return (await (await server.fetch("shop", path)).json()) as T;
}

async function left(product: string): Promise<number | undefined> {
  const found = await get<{ id: string; left: number }[]>("/products");
  return found.find(({ id }) => id === product)?.left;
}

function wish(product: string, count: number, more: object = {}): object {
  return { lines: [{ product, count }], email: "ada@example.com", ...more };
}

async function mailOf(id: string): Promise<string> {
  return await until("its e-mail", () => [...world.mails.values()].find(({ order }) => order === id)?.kind);
}

test("an order is placed once for each key, paid, mailed and reported", async () => {
  const key = crypto.randomUUID();
  const first = await post("/orders", wish("tea", 3, { card: "visa" }), key);
  const second = await post("/orders", wish("tea", 3, { card: "visa" }), key);
  assert.deepEqual([first.status, second.status, second.order.id], [201, 201, first.order.id]);
  assert.equal((await post("/orders", wish("tea", 4, { card: "visa" }), key)).status, 422);
  await ended(first.order.id, "paid");
  assert.equal(await mailOf(first.order.id), "paid");
  assert.deepEqual(
    world.charges.map(({ reference, cents }) => [reference, cents]),
    [[first.order.id, 1350]],
  );
  assert.equal(await left("tea"), 7);
  await until("the day's takings", async () => {
    const found = JSON.parse((await invoke("report", null)).body.toString()) as Record<string, number>;
    const [cents] = Object.entries(found).find(([name]) => name.endsWith("cents")) ?? [];
    return cents !== undefined && found[cents] === 1350 && found[cents.replace("cents", "sold tea")] === 3;
  });
});

test("a declined card and a payment of which nobody hears give their stock back, and no money stays charged", async () => {
  for (const card of ["declined", silentCard]) {
    const { order } = await post("/orders", wish("cup", 2, { card }));
    await ended(order.id, "refused");
    assert.equal(await left("cup"), 2);
    assert.equal(await mailOf(order.id), "refused");
    const charges = world.charges.filter(({ reference }) => reference === order.id).length;
    assert.equal(charges, card === silentCard ? 1 : 0);
    assert.equal(world.reversed.has(order.id), card === silentCard);
  }
});

test("an order may be reserved, paid later, and cancelled at any time", async () => {
  const before = await left("tea");
  const { order } = await post("/orders", wish("tea", 1));
  assert.equal(order.status, "reserved");
  assert.equal((await post("/orders", wish("tea", before ?? 0))).status, 409);
  assert.equal((await post(`/orders/${order.id}/payment`, { card: "visa" })).status, 202);
  await ended(order.id, "paid");
  assert.equal((await post(`/orders/${order.id}/cancel`, {})).order.status, "reversing");
  await ended(order.id, "cancelled");
  assert.ok(world.reversed.has(order.id));
  assert.equal((await post(`/orders/${order.id}/payment`, { card: "visa" })).status, 409);
  const other = await post("/orders", wish("tea", 1));
  assert.equal((await post(`/orders/${other.order.id}/cancel`, {})).order.status, "cancelled");
  assert.equal(await mailOf(other.order.id), "cancelled");
  assert.equal(await left("tea"), before);
});

test("an abandoned order goes on sale again, and an e-mail that nobody takes is kept for somebody to look at", async () => {
  await server.client.changeVariables("shop", "production", { set: { HOLD_SECONDS: "0" } });
  const before = await left("tea");
  const { order } = await post("/orders", wish("tea", 2, { email: "bounce@example.com" }));
  await ended(order.id, "cancelled");
  assert.equal(await left("tea"), before);
  const dead = await until("the dead letter", async () => {
    const queue = await server.client.ask<QueueJson>("GET", "/v1/apps/shop/queues/mails", {});
    return queue.deadLetters === 1;
  });
  assert.ok(dead);
});

test("what is no order is refused", async () => {
  const table: [body: unknown, status: number][] = [
    [null, 400],
    [wish("tea", 0), 400],
    [wish("tea", 1, { email: "nobody" }), 400],
    [wish("tea", 1, { card: 7 }), 400],
    [{ ...wish("tea", 1), lines: [] }, 400],
    [wish("gold", 1), 404],
    [wish("tea", 1000), 409],
    [
      {
        ...wish("tea", 1),
        lines: [
          { product: "tea", count: 1 },
          { product: "cup", count: 9 },
        ],
      },
      409,
    ],
  ];
  for (const [body, status] of table) assert.equal((await post("/orders", body)).status, status, JSON.stringify(body));
  assert.equal((await post("/orders", wish("tea", 1), "")).status, 400);
  assert.equal((await post("/orders/none/payment", { card: "visa" })).status, 404);
  assert.equal((await post("/orders/none/cancel", {})).status, 404);
  assert.equal((await server.fetch("shop", "/orders/none")).status, 404);
});
