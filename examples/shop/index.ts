/**
 * A shop: products, orders that reserve stock, payments, cancelling, and e-mails. What happens to an order is one commit at a
 * time, and each commit carries the message that leads to the next: a crash between two of them loses nothing, and one within
 * leaves no trace.
 */
import { every, fn, http } from "aloft";
import { type Answer, cancel, pay, place, release, type Wish } from "./ordering.ts";
import { holds, orders, products, stock, takings } from "./stores.ts";

export { mails } from "./mails.ts";
export { addUp, payments, reversals, unpaid } from "./payments.ts";

const linesMost = 20;
const releasedAtOnce = 100;

export const browse = http("GET /products", async () => {
  const found = [];
  for await (const { key, value } of products.list({ snapshot: true }))
    found.push({ id: key, ...value, left: (await stock.get(key)) ?? 0 });
  return Response.json(found);
});

export const order = http("POST /orders", async (request) => {
  const key = request.headers.get("idempotency-key") ?? "";
  if (key === "" || key.length > 200) return problem(400, "the header idempotency-key is missing or too long");
  const wish = wishFrom(await request.json().catch(() => null));
  if (wish === null) {
    return problem(400, 'an order is {"lines":[{"product","count"}],"email","card"?}, with each product once');
  }
  return answerWith(await place(key, wish), 201);
});

export const show = http("GET /orders/:id", async (_request, { params }) => {
  const found = await orders.get(params.id);
  return found === null ? problem(404, `there is no order ${params.id}`) : Response.json(found);
});

export const payLater = http("POST /orders/:id/payment", async (request, { params }) => {
  const { card } = ((await request.json().catch(() => null)) ?? {}) as { card?: unknown };
  if (typeof card !== "string" || card === "") return problem(400, 'a payment is {"card"}');
  return answerWith(await pay(params.id, card), 202);
});

export const giveUp = http("POST /orders/:id/cancel", async (_request, { params }) =>
  answerWith(await cancel(params.id), 202),
);

/** Orders whose customers never came back to pay: what they have reserved goes on sale again. */
export const releaseAbandoned = every("5s", async () => {
  const now = new Date().toISOString();
  for await (const { value: id } of holds.list({ end: now, limit: releasedAtOnce })) {
    const abandoned = await orders.get(id);
    if (abandoned?.status === "reserved") await release(abandoned);
  }
});

/** For those who run the shop: `aloft invoke shop/stockUp --data '{"id":"tea","name":"Tea","cents":450,"count":100}'`. */
export const stockUp = fn(async (given: { id: string; name: string; cents: number; count: number }) => {
  await products.set(given.id, { name: given.name, cents: given.cents });
  await stock.increment(given.id, given.count);
});

/** `aloft invoke shop/report`: what was sold, by day. */
export const report = fn(async () => {
  const found: Record<string, number> = {};
  for await (const { key, value } of takings.list()) found[key] = value;
  return found;
});

function wishFrom(given: unknown): Wish | null {
  if (typeof given !== "object" || given === null) return null;
  const { lines, email, card } = given as Partial<Record<keyof Wish, unknown>>;
  if (typeof email !== "string" || !email.includes("@") || !Array.isArray(lines)) return null;
  if (card !== undefined && (typeof card !== "string" || card === "")) return null;
  if (lines.length === 0 || lines.length > linesMost) return null;
  const read = lines.map((line) => {
    const { product, count } = (line ?? {}) as { product?: unknown; count?: unknown };
    const isLine = typeof product === "string" && Number.isSafeInteger(count) && Number(count) > 0;
    return isLine ? { product, count: Number(count) } : null;
  });
  const known = read.filter((line) => line !== null);
  if (known.length < lines.length || new Set(known.map(({ product }) => product)).size < lines.length) return null;
  return { lines: known, email, ...(card === undefined ? {} : { card }) };
}

function answerWith(answer: Answer, status: number): Response {
  return "order" in answer ? Response.json(answer.order, { status }) : problem(answer.status, answer.refused);
}

function problem(status: number, detail: string): Response {
  return Response.json({ detail }, { status, headers: { "content-type": "application/problem+json" } });
}
