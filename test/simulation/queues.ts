/**
 * Queues in simulated time, under everything that goes wrong: nodes crash, wake-ups get lost, commits fail or end unknown, leases are
 * lost, clocks step. What must hold in the end: every message that was sent is handled with its effects exactly once or lies in
 * the dead-letter queue, groups were handled in order, counters are exact; and at no time do two deliveries of a message run.
 */
import assert from "node:assert/strict";
import type { FunctionSpec, LiveDeployment } from "../../src/contract/deployment.ts";
import { encodeTuple } from "../../src/contract/tuple.ts";
import { createQueueOperations } from "../../src/state/queue/queue-operations.ts";
import type { Effect, OutcomeDocument, Seen } from "../../src/wire/effects.ts";
import { type Fleet, keepRunning } from "./fleet.ts";
import { commitOnce, connect, deploymentOf, entriesOf, type Handle, messagesIn, shopOf, untilDone } from "./node.ts";
import type { Counts } from "./seeds.ts";
import { noFaults, World } from "./world.ts";

const messages = 30;

export async function simulateQueues(seed: number): Promise<Counts> {
  const world = new World(seed);
  return await world.run(live(world));
}

async function live(world: World): Promise<Counts> {
  const fleet = keepRunning(world, deploymentOf([workOf(world)]), handlerOf(world));
  await send(world, fleet);
  await fleet.calm();
  const dead = await settle(world);
  await fleet.close();
  await check(world, dead);
  return { ...fleet.counts, dead: dead.size };
}

async function send(world: World, { faults }: Fleet): Promise<void> {
  const sender = connect(world, faults);
  const shop = await untilDone(world, () => shopOf(sender));
  for (let number = 0; number < messages; number++) {
    const group = world.chance(0.4) ? world.one(["g", "h"]) : undefined;
    const delayMs = group === undefined && world.chance(0.3) ? world.pick(20_000) : 0;
    const priority = group === undefined && world.chance(0.2) ? world.pick(10) : 0;
    const args = { body: { number, group }, delayMs, priority, ...(group === undefined ? {} : { group }) };
    const effect: Effect = { resource: "queue", name: "work", method: "send", args };
    await commitOnce(world, sender, shop, encodeTuple(["once", "send", number]), [effect]);
    await world.sleep(world.pick(800));
  }
}

/** A ledger: each message is noted once, groups in order, all of them in a sum; one in ten attempts fails, some crash. */
function handlerOf(world: World): Handle {
  return async ({ service, shop }, delivery) => {
    const { messages } = delivery.document.payload as Payload;
    if (world.chance(0.05)) return "refused";
    await world.sleep(world.pick(world.chance(0.05) ? 15_000 : 300));
    if (world.chance(0.05)) return "crash";
    const seen: Seen[] = [];
    const effects: Effect[] = [];
    const failed: { id: string; error: { type: string; message: string; stack: string } }[] = [];
    const broken = new Set<string>();
    const lists = new Map<string, number[]>();
    const isEach = world.chance(0.5);
    for (const { id, body } of messages) {
      const { number, group } = body;
      if (group !== undefined && broken.has(group)) continue;
      if (world.chance(0.1)) {
        // Some say when to try again, which has a batch wait as a whole.
        const retry = world.chance(0.5) ? { retry: { afterMs: world.pick(2000) } } : {};
        if (!isEach) return { ok: false, error: { type: "Error", message: "bad luck", stack: "", ...retry }, seen };
        failed.push({ id, error: { type: "Error", message: "bad luck", stack: "" } });
        if (group !== undefined) broken.add(group);
        continue;
      }
      effects.push(kv("increment", handledKey(number), {}), kv("increment", "sum", { by: number }));
      if (group === undefined) continue;
      let list = lists.get(group);
      if (list === undefined) {
        const reply = await service.read(shop, {
          resource: "kv",
          name: "ledger",
          method: "get",
          args: { key: `order/${group}` },
        });
        seen.push(...reply.seen);
        list = (reply.value as { value: { json: number[] } } | null)?.value.json ?? [];
      }
      lists.set(group, [...list, number]);
    }
    for (const [group, list] of lists) effects.push(kv("set", `order/${group}`, { value: { json: list } }));
    const outcome = { ok: true, value: null, seen, effects } satisfies OutcomeDocument;
    return failed.length === 0 ? outcome : { ...outcome, failed };
  };
}

interface Payload {
  readonly messages: readonly {
    readonly id: string;
    readonly body: { readonly number: number; readonly group?: string };
  }[];
}

function kv(method: string, key: string, args: object): Effect {
  return { resource: "kv", name: "ledger", method, args: { key, ...args } };
}

/** Answers the numbers of messages in the dead-letter queue, when all are handled or there. */
async function settle(world: World): Promise<ReadonlySet<number>> {
  for (let waits = 0; ; waits++) {
    await world.sleep(10_000);
    const done = (await entriesOf(world, "ledger", "handled/")).size;
    const dead = await deadLetters(world);
    if (done + dead.size >= messages) return dead;
    assert.ok(waits < 400, `${done} are handled and ${dead.size} dead of ${messages}`);
  }
}

async function deadLetters(world: World): Promise<ReadonlySet<number>> {
  const dead = (await messagesIn(world, "work-dead")) as { number: number }[];
  return new Set(dead.map(({ number }) => number));
}

async function check(world: World, dead: ReadonlySet<number>): Promise<void> {
  const ledger = await entriesOf(world, "ledger");
  let sum = 0;
  for (let number = 0; number < messages; number++) {
    const times = Number(ledger.get(handledKey(number)) ?? 0) + (dead.has(number) ? 1 : 0);
    assert.equal(times, 1, `message ${number}`);
    if (!dead.has(number)) sum += number;
  }
  assert.equal(ledger.get("sum") ?? 0, sum);
  for (const [key, list] of ledger) {
    if (!key.startsWith("order/")) continue;
    const numbers = list as number[];
    const sorted = numbers.toSorted((a, b) => a - b);
    assert.deepEqual(numbers, sorted, "a group is out of order");
  }
  const queue = await operationsOn(world).getQueue("shop", "production", "work");
  assert.deepEqual([queue.messages, queue.delayed, queue.oldestSentAt], [0, 0, null]);
  assert.equal(queue.deadLetters, dead.size);
}

function handledKey(number: number): string {
  return `handled/${String(number).padStart(4, "0")}`;
}

function operationsOn(world: World): ReturnType<typeof createQueueOperations> {
  const { keyspace, service, environments } = connect(world, noFaults);
  const consumed = [{ name: "work", functionName: "work", options: {} }];
  return createQueueOperations({ keyspace, environments, state: service, consumed: () => consumed, onError: () => {} });
}

function workOf(world: World): FunctionSpec {
  const options = {
    batch: world.one([1, 3, 10]),
    concurrency: world.one([1, 4, 64]),
    batchWindow: world.one([0, 500]),
    retry: { attempts: world.one([2, 8]), minDelay: world.one(["10ms", "2s"]), maxDelay: "20s" },
  };
  const triggers = [{ kind: "queue", name: "work", options }];
  return {
    name: "work",
    style: "event",
    triggers,
    group: "events",
  } as unknown as LiveDeployment["manifest"]["functions"][number];
}
