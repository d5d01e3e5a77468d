/** The end of an order that nobody has paid for, or whose money has gone back: one commit with what led to it. */
import { mails } from "./mails.ts";
import { type Order, orders, stock } from "./stores.ts";

export async function end(order: Order, status: "refused" | "cancelled"): Promise<Order> {
  const ended: Order = { ...order, status };
  await orders.set(order.id, ended);
  // Adding does not read, so that orders that end at once never wait for each other.
  for (const { product, count } of order.lines) await stock.increment(product, count);
  await mails.send({ to: order.email, order: order.id, kind: status });
  return ended;
}
