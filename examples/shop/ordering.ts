/** Placing, paying and cancelling an order. Each is one `atomic` block: stock, order and message change together or not at all. */
import { atomic } from "aloft";
import { end } from "./ending.ts";
import { payments, reversals } from "./payments.ts";
import { holdKey, holds, type Line, type Order, orders, products, requests, stock } from "./stores.ts";

export interface Wish {
  readonly lines: readonly Line[];
  readonly email: string;
  /** What the payment provider calls the customer's card; without one the order waits for its payment. */
  readonly card?: string;
}

export type Answer = { readonly order: Order } | { readonly refused: string; readonly status: 404 | 409 | 422 };

/** A client that never heard the answer asks again with the same key and gets the same order. */
export async function place(key: string, wish: Wish): Promise<Answer> {
  const content = JSON.stringify(wish);
  const id = crypto.randomUUID();
  const holdUntil = Date.now() + Number(process.env["HOLD_SECONDS"] ?? 900) * 1000;
  return await atomic(async (): Promise<Answer> => {
    const before = await requests.get(key);
    if (before !== null) {
      if (before.content !== content) return refuse(422, "this idempotency key was used for another order");
      return await orderOf(before.order);
    }
    // What a block has written when it returns is committed, whatever it returns: so all is looked at before any is taken.
    const taken: { readonly product: string; readonly left: number }[] = [];
    let cents = 0;
    for (const { product, count } of wish.lines) {
      const known = await products.get(product);
      if (known === null) return refuse(404, `there is no product ${product}`);
      const left = (await stock.get(product)) ?? 0;
      if (left < count) return refuse(409, `of ${product} there are ${left} left`);
      taken.push({ product, left: left - count });
      cents += known.cents * count;
    }
    for (const { product, left } of taken) await stock.set(product, left);
    const { lines, email, card } = wish;
    const order: Order = { id, lines, cents, email, status: card === undefined ? "reserved" : "paying", holdUntil };
    await orders.set(id, order);
    await requests.set(key, { order: id, content }, { expiresIn: "1d" });
    if (card === undefined) await holds.set(holdKey(order), id);
    else await payments.send({ order: id, card });
    return { order };
  });
}

export async function pay(id: string, card: string): Promise<Answer> {
  return await atomic(async (): Promise<Answer> => {
    const found = await orderOf(id);
    if ("refused" in found || found.order.status === "paying" || found.order.status === "paid") return found;
    if (found.order.status !== "reserved") return refuse(409, `the order is ${found.order.status}`);
    const order: Order = { ...found.order, status: "paying" };
    await orders.set(id, order);
    await holds.delete(holdKey(order));
    await payments.send({ order: id, card });
    return { order };
  });
}

/** At any time. Where money may be under way, the order is cancelled once the provider has given it back. */
export async function cancel(id: string): Promise<Answer> {
  return await atomic(async (): Promise<Answer> => {
    const found = await orderOf(id);
    if ("refused" in found) return found;
    switch (found.order.status) {
      case "reserved":
        return { order: await release(found.order) };
      case "paying":
      case "paid": {
        const order: Order = { ...found.order, status: "reversing", outcome: "cancelled" };
        await orders.set(id, order);
        await reversals.send({ order: id, wasPaid: found.order.status === "paid" });
        return { order };
      }
      default:
        return found;
    }
  });
}

/** What was reserved goes on sale again. */
export async function release(reserved: Order): Promise<Order> {
  await holds.delete(holdKey(reserved));
  return await end(reserved, "cancelled");
}

async function orderOf(id: string): Promise<Answer> {
  const order = await orders.get(id);
  return order === null ? refuse(404, `there is no order ${id}`) : { order };
}

function refuse(status: 404 | 409 | 422, refused: string): Answer {
  return { refused, status };
}
