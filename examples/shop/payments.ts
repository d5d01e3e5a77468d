/**
 * Money, which is with the payment provider and so outside of every commit. What keeps the two in step:
 *
 * - a charge carries the message's `idempotencyKey`, the same for every attempt at it, after a crash too;
 * - a charge of which nobody knows whether it happened is never given up by itself: its order is reversed.
 */
import { queue, stream } from "aloft";
import { end } from "./ending.ts";
import { mails } from "./mails.ts";
import { ask } from "./outside.ts";
import { type Line, orders, takings } from "./stores.ts";

interface Sale {
  /** The day it was paid or given back: `2026-03-29`. */
  readonly day: string;
  readonly lines: readonly Line[];
  readonly cents: number;
  /** -1: given back. */
  readonly sign: 1 | -1;
}

export const sales = stream<Sale>("sales");

export const payments = queue<{ order: string; card: string }>(
  "payments",
  { retry: { attempts: 5, minDelay: "200ms" }, deadLetter: "unpaid" },
  async ([message], context) => {
    if (message === undefined) return;
    const { order: id, card } = message.body;
    const order = await orders.get(id);
    if (order?.status !== "paying") return; // cancelled meanwhile
    const answer = await ask("PAYMENTS_URL", "/charges", { reference: id, cents: order.cents, card }, context);
    if (answer.ok) {
      await orders.set(id, { ...order, status: "paid" });
      await sales.append({ day: today(), lines: order.lines, cents: order.cents, sign: 1 });
      await mails.send({ to: order.email, order: id, kind: "paid" });
    } else {
      await end(order, "refused");
    }
  },
);

/** Payments that were tried often enough. The last attempt may have charged the card all the same. */
export const unpaid = queue<{ order: string }>("unpaid", { retry: { attempts: 100 } }, async ([message]) => {
  const order = message === undefined ? null : await orders.get(message.body.order);
  if (order?.status !== "paying") return;
  await orders.set(order.id, { ...order, status: "reversing", outcome: "refused" });
  await reversals.send({ order: order.id, wasPaid: false });
});

/** The provider gives back what it has of an order, and takes nothing for it from then on. */
export const reversals = queue<{ order: string; wasPaid: boolean }>(
  "reversals",
  { retry: { attempts: 100, minDelay: "200ms", maxDelay: "1m" } },
  async ([message], context) => {
    const order = message === undefined ? null : await orders.get(message.body.order);
    if (message === undefined || order?.status !== "reversing") return;
    const answer = await ask("PAYMENTS_URL", "/reversals", { reference: order.id }, context);
    if (!answer.ok) throw new Error(`the payment provider answered a reversal with ${answer.status}`);
    if (message.body.wasPaid) await sales.append({ day: today(), lines: order.lines, cents: order.cents, sign: -1 });
    await end(order, order.outcome ?? "cancelled");
  },
);

/** Adds to each day what was sold, exactly: its additions commit together with how far it has read. */
export const addUp = sales.consume({ from: "earliest" }, async (records) => {
  for (const { value } of records) {
    const { day, lines, cents, sign } = value;
    await takings.increment(`${day} cents`, sign * cents);
    for (const { product, count } of lines) await takings.increment(`${day} sold ${product}`, sign * count);
  }
});

function today(): string {
  return new Date().toISOString().slice(0, 10);
}
