/**
 * The real thing under load, killed at random moments: 20 times here, 200 times in `npm run soak`. No money may appear or vanish, and
 * every acknowledged transfer and note has happened once, together with what counts it.
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
  readonly totals: Readonly<Partial<Record<"transfers" | "notes", number>>>;
}

/** What callers know: an attempt that was not acknowledged may have happened or not. */
class Known {
  readonly attempted = new Set<string>();
  readonly acknowledged = new Set<string>();
  transfersAttempted = 0;
  transfersAcknowledged = 0;

  get acknowledgements(): number {
    return this.acknowledged.size + this.transfersAcknowledged;
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
  assertNothingLost(await reportOf(server), known);
});

function assertNothingLost({ accounts, notes, totals }: Report, known: Known): void {
  const sum = Object.values(accounts).reduce((all, amount) => all + amount, 0);
  assert.equal(sum, Object.keys(accounts).length * opening);
  const missing = [...known.acknowledged].filter((id) => notes[id] === undefined);
  assert.deepEqual(missing, [], "acknowledged notes that are not there");
  const wrong = Object.entries(notes).filter(([id, times]) => times !== 1 || !known.attempted.has(id));
  assert.deepEqual(wrong, [], "notes that were made more than once, or by nobody");
  assert.equal(totals.notes, Object.keys(notes).length);
  const { transfers = 0 } = totals;
  assert.ok(
    transfers >= known.transfersAcknowledged && transfers <= known.transfersAttempted,
    `${transfers} transfers`,
  );
}

async function callUntilGone(server: AloftProcess, known: Known, name: string): Promise<void> {
  for (let number = 0; ; number += 1) {
    try {
      if (number % 2 === 0) await makeNote(server, known, `${name}-${number}`);
      else await moveMoney(server, known, number);
    } catch {
      // A connection that was cut, or an instance that ended under a call: unless the server is gone, the next call finds out.
    }
    if (server.child.signalCode !== null || server.child.killed) return;
  }
}

async function makeNote(server: AloftProcess, known: Known, id: string): Promise<void> {
  known.attempted.add(id);
  if (await isDone(server, `/notes/${id}`, {})) known.acknowledged.add(id);
}

/** Few accounts, so that transfers meet each other. */
async function moveMoney(server: AloftProcess, known: Known, number: number): Promise<void> {
  const [from, to] = [number % accountCount, (number * 7 + 1) % accountCount].map((each) => `account ${each}`);
  known.transfersAttempted += 1;
  if (await isDone(server, "/transfer", { from, to: from === to ? "the bank" : to, amount: 1 + (number % 50) })) {
    known.transfersAcknowledged += 1;
  }
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
