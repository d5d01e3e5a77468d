/** What the shop keeps, and the life of an order. */
import { kv } from "aloft";

export interface Product {
  readonly name: string;
  readonly cents: number;
}

export interface Line {
  readonly product: string;
  readonly count: number;
}

/**
 *   reserved -> paying -> paid
 *      |           |        |
 *      |           +--------+--> reversing -> refused | cancelled
 *      +-----------------------> cancelled
 *
 * Stock is taken with `reserved` (or `paying`, where a card came with the order) and given back with `refused` and
 * `cancelled`: in the same commit. `reversing`: it will be one of the two when the payment provider has said that no money of
 * the order is left with it.
 */
export interface Order {
  readonly id: string;
  readonly lines: readonly Line[];
  readonly cents: number;
  readonly email: string;
  readonly status: "reserved" | "paying" | "paid" | "reversing" | "refused" | "cancelled";
  /** Where `reversing` leads. */
  readonly outcome?: "refused" | "cancelled";
  /** Epoch milliseconds: until when what is reserved waits for its payment. */
  readonly holdUntil: number;
}

export const products = kv<Product>("products");
/** Pieces by product that nobody has reserved. */
export const stock = kv<number>("stock");
export const orders = kv<Order>("orders");
/** Orders that are reserved, with the end of their time in front: what is overdue comes first. */
export const holds = kv<string>("holds");
/** What a client has ordered with an idempotency key. */
export const requests = kv<{ readonly order: string; readonly content: string }>("requests");
/** Sold pieces and cents by day, which grow with each order that is paid and shrink with each that is given back. */
export const takings = kv<number>("takings");

export function holdKey({ id, holdUntil }: Pick<Order, "id" | "holdUntil">): string {
  return `${new Date(holdUntil).toISOString()} ${id}`;
}
