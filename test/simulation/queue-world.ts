/**
 * Nodes that serve the queues of one app in simulated time: each with a store connection, shards, a trigger engine and handlers of its
 * own, all of which end when it crashes. The app's handler is a model: what it has done is looked at in the store in the end.
 */
import assert from "node:assert/strict";
import type { LiveDeployment } from "../../src/contract/deployment.ts";
import type { Delivering, DeliveryEnd, Environment, EventDelivery, StateService } from "../../src/contract/durable.ts";
import { AloftError } from "../../src/contract/errors.ts";
import { createAlarms } from "../../src/shards/alarms.ts";
import { Shards } from "../../src/shards/shards.ts";
import { createEnvironments } from "../../src/state/environments.ts";
import { createKv } from "../../src/state/kv/kv.ts";
import { createLines } from "../../src/state/lines.ts";
import { createQueue } from "../../src/state/queue/queue.ts";
import { createStateService } from "../../src/state/state-service.ts";
import type { MemoryKeyspace } from "../../src/store/memory/memory-keyspace.ts";
import { createEngine } from "../../src/triggers/engine.ts";
import { createQueueTrigger } from "../../src/triggers/queue/queue-keeper.ts";
import type { Effect, OutcomeDocument } from "../../src/wire/effects.ts";
import type { Faults, World } from "./world.ts";

/** What a handler does with its messages: its outcome, or how it ends without one. */
export type Handle = (node: SimulatedNode, delivery: EventDelivery) => Promise<OutcomeDocument | "crash" | "refused">;

export interface SimulatedNode {
  readonly service: StateService;
  readonly shop: Environment;
  readonly isDead: boolean;
  /** Everything it has in memory is gone at once, and its handlers with it. */
  crash(): void;
  close(): Promise<void>;
}

/** Messages whose handler runs, on whichever node: there must never be two for one. */
export type Running = Map<string, SimulatedNode>;

/** A handler that was cancelled ends within this. */
const cancelMs = 1_000;
/** By world, so that a seed repeats alone what it did among others. */
const counted = new WeakMap<World, number>();

function next(world: World): number {
  const number = (counted.get(world) ?? world.seed * 131) + 1;
  counted.set(world, number);
  return number;
}

export function connect(
  world: World,
  faults: Faults,
): { keyspace: MemoryKeyspace; service: StateService; environment: () => Promise<Environment> } {
  const keyspace = world.openKeyspace(faults);
  const environments = createEnvironments(keyspace);
  let lastId = 0;
  const connection = next(world);
  const newId = (): string => `${connection}-${(lastId += 1)}`;
  const resources = [createKv(keyspace), createQueue(keyspace, newId)];
  const service = createStateService({ keyspace, environments, resources });
  return { keyspace, service, environment: () => environments.get("shop", "production") };
}

export async function startNode(
  world: World,
  faults: Faults,
  options: { isAlone: boolean; live: LiveDeployment; handle: Handle; running: Running },
): Promise<SimulatedNode> {
  const { live, handle, running } = options;
  const { keyspace, service, environment } = connect(world, faults);
  const shop = await environment();
  let isDead = false;
  const cancels = new Set<() => void>();
  const onError = (error: unknown): void => {
    if (isDead || error instanceof AloftError) return; // the store's faults are what this is about
    throw error;
  };
  // What was scheduled by a node that is dead by then does not happen.
  const schedule = (delayMs: number, work: () => void): (() => void) => world.schedule(delayMs, () => isDead || work());
  const engine = createEngine({
    keyspace,
    environments: createEnvironments(keyspace),
    source: {
      findLive: () => live,
      listLive: () => [{ app: "shop", alias: "production", deploymentId: live.deploymentId }],
    },
    schedule,
    onError,
  });
  const node = {
    service,
    shop,
    get isDead() {
      return isDead;
    },
    crash() {
      isDead = true;
      keyspace.crash();
      for (const [id, owner] of running) if (owner === node) running.delete(id);
    },
    async close() {
      await shards.close();
      await engine.close();
    },
  } satisfies SimulatedNode;

  const delivering: Delivering = {
    deliver(delivery) {
      const { messages } = delivery.document.payload as { messages: { id: string }[] };
      for (const { id } of messages) {
        assert.ok(!running.has(id), `message ${id} is delivered while its first delivery runs`);
        running.set(id, node);
      }
      const { promise, resolve } = Promise.withResolvers<DeliveryEnd>();
      const invocationId = "i";
      const end = (how: DeliveryEnd): void => {
        if (isDead || !cancels.delete(cancel)) return;
        for (const { id } of messages) running.delete(id);
        resolve(how);
      };
      const cancel = (): void => {
        const error = new AloftError("INVOCATION_CANCELLED", "cancelled");
        world.schedule(world.random() * cancelMs, () => end({ kind: "failed", invocationId, error }));
      };
      cancels.add(cancel);
      void handle(node, delivery).then(
        (outcome) => {
          if (outcome === "crash")
            end({ kind: "failed", invocationId, error: new AloftError("FUNCTION_CRASHED", "it died") });
          else if (outcome === "refused")
            end({ kind: "refused", invocationId, error: new AloftError("NO_INSTANCE", "none") });
          else end({ kind: "answered", invocationId, outcome });
        },
        (error: unknown) => {
          const failure = { type: "Error", message: (error as Error).message, stack: "" };
          end({ kind: "answered", invocationId, outcome: { ok: false, error: failure, seen: [] } });
        },
      );
      return { invocationId, ended: promise, cancel };
    },
  };
  const parts = {
    keyspace,
    state: service,
    delivering,
    clock: world.clock,
    schedule,
    alarms: createAlarms(keyspace.clock, schedule),
    lines: createLines(),
    random: world.random,
    safetyScanMs: 2_000,
    onError,
  };
  engine.register(createQueueTrigger(parts, engine.find));
  const shards = new Shards({
    keyspace,
    clock: world.clock,
    schedule,
    nodeId: `node-${next(world)}`,
    isAlone: options.isAlone,
    factories: [engine.keepers],
    onError,
  });
  await untilDone(world, () => engine.start());
  await untilDone(world, () => shards.start());
  return node;
}

/** Commits once, whatever becomes of its attempts. */
export async function commitOnce(
  world: World,
  service: StateService,
  shop: Environment,
  once: Uint8Array,
  effects: readonly Effect[],
): Promise<void> {
  await untilDone(world, () => service.commit(shop, { checks: [], writes: [], seen: [], effects, once }));
}

/** Tries again after faults of the store. */
export async function untilDone<T>(world: World, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof AloftError) || error.fault !== "platform") throw error;
      await world.sleep(50);
    }
  }
}
