/**
 * The real thing under load, killed at random moments: 20 times here, 200 times in `npm run soak`. No money may appear or vanish,
 * every acknowledged transfer, note and order has happened once, together with what counts it, and every order is handled with its
 * effects once.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { type AloftProcess, served } from "../kit/aloft-process.ts";
import { lastFirst } from "../kit/scope.ts";
import { temporaryFolder } from "../kit/server.ts";
import { until } from "../kit/until.ts";

const rounds = Number(process.env["ALOFT_SOAK"] ?? 1) > 1 ? 200 : 20;
const callers = 8;
const accountCount = 10;
const opening = 1000;

interface Report {
  readonly accounts: Readonly<Record<string, number>>;
  readonly notes: Readonly<Record<string, number>>;
  readonly handled: Readonly<Record<string, number>>;
  readonly totals: Readonly<Partial<Record<"transfers" | "notes" | "sent" | "handled", number>>>;
}

/** One that was not acknowledged may have happened or not. */
class Attempts {
  readonly ids = new Set<string>();
  readonly acknowledged = new Set<string>();

  async attempt(id: string, work: Promise<boolean>): Promise<void> {
    this.ids.add(id);
    if (await work) this.acknowledged.add(id);
  }

  assertCount(what: string, count: number): void {
    assert.ok(
      count >= this.acknowledged.size && count <= this.ids.size,
      `${count} ${what}, ${this.acknowledged.size} of ${this.ids.size} acknowledged`,
    );
  }
}

/** What all callers together know. */
class Known {
  readonly notes = new Attempts();
  readonly orders = new Attempts();
  readonly transfers = new Attempts();

  get acknowledgements(): number {
    return this.notes.acknowledged.size + this.orders.acknowledged.size + this.transfers.acknowledged.size;
  }
}

test(`a server that is killed ${rounds} times under load loses nothing acknowledged and does nothing twice`, async (t) => {
  const scope = lastFirst(t);
  const data = join(await temporaryFolder(scope), "data");
  const seed = Number(process.env["ALOFT_CRASH_SEED"] ?? Date.now() % 1_000_000);
  t.diagnostic(`ALOFT_CRASH_SEED=${seed}`);
  const random = randomFrom(seed);
  const known = new Known();
  let server = await served(data, "--zygotes", "1");
  scope.after(() => server.kill());
  await server.deploy(join(import.meta.dirname, "bank"));
  for (let round = 1; round <= rounds; round += 1) {
    const before = known.acknowledgements;
    const wanted = 1 + Math.floor(random() * 40);
    const calling = Array.from({ length: callers }, (_, caller) => callUntilGone(server, known, `${round}-${caller}`));
    await until(`${wanted} acknowledgements`, () => known.acknowledgements >= before + wanted);
    await server.kill();
    await Promise.all(calling);
    server = await served(data, "--zygotes", "1");
    if (round % 5 === 0) assertNothingLost(await reportOf(server), known);
  }
  // What is still in the queue is handled now.
  const last = await until("every order handled", async () => {
    const report = await reportOf(server);
    return (report.totals.handled ?? 0) >= (report.totals.sent ?? 0) && report;
  });
  assertNothingLost(last, known);
  const unhandled = [...known.orders.acknowledged].filter((id) => last.handled[id] !== 1);
  assert.deepEqual(unhandled, [], "acknowledged orders that were not handled once");
  assert.equal(last.totals.handled, last.totals.sent);
  assert.equal(last.totals.handled, Object.keys(last.handled).length);
  assert.ok(known.acknowledgements > rounds, "hardly anything happened");
});

function assertNothingLost({ accounts, notes, handled, totals }: Report, known: Known): void {
  const sum = Object.values(accounts).reduce((all, amount) => all + amount, 0);
  assert.equal(sum, Object.keys(accounts).length * opening);
  const missing = [...known.notes.acknowledged].filter((id) => notes[id] === undefined);
  assert.deepEqual(missing, [], "acknowledged notes that are not there");
  assert.deepEqual(wrongIn(notes, known.notes), [], "notes that were made more than once, or by nobody");
  assert.deepEqual(wrongIn(handled, known.orders), [], "orders that were handled more than once, or never sent");
  assert.equal(totals.notes ?? 0, Object.keys(notes).length);
  known.transfers.assertCount("transfers", totals.transfers ?? 0);
  known.orders.assertCount("orders sent", totals.sent ?? 0);
}

function wrongIn(counts: Readonly<Record<string, number>>, attempts: Attempts): [string, number][] {
  return Object.entries(counts).filter(([id, times]) => times !== 1 || !attempts.ids.has(id));
}

async function callUntilGone(server: AloftProcess, known: Known, name: string): Promise<void> {
  for (let number = 0; ; number += 1) {
    const id = `${name}-${number}`;
    try {
      if (number % 3 === 0) await known.notes.attempt(id, isDone(server, `/notes/${id}`, {}));
      else if (number % 3 === 1) await known.orders.attempt(id, isDone(server, `/orders/${id}`, {}));
      else await known.transfers.attempt(id, isDone(server, "/transfer", transferOf(number)));
    } catch {
      // A connection that was cut, or an instance that ended under a call: unless the server is gone, the next call finds out.
    }
    if (server.child.signalCode !== null || server.child.killed) return;
  }
}

/** Few accounts, so that transfers meet each other. */
function transferOf(number: number): { from: string; to: string; amount: number } {
  const [from, to] = [number % accountCount, (number * 7 + 1) % accountCount];
  return { from: `account ${from}`, to: from === to ? "the bank" : `account ${to}`, amount: 1 + (number % 50) };
}

async function isDone(server: AloftProcess, path: string, body: unknown): Promise<boolean> {
  const response = await fetch(`${server.http}${path}`, {
    method: "POST",
    headers: { "aloft-app": "bank" },
    body: JSON.stringify(body),
  });
  await response.arrayBuffer();
  return response.status === 200;
}

async function reportOf(server: AloftProcess): Promise<Report> {
  const response = await server.fetch("bank", "/report");
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text) as Report;
}

/** A linear congruential generator (Numerical Recipes). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
}
