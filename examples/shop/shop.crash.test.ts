/**
 * The shop on a server that is killed at random moments while customers order, pay and cancel, with a payment provider and a mail
 * service that fail at random: 4 times here, 40 times in `npm run soak`. Customers ask again until they have an answer.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { QueueJson } from "../../src/contract/managing-queues.ts";
import { type AloftProcess, served } from "../../test/kit/aloft-process.ts";
import { lastFirst } from "../../test/kit/scope.ts";
import { temporaryFolder } from "../../test/kit/server.ts";
import { OutsideWorld, silentCard } from "./outside-world.ts";
import type { Order } from "./stores.ts";

const rounds = Number(process.env["ALOFT_SOAK"] ?? 1) > 1 ? 40 : 4;
const customersAtOnce = 6;
const shelf = { tea: 100_000, cup: 100_000, vase: 7 } as const;
const cents = { tea: 450, cup: 1200, vase: 99_000 } as const;
const shareOfFaults = 0.2;

/** What one customer wants, and how it ended for them; a customer whom the server left without an answer begins again. */
interface Customer {
  readonly number: number;
  readonly key: string;
  /** null: refused, since there is not enough of it. */
  order?: Order | null;
}

test(`a server killed ${rounds} times amid orders loses none, charges none twice, and its stock adds up`, async (t) => {
  const scope = lastFirst(t);
  const data = join(await temporaryFolder(scope), "data");
  const seed = Number(process.env["ALOFT_CRASH_SEED"] ?? Date.now() % 1_000_000);
  t.diagnostic(`ALOFT_CRASH_SEED=${seed}`);
  const random = randomFrom(seed);
  const world = await OutsideWorld.open(0, { share: shareOfFaults, random });
  scope.after(() => world.close());
  let server = await served(data, "--zygotes", "1");
  scope.after(() => server.kill());
  const set = { PAYMENTS_URL: world.url, MAIL_URL: world.url, HOLD_SECONDS: "1" };
  await server.client.changeVariables("shop", "production", { set });
  await server.deploy(import.meta.dirname);
  for (const [id, count] of Object.entries(shelf)) {
    const product = { id, name: id, cents: cents[id as keyof typeof cents], count };
    const payload = Buffer.from(JSON.stringify(product));
    assert.equal((await server.client.invoke("shop", "stockUp", "production", payload)).status, 200);
  }

  const customers: Customer[] = [];
  const waiting: Customer[] = [];
  const next = (): Customer => {
    const again = waiting.shift();
    if (again !== undefined) return again;
    const customer = { number: customers.length, key: crypto.randomUUID() };
    customers.push(customer);
    return customer;
  };
  for (let round = 1; round <= rounds; round += 1) {
    const wanted = countAnswered(customers) + 5 + Math.floor(random() * 40);
    const serving = server;
    const lines = Array.from({ length: customersAtOnce }, async () => {
      while (!serving.child.killed) {
        const customer = next();
        if (!(await attempt(serving, customer))) waiting.push(customer);
      }
    });
    await waitFor(() => countAnswered(customers) >= wanted);
    await server.kill();
    await Promise.all(lines);
    server = await served(data, "--zygotes", "1");
  }
  for (let customer = waiting.shift(); customer !== undefined; customer = waiting.shift()) {
    if (!(await attempt(server, customer))) waiting.push(customer);
  }

  const orders = await settledOrders(server);
  assert.equal(countAnswered(customers), customers.length);
  assertEachOnce(orders, customers);
  assertMoney(orders, world);
  await assertStock(server, orders);
  await assertMails(server, orders, world);
  await assertTakings(server, orders);
  const counts = Map.groupBy(orders.values(), ({ status }) => status);
  for (const status of ["paid", "refused", "cancelled"] as const) assert.ok(counts.has(status), `none was ${status}`);
  t.diagnostic(`${orders.size} orders, ${world.charges.length} charges, ${world.faultCount} faults outside`);
  assert.ok(world.faultCount > 0);
});

/** Every acknowledged order is there, and every order is that of one customer. */
function assertEachOnce(orders: ReadonlyMap<string, Order>, customers: readonly Customer[]): void {
  const acknowledged = customers.flatMap(({ order }) => (order === null || order === undefined ? [] : [order.id]));
  assert.deepEqual(acknowledged.toSorted(), [...orders.keys()].toSorted());
}

function assertMoney(orders: ReadonlyMap<string, Order>, world: OutsideWorld): void {
  const charges = Map.groupBy(world.charges, ({ reference }) => reference);
  for (const [id, order] of orders) {
    const charged = charges.get(id) ?? [];
    assert.ok(charged.length <= 1, `the order ${id} was charged ${charged.length} times`);
    if (order.status === "paid") {
      assert.equal(charged[0]?.cents, order.cents);
      assert.ok(!world.reversed.has(id), "money of a paid order went back");
    } else {
      assert.ok(charged.length === 0 || world.reversed.has(id), `the ${order.status} order ${id} has kept money`);
    }
  }
  assert.ok([...charges.keys()].every((reference) => orders.has(reference)));
}

async function assertStock(server: AloftProcess, orders: ReadonlyMap<string, Order>): Promise<void> {
  const left = new Map((await list<number>(server, "stock")).map(({ key, value }) => [key, value]));
  for (const [product, count] of Object.entries(shelf)) assert.equal(left.get(product), count - sold(orders, product));
}

function sold(orders: ReadonlyMap<string, Order>, product: string): number {
  const lines = [...orders.values()].filter(({ status }) => status === "paid").flatMap((order) => order.lines);
  return lines.reduce((sum, line) => sum + (line.product === product ? line.count : 0), 0);
}

/** An e-mail that was enqueued twice would have come with two keys. */
async function assertMails(
  server: AloftProcess,
  orders: ReadonlyMap<string, Order>,
  world: OutsideWorld,
): Promise<void> {
  const mails = [...world.mails.values()];
  const kinds = Map.groupBy(mails, ({ order }) => order);
  for (const [id, { status }] of orders) {
    const got = (kinds.get(id) ?? []).map(({ kind }) => kind);
    // A customer may have cancelled what was paid already.
    const wanted = status === "cancelled" && got.includes("paid") ? ["cancelled", "paid"] : [status];
    assert.deepEqual(got.toSorted(), wanted, `the e-mails of the order ${id}`);
  }
  assert.ok([...kinds.keys()].every((id) => orders.has(id)));
  const bounced = mails.filter(({ to }) => to.startsWith("bounce")).length;
  assert.equal((await queue(server, "mails")).deadLetters, bounced);
}

async function assertTakings(server: AloftProcess, orders: ReadonlyMap<string, Order>): Promise<void> {
  const paid = [...orders.values()].filter(({ status }) => status === "paid");
  const revenue = paid.reduce((sum, order) => sum + order.cents, 0);
  const sum = async (ending: string): Promise<number> =>
    (await list<number>(server, "takings"))
      .filter(({ key }) => key.endsWith(ending))
      .reduce((all, { value }) => all + value, 0);
  await waitFor(async () => (await sum("cents")) === revenue);
  for (const product of Object.keys(shelf)) assert.equal(await sum(`sold ${product}`), sold(orders, product));
}

/** When nothing is under way any more. */
async function settledOrders(server: AloftProcess): Promise<Map<string, Order>> {
  let orders: Order[] = [];
  await waitFor(async () => {
    orders = (await list<Order>(server, "orders")).map(({ value }) => value);
    return orders.every(({ status }) => ["paid", "refused", "cancelled"].includes(status));
  });
  for (const name of ["payments", "unpaid", "reversals", "mails"])
    await waitFor(async () => (await queue(server, name)).messages === 0);
  return new Map(orders.map((order) => [order.id, order]));
}

/** Whether the customer has got all the answers they wanted. */
async function attempt(server: AloftProcess, customer: Customer): Promise<boolean> {
  const { number, key } = customer;
  const post = async (path: string, body: object): Promise<{ status: number; order: Order }> => {
    const headers = { "aloft-app": "shop", "idempotency-key": key };
    const response = await fetch(`${server.http}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    const order = (await response.json()) as Order;
    if (response.status >= 500) throw new Error("the server has no answer");
    return { status: response.status, order };
  };
  try {
    const { status, order } = await post("/orders", wishOf(number));
    if (status === 409) customer.order = null;
    if (status !== 201) return customer.order === null;
    if (number % 8 === 2) await post(`/orders/${order.id}/payment`, { card: "visa" });
    if (number % 8 === 3) await post(`/orders/${order.id}/cancel`, {});
    customer.order = order;
    return true;
  } catch {
    return false;
  }
}

/** Some order without a card and never come back, or pay later; some cards are declined or never heard of; some cancel. */
function wishOf(number: number): object {
  const cards = [undefined, "declined", undefined, "visa", silentCard];
  const card = number % 8 < cards.length ? cards[number % 8] : "visa";
  const lines = [{ product: "tea", count: 1 + (number % 3) }];
  if (number % 2 === 0) lines.push({ product: "cup", count: 2 });
  if (number % 5 === 0) lines.push({ product: "vase", count: 1 });
  const email = number % 7 === 0 ? `bounce${number}@example.com` : `c${number}@example.com`;
  return { lines, email, ...(card === undefined ? {} : { card }) };
}

function countAnswered(customers: readonly Customer[]): number {
  return customers.filter(({ order }) => order !== undefined).length;
}

interface Entry<T> {
  readonly key: string;
  readonly value: T;
}

async function list<T>(server: AloftProcess, store: string): Promise<Entry<T>[]> {
  const found: Entry<T>[] = [];
  for (let start: string | null = ""; start !== null;) {
    const page: { entries: Entry<{ json: T }>[]; next: string | null } = await server.client.ask(
      "GET",
      `/v1/apps/shop/kv/${store}`,
      { query: { start, limit: 1000 } },
    );
    for (const { key, value } of page.entries) found.push({ key, value: value.json });
    start = page.next;
  }
  return found;
}

function queue(server: AloftProcess, name: string): Promise<QueueJson> {
  return server.client.ask<QueueJson>("GET", `/v1/apps/shop/queues/${name}`, {});
}

/** As long as it takes: the runner's own bound ends a test that hangs. */
async function waitFor(attempt: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await attempt())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** A linear congruential generator (Numerical Recipes). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
}
