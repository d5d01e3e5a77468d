/** What the crash test drives: money that is moved, notes that are made once, and orders that are sent and handled. */
import { atomic, http, kv, queue } from "../../../sdk/index.ts";

interface Transfer {
  readonly from: string;
  readonly to: string;
  readonly amount: number;
}

const accounts = kv<number>("accounts");
const notes = kv<number>("notes");
const handled = kv<number>("handled");
const totals = kv<number>("totals");

const opening = 1000;

/** Two accounts change together, by what was read of them, or neither. */
export const transfer = http("POST /transfer", async (request) => {
  const { from, to, amount } = (await request.json()) as Transfer;
  await atomic(async () => {
    await accounts.set(from, ((await accounts.get(from)) ?? opening) - amount);
    await accounts.set(to, ((await accounts.get(to)) ?? opening) + amount);
    await totals.increment("transfers");
  });
  return Response.json({});
});

/** Made and counted in one commit; a second one of the same name would be 2. */
export const note = http("POST /notes/:id", async (_request, { params }) => {
  await atomic(async () => {
    await notes.set(params.id, ((await notes.get(params.id)) ?? 0) + 1);
    await totals.increment("notes");
  });
  return Response.json({});
});

/** Sent and counted in one commit. */
export const order = http("POST /orders/:id", async (_request, { params }) => {
  await atomic(async () => {
    await orders.send({ id: params.id });
    await totals.increment("sent");
  });
  return Response.json({});
});

/** Taken from the queue, marked and counted in one commit; one that were handled again would be 2. */
export const orders = queue<{ id: string }>("orders", { batch: 10, retry: { attempts: 100 } }, async (messages) => {
  for (const { body } of messages) {
    await handled.set(body.id, ((await handled.get(body.id)) ?? 0) + 1);
    await totals.increment("handled");
  }
});

export const report = http("GET /report", async () => {
  const all = async (of: typeof accounts): Promise<Record<string, number>> => {
    const values: Record<string, number> = {};
    for await (const { key, value } of of.list()) values[key] = value;
    return values;
  };
  return Response.json({
    accounts: await all(accounts),
    notes: await all(notes),
    handled: await all(handled),
    totals: await all(totals),
  });
});
