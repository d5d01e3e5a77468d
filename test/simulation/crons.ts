/**
 * Schedules in simulated time, under everything that goes wrong, with every policy for ticks that were missed and for ticks that
 * come due while another runs, with jitter, and a new deployment that changes the policies. What must hold in the end: no tick
 * takes effect twice, none runs before its time or beside itself, with overlap "skip" and "queue" they take effect in order, and
 * where no tick may be left out none is (rules 2, 4, 8 and 9 of docs/exactly-once.md).
 */
import assert from "node:assert/strict";
import { cron, every, type Tick } from "../../sdk/cron.ts";
import { kv } from "../../sdk/kv.ts";
import { limits } from "../../src/contract/limits.ts";
import { keepRunning } from "./fleet.ts";
import { functionsOf, guestOf, misfortune } from "./guest.ts";
import { deploymentOf, entriesOf } from "./node.ts";
import type { Counts } from "./seeds.ts";
import { World } from "./world.ts";

type Missed = "skip" | "once" | "all";
type Overlap = "skip" | "queue" | "allow";

interface Policy {
  readonly missed: Missed;
  readonly overlap: Overlap;
  readonly jitterMs: number;
  readonly attempts: number;
}

const schedules = { ticking: 60_000, tocking: 120_000 } as const;
type Name = keyof typeof schedules;
const names = Object.keys(schedules) as Name[];
const ledger = kv<readonly number[]>("ledger");

export async function simulateCrons(seed: number): Promise<Counts> {
  const world = new World(seed);
  return await world.run(live(world));
}

async function live(world: World): Promise<Counts> {
  const policies: Policy[] = [policyOf(world)];
  const app = appOf(world, policies[0] as Policy);
  const fleet = keepRunning(world, deploymentOf(functionsOf(app)), guestOf(world, app), 100_000);
  const beganMs = world.clock.nowMs();
  await world.sleep(60_000 + world.pick(200_000));
  if (world.chance(0.4)) {
    policies.push(policyOf(world));
    fleet.publish(deploymentOf(functionsOf(appOf(world, policies[1] as Policy)), 2));
  }
  await world.sleep(60_000 + world.pick(200_000));
  await fleet.calm();
  // Whatever was put off by a clock that has stepped is over, and the next tick has come.
  await world.sleep(300_000);
  const endedMs = world.clock.nowMs();
  await world.sleep(150_000);
  await fleet.close();
  const ticks = await check(world, policies, { beganMs, endedMs, hasStepped: fleet.counts.clockSteps > 0 });
  return { ...fleet.counts, ...ticks, changes: policies.length - 1 };
}

function policyOf(world: World): Policy {
  return {
    missed: world.one(["skip", "once", "all"]),
    overlap: world.one(["skip", "queue", "allow"]),
    jitterMs: world.one([0, 0, 5_000]),
    attempts: world.one([1, 50]),
  };
}

function appOf(world: World, { missed, overlap, jitterMs, attempts }: Policy): Readonly<Record<string, unknown>> {
  const options = { missed, overlap, jitter: jitterMs, attempts, backoff: 200 } as const;
  const handler =
    (name: Name) =>
    async ({ scheduledAt }: Tick): Promise<void> => {
      assert.ok(scheduledAt <= world.latestMs, `${name} runs before its time`);
      await misfortune(world, 25_000);
      await ledger.increment(`ran/${name} ${scheduledAt}`);
      if (overlap === "allow") return;
      const before = (await ledger.get(`order/${name}`)) ?? [];
      await ledger.set(`order/${name}`, [...before, scheduledAt]);
    };
  return {
    ticking: every("1m", options, handler("ticking")),
    tocking: cron("*/2 * * * *", options, handler("tocking")),
  };
}

async function check(
  world: World,
  policies: readonly Policy[],
  { beganMs, endedMs, hasStepped }: { beganMs: number; endedMs: number; hasStepped: boolean },
): Promise<Counts> {
  const found = await entriesOf(world, "ledger");
  let ticks = 0;
  let complete = 0;
  for (const name of names) {
    const ran = [...found.keys()]
      .filter((key) => key.startsWith(`ran/${name} `))
      .map((key) => Number(key.split(" ")[1]));
    ticks += ran.length;
    for (const atMs of ran) {
      assert.equal(found.get(`ran/${name} ${atMs}`), 1, `the tick ${atMs} of ${name}`);
      assert.equal(atMs % schedules[name], 0);
    }
    // One that is not tried again may have failed both times.
    const isStubborn = policies.every(({ attempts }) => attempts > 1);
    assert.ok(!isStubborn || ran.some((atMs) => atMs >= endedMs - 2 * schedules[name]), `${name} has stopped`);
    const order = (found.get(`order/${name}`) ?? []) as number[];
    if (policies.every(({ overlap }) => overlap !== "allow")) {
      assert.equal(order.length, ran.length);
      const sorted = order.toSorted((a, b) => a - b);
      assert.deepEqual(order, sorted, `ticks of ${name} are out of order`);
    }
    // Ticks may be left out by policy, after the last attempt, or because more wait than may.
    const isComplete = policies.every(
      ({ missed, overlap, attempts }) => missed === "all" && overlap !== "skip" && attempts > 1,
    );
    if (!isComplete || hasStepped) continue;
    complete += 1;
    const first = Math.min(...ran);
    assert.ok(first <= beganMs + schedules[name] + limits.cronGraceMs, `${name} has begun late`);
    for (let atMs = first; atMs <= endedMs - 2 * schedules[name]; atMs += schedules[name]) {
      assert.ok(ran.includes(atMs), `the tick ${atMs} of ${name} was left out`);
    }
  }
  return { ticks, complete };
}
