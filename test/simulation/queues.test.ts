/**
 * Queues in simulated time, under everything that goes wrong: nodes crash, wake-ups get lost, commits fail or end unknown, leases are
 * lost, clocks step. What must hold in the end: every message that was sent is handled with its effects exactly once or lies in
 * the dead-letter queue, groups were handled in order, counters are exact; and at no time do two deliveries of a message run.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { FunctionSpec, LiveDeployment } from "../../src/contract/deployment.ts";
import { encodeTuple } from "../../src/contract/tuple.ts";
import { createQueueOperations } from "../../src/state/queue/queue-operations.ts";
import { createEnvironments } from "../../src/state/environments.ts";
import type { Effect, OutcomeDocument, Seen } from "../../src/wire/effects.ts";
import {
  commitOnce,
  connect,
  type Handle,
  type Running,
  type SimulatedNode,
  startNode,
  untilDone,
} from "./queue-world.ts";
import { overSeeds } from "./seeds.ts";
import { type Faults, World } from "./world.ts";

const none: Faults = { delayMsMax: 1, unknownShare: 0, lostWakeShare: 0 };

test("one node on its own store: no message is lost, and none has its effects twice", async () => {
  await overSeeds(60, (seed) => simulate(seed, { isAlone: true, nodes: 1, messages: 40 }));
});

test("three nodes on one store, which lose shards and leases to each other", async () => {
  await overSeeds(10, (seed) => simulate(seed, { isAlone: false, nodes: 3, messages: 40 }));
});

interface Plan {
  readonly isAlone: boolean;
  readonly nodes: number;
  readonly messages: number;
}

async function simulate(seed: number, plan: Plan): Promise<void> {
  const world = new World(seed);
  const faults: Faults = {
    delayMsMax: world.one([1, 5, 40]),
    unknownShare: world.one([0, 0.05, 0.2]),
    lostWakeShare: world.one([0, 0.3, 1]),
  };
  await world.run(live(world, faults, plan));
}

async function live(world: World, faults: Faults, plan: Plan): Promise<void> {
  const running: Running = new Map();
  const deployment = deploymentOf(world);
  const start = (): Promise<SimulatedNode> =>
    startNode(world, faults, { isAlone: plan.isAlone, live: deployment, handle: handlerOf(world), running });
  const up: SimulatedNode[] = [];
  for (let node = 0; node < plan.nodes; node++) up.push(await start());

  const sender = connect(world, faults);
  const shop = await untilDone(world, sender.environment);
  const sent = new AbortController();
  const sending = (async () => {
    for (let number = 0; number < plan.messages; number++) {
      const group = world.chance(0.4) ? world.one(["g", "h"]) : undefined;
      const delayMs = group === undefined && world.chance(0.3) ? world.pick(20_000) : 0;
      const priority = group === undefined && world.chance(0.2) ? world.pick(10) : 0;
      const args = { body: { number, group }, delayMs, priority, ...(group === undefined ? {} : { group }) };
      const effect: Effect = { resource: "queue", name: "work", method: "send", args };
      await commitOnce(world, sender.service, shop, encodeTuple(["once", "send", number]), [effect]);
      await world.sleep(world.pick(800));
    }
    sent.abort();
  })();
  while (!sent.signal.aborted) {
    await world.sleep(world.pick(8_000));
    if (world.chance(0.2)) world.wallOffsetMs += world.one([-3_600_000, 3_600_000, 30_000]);
    if (!world.chance(0.5)) continue;
    const at = world.pick(up.length);
    up[at]?.crash();
    await world.sleep(world.pick(3_000));
    up[at] = await start();
  }
  await sending;
  world.wallOffsetMs += 7_200_000; // what had stepped back is made up for
  await settle(world, plan.messages);
  for (const node of up) await node.close();
  await check(world, plan.messages);
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
        if (!isEach) return { ok: false, error: { type: "Error", message: "bad luck", stack: "" }, seen };
        failed.push({ id, error: { type: "Error", message: "bad luck", stack: "" } });
        if (group !== undefined) broken.add(group);
        continue;
      }
      effects.push(
        kv("increment", `handled/${String(number).padStart(4, "0")}`, {}),
        kv("increment", "sum", { by: number }),
      );
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

async function settle(world: World, messages: number): Promise<void> {
  const { service, environment } = connect(world, none);
  const shop = await environment();
  for (let waits = 0; ; waits++) {
    await world.sleep(10_000);
    const done = (await listOf(service, shop, "handled/")).length;
    const dead = (
      await operationsOn(world)
        .peek("shop", "production", "work-dead", 100)
        .catch(() => [])
    ).length;
    if (done + dead >= messages) return;
    assert.ok(waits < 400, `${done} are handled and ${dead} dead of ${messages}`);
  }
}

async function check(world: World, messages: number): Promise<void> {
  const { service, environment } = connect(world, none);
  const shop = await environment();
  const operations = operationsOn(world);
  const dead = (await operations.peek("shop", "production", "work-dead", 100).catch(() => [])) as {
    body: { number: number };
  }[];
  const deadNumbers = new Set(dead.map(({ body }) => body.number));
  const handled = new Map<number, number>();
  for (const { key, value } of await listOf(service, shop, "handled/"))
    handled.set(Number(key.slice(8)), numberOf(value));
  let sum = 0;
  for (let number = 0; number < messages; number++) {
    assert.equal((handled.get(number) ?? 0) + (deadNumbers.has(number) ? 1 : 0), 1, `message ${number}`);
    if (!deadNumbers.has(number)) sum += number;
  }
  const [total] = await listOf(service, shop, "sum");
  assert.equal(total === undefined ? 0 : numberOf(total.value), sum);
  for (const { value } of await listOf(service, shop, "order/")) {
    const list = (value as { json: number[] }).json;
    assert.deepEqual(
      list,
      list.toSorted((a, b) => a - b),
      "a group is out of order",
    );
  }
  const queue = await operations.getQueue("shop", "production", "work");
  assert.deepEqual([queue.messages, queue.delayed, queue.oldestSentAt], [0, 0, null]);
  assert.equal(queue.deadLetters, deadNumbers.size);
}

function operationsOn(world: World): ReturnType<typeof createQueueOperations> {
  const { keyspace, service } = connect(world, none);
  const environments = createEnvironments(keyspace);
  const consumed = [{ name: "work", functionName: "work", options: {} }];
  return createQueueOperations({ keyspace, environments, state: service, consumed: () => consumed, onError: () => {} });
}

type Service = ReturnType<typeof connect>["service"];
type Shop = Awaited<ReturnType<ReturnType<typeof connect>["environment"]>>;

async function listOf(service: Service, shop: Shop, prefix: string): Promise<{ key: string; value: unknown }[]> {
  const { value } = await service.read(shop, {
    resource: "kv",
    name: "ledger",
    method: "list",
    args: { prefix, snapshot: true },
  });
  return (value as { entries: { key: string; value: unknown }[] }).entries;
}

function numberOf(value: unknown): number {
  const { json, big } = value as { json?: number; big?: string };
  return Number(json ?? big);
}

function deploymentOf(world: World): LiveDeployment {
  const options = {
    batch: world.one([1, 3, 10]),
    concurrency: world.one([1, 4, 64]),
    batchWindow: world.one([0, 500]),
    retry: { attempts: world.one([2, 8]), minDelay: world.one(["10ms", "2s"]), maxDelay: "20s" },
  };
  const triggers = [{ kind: "queue", name: "work", options }];
  const functions = [{ name: "work", style: "event", triggers, group: "events" }] as unknown as FunctionSpec[];
  const manifest = { functions } as unknown as LiveDeployment["manifest"];
  return { app: "shop", alias: "production", deploymentId: "d1", root: "/", manifest, variables: {}, revision: "d1" };
}
