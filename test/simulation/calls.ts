/**
 * Asynchronous calls in simulated time, under everything that goes wrong: with idempotency keys, delays, retries, destinations,
 * and callers who cancel while the call runs. What must hold in the end: a call that was acknowledged is made, with its effects
 * once, or has failed, or was cancelled, and says so; of calls with one key there is one; a call that was cancelled has no
 * effect; each end was told once; and no call is made beside itself (rules 2, 8 to 11 and 15 of docs/exactly-once.md).
 */
import assert from "node:assert/strict";
import { fn } from "../../sdk/fn.ts";
import { kv } from "../../sdk/kv.ts";
import type { AsyncCallBegun, AsyncCallJson } from "../../src/contract/async-calls.ts";
import { createAsyncCalls } from "../../src/state/async/async-calls.ts";
import { encodeTuple } from "../../src/contract/tuple.ts";
import { type Fleet, keepRunning } from "./fleet.ts";
import { functionsOf, guestOf, misfortune } from "./guest.ts";
import { type Connection, connect, deploymentOf, entriesOf, messagesIn, shopOf, untilDone } from "./node.ts";
import type { Counts } from "./seeds.ts";
import { noFaults, World } from "./world.ts";

interface Input {
  readonly number: number;
  /** No attempt succeeds. */
  readonly isPoison: boolean;
}

interface Made {
  readonly number: number;
  readonly id: string;
  readonly isTold: boolean;
  isCancelled: boolean;
}

const ledger = kv<number>("ledger");
const callsMost = 25;

export async function simulateCalls(seed: number): Promise<Counts> {
  const world = new World(seed);
  return await world.run(live(world));
}

async function live(world: World): Promise<Counts> {
  const app = appOf(world);
  const fleet = keepRunning(world, deploymentOf(functionsOf(app)), guestOf(world, app));
  const made = await make(world, fleet);
  await fleet.calm();
  const ended = await settle(world, made);
  await fleet.close();
  return { ...fleet.counts, ...(await check(world, made, ended)) };
}

function appOf(world: World): Readonly<Record<string, unknown>> {
  const report = fn(async ({ number, isPoison }: Input) => {
    await misfortune(world, 8_000);
    if (isPoison) throw new Error("no use");
    await ledger.increment(`made/${number}`);
    await misfortune(world, 1_000);
    return number * 2;
  });
  const hear = fn(async (told: { requestPayload: Input }) => {
    await misfortune(world, 1_000);
    await ledger.increment(`told/${told.requestPayload.number}`);
  });
  return { report, hear };
}

async function make(world: World, { faults }: Fleet): Promise<readonly Made[]> {
  const connection = connect(world, faults);
  const shop = await untilDone(world, () => shopOf(connection));
  const made: Made[] = [];
  const cancelling: Promise<void>[] = [];
  for (let number = 0; number < callsMost; number += 1) {
    const isTold = world.chance(0.5);
    const args = {
      input: { number, isPoison: world.chance(0.1) } satisfies Input,
      idempotencyKey: `key ${number}`,
      retry: world.one(["lambda", "none", { attempts: 20, minDelayMs: 50, maxDelayMs: 2_000 }] as const),
      ...(world.chance(0.3) ? { delayMs: world.pick(10_000) } : {}),
      ...(isTold ? { onSuccess: { function: "hear" }, onFailure: { queue: "failures" } } : {}),
    };
    const effect = { resource: "async", name: "report", method: "start", args } as const;
    const start = async (): Promise<AsyncCallBegun> => {
      const batch = { checks: [], writes: [], seen: [], effects: [effect] };
      const outcome = await connection.service.commit(shop, batch);
      assert.ok(outcome.kind === "committed");
      return outcome.results[0] as AsyncCallBegun;
    };
    // The key alone makes it safe to repeat.
    const { id } = await untilDone(world, start);
    if (world.chance(0.2)) {
      const again = await untilDone(world, start);
      assert.deepEqual(again, { id, duplicate: true });
    }
    const call: Made = { number, id, isTold, isCancelled: false };
    made.push(call);
    if (world.chance(0.3)) cancelling.push(cancel(world, connection, call));
    await world.sleep(world.pick(1_500));
  }
  await Promise.all(cancelling);
  return made;
}

/** While it waits, runs, is tried again or has ended. */
async function cancel(world: World, connection: Connection, call: Made): Promise<void> {
  await world.sleep(world.pick(world.one([10, 300, 10_000])));
  const shop = await shopOf(connection);
  const effect = { resource: "async", name: "call", method: "cancel", args: { id: call.id } } as const;
  const once = encodeTuple(["once", "cancel", call.id]);
  await untilDone(world, () =>
    connection.service.commit(shop, { checks: [], writes: [], seen: [], effects: [effect], once }),
  );
  // An answer may have been lost: what is stored says whether it was in time.
  const { status } = await callsOn(world).get("shop", "production", call.id);
  assert.notEqual(status, "pending");
  call.isCancelled = status === "cancelled";
}

function callsOn(world: World): ReturnType<typeof createAsyncCalls> {
  const { keyspace, service, environments } = connect(world, noFaults);
  return createAsyncCalls({ keyspace, service, environments, schedule: world.schedule });
}

async function settle(world: World, made: readonly Made[]): Promise<ReadonlyMap<string, AsyncCallJson>> {
  const calls = callsOn(world);
  for (let waits = 0; ; waits += 1) {
    await world.sleep(20_000);
    const all = await calls.list("shop", "production", { limit: 1_000 });
    const pending = all.filter(({ status }) => status === "pending");
    if (pending.length === 0) {
      const ended = new Map(all.map((call) => [call.id, call]));
      for (const { id, number } of made) assert.ok(ended.has(id), `the call ${number} is not known any more`);
      return ended;
    }
    assert.ok(waits < 100, `${pending.length} calls have not ended`);
  }
}

async function check(world: World, made: readonly Made[], ended: ReadonlyMap<string, AsyncCallJson>): Promise<Counts> {
  const found = await entriesOf(world, "ledger");
  const counts = { succeeded: 0, failed: 0, cancelled: 0, told: 0 };
  const failures = ((await messagesIn(world, "failures")) as { requestPayload: Input }[]).map(
    ({ requestPayload }) => requestPayload.number,
  );
  const reports = [...ended.values()].filter((call) => call.function === "report");
  assert.equal(reports.length, made.length, "calls of one key");
  for (const { number, id, isTold, isCancelled } of made) {
    const call = ended.get(id);
    assert.ok(call !== undefined && call.status !== "pending");
    counts[call.status] += 1;
    const has = call.status === "succeeded";
    assert.equal(found.get(`made/${number}`) ?? 0, has ? 1 : 0, `effects of the call ${number}, ${call.status}`);
    if (has) assert.equal(call.result, number * 2);
    if (isCancelled) assert.equal(call.status, "cancelled");
    assert.equal(failures.filter((one) => one === number).length, isTold && call.status === "failed" ? 1 : 0);
    const told = Number(found.get(`told/${number}`) ?? 0);
    counts.told += told;
    // What tells of it is a call of its own, which may fail as well.
    assert.ok(told <= (isTold && has ? 1 : 0), `the end of the call ${number} was told ${told} times`);
  }
  const hears = [...ended.values()].filter((call) => call.function === "hear");
  assert.equal(hears.length, made.filter(({ id, isTold }) => isTold && ended.get(id)?.status === "succeeded").length);
  assert.equal(hears.filter(({ status }) => status === "succeeded").length, counts.told);
  return counts;
}
