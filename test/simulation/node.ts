/**
 * Nodes that serve one app in simulated time: each with a store connection, state, shards, a trigger engine and handlers of its
 * own, all of which end when it crashes. The app's handlers are models: what they have done is looked at in the store in the end.
 */
import assert from "node:assert/strict";
import type { LiveDeployment } from "../../src/contract/deployment.ts";
import type { Delivering, DeliveryEnd, Environment, EventDelivery, StateService } from "../../src/contract/durable.ts";
import { AloftError } from "../../src/contract/errors.ts";
import { createAlarms } from "../../src/shards/alarms.ts";
import { Shards } from "../../src/shards/shards.ts";
import { createAsync } from "../../src/state/async/async.ts";
import { createEnvironments } from "../../src/state/environments.ts";
import { createKv } from "../../src/state/kv/kv.ts";
import { createLines } from "../../src/state/lines.ts";
import { createQueueOperations } from "../../src/state/queue/queue-operations.ts";
import { createQueue } from "../../src/state/queue/queue.ts";
import { createStateService } from "../../src/state/state-service.ts";
import { createStreamResource } from "../../src/state/stream/stream.ts";
import type { MemoryKeyspace } from "../../src/store/memory/memory-keyspace.ts";
import { createAsyncTrigger } from "../../src/triggers/async/async-keeper.ts";
import { createEngine } from "../../src/triggers/engine.ts";
import { openTriggers } from "../../src/triggers/open-triggers.ts";
import { createQueueTrigger } from "../../src/triggers/queue/queue-keeper.ts";
import type { Effect, OutcomeDocument } from "../../src/wire/effects.ts";
import type { Triggering } from "../../src/contract/triggering.ts";
import { type Faults, noFaults, type World } from "./world.ts";

/** What a handler does with an event: its outcome, or how it ends without one. */
export type Handle = (node: SimulatedNode, delivery: EventDelivery) => Promise<OutcomeDocument | "crash" | "refused">;

export interface SimulatedNode extends Connection {
  /** Rejects never; does not settle when it crashes before. */
  readonly started: Promise<void>;
  readonly isUp: boolean;
  /** Known when it has begun. */
  readonly shop: Environment;
  readonly admin: Triggering;
  /** What is live has changed. */
  publish(live: LiveDeployment): void;
  /** Everything it has in memory is gone at once, and its handlers with it. */
  crash(): void;
  close(): Promise<void>;
}

/** What is being handled, on whichever node: there must never be two handlers for one event. */
export type Running = Map<string, SimulatedNode>;

export interface NodeOptions {
  readonly faults: Faults;
  /** One node on a store of its own; no wake-up gets lost there, and nothing looks for any. */
  readonly isAlone: boolean;
  readonly live: LiveDeployment;
  readonly handle: Handle;
  readonly running: Running;
}

/** A handler that was cancelled ends within this. */
const cancelMs = 1_000;
const safetyScanMs = 2_000;

export interface Connection {
  readonly keyspace: MemoryKeyspace;
  readonly service: StateService;
  readonly environments: ReturnType<typeof createEnvironments>;
}

export function connect(world: World, faults: Faults): Connection {
  const keyspace = world.openKeyspace(faults);
  const environments = createEnvironments(keyspace);
  const queue = createQueue(keyspace, world.newId);
  const resources = [createKv(keyspace), queue, createAsync(keyspace, world.newId), createStreamResource({ keyspace })];
  const service = createStateService({ keyspace, environments, resources });
  return { keyspace, service, environments };
}

export function shopOf({ environments }: Connection): Promise<Environment> {
  return environments.get("shop", "production");
}

export function startNode(world: World, options: NodeOptions): SimulatedNode {
  const { handle, running, isAlone } = options;
  const faults = isAlone ? { ...options.faults, lostWakeShare: 0 } : options.faults;
  let { live } = options;
  const connection = connect(world, faults);
  const { keyspace, service, environments } = connection;
  let shop: Environment | null = null;
  let isUp = false;
  let isDead = false;
  const cancels = new Set<() => void>();
  const onError = (error: unknown): void => {
    if (isDead || error instanceof AloftError) return; // the store's faults are what this is about
    world.fail(error);
  };
  // What was scheduled by a node that is dead by then does not happen.
  const schedule = (delayMs: number, work: () => void): (() => void) => world.schedule(delayMs, () => isDead || work());
  const scanMs = isAlone ? null : safetyScanMs;
  const engine = createEngine({
    keyspace,
    environments,
    source: {
      findLive: () => live,
      listLive: () => [{ app: "shop", alias: "production", deploymentId: live.deploymentId }],
    },
    schedule,
    safetyScanMs: scanMs,
    onError,
  });

  function deliver(delivery: EventDelivery): ReturnType<Delivering["deliver"]> {
    const events = eventsOf(delivery);
    const { promise, resolve } = Promise.withResolvers<DeliveryEnd>();
    const invocationId = "i";
    const twice = events.find((event) => running.has(event));
    if (twice !== undefined) {
      world.fail(new Error(`${twice} is delivered while its first delivery runs`));
      return { invocationId, ended: promise, cancel: () => {} };
    }
    for (const event of events) running.set(event, node);
    const end = (how: DeliveryEnd): void => {
      if (isDead || !cancels.delete(cancel)) return;
      for (const event of events) running.delete(event);
      resolve(how);
    };
    const cancel = (): void => {
      const error = new AloftError("INVOCATION_CANCELLED", "cancelled");
      world.schedule(world.random() * cancelMs, () => end({ kind: "failed", invocationId, error }));
    };
    cancels.add(cancel);
    handle(node, delivery)
      .then((outcome) => {
        if (outcome === "crash")
          end({ kind: "failed", invocationId, error: new AloftError("FUNCTION_CRASHED", "it died") });
        else if (outcome === "refused")
          end({ kind: "refused", invocationId, error: new AloftError("NO_INSTANCE", "none") });
        else end({ kind: "answered", invocationId, outcome });
      })
      .catch((error: unknown) => world.fail(error));
    return { invocationId, ended: promise, cancel };
  }

  const parts = {
    keyspace,
    state: service,
    delivering: { deliver },
    clock: world.clock,
    schedule,
    alarms: createAlarms(keyspace.clock, schedule),
    lines: createLines(schedule),
    random: world.random,
    safetyScanMs: scanMs,
    onError,
  };
  engine.register(createQueueTrigger(parts, engine.find));
  engine.register(createAsyncTrigger(parts, () => live));
  const { admin } = openTriggers({ ...parts, engine, environments, streamTuning: smallTuning, onStream: () => {} });
  const shards = new Shards({
    keyspace,
    clock: world.clock,
    schedule,
    nodeId: `node-${world.newId()}`,
    isAlone,
    factories: [engine.keepers],
    onError,
  });
  async function start(): Promise<void> {
    shop = await untilDone(world, () => shopOf(connection));
    await untilDone(world, () => engine.start());
    await untilDone(world, () => shards.start());
    isUp = true;
  }

  const node: SimulatedNode = {
    ...connection,
    started: start(),
    get isUp() {
      return isUp;
    },
    get shop() {
      assert.ok(shop !== null);
      return shop;
    },
    admin,
    publish(next) {
      live = next;
      engine.publish("shop", "production", next);
    },
    crash() {
      isDead = true;
      keyspace.crash();
      for (const [event, owner] of running) if (owner === node) running.delete(event);
    },
    async close() {
      await shards.close();
      await engine.close();
    },
  };
  return node;
}

/** Small enough that a few records cross every boundary. */
const smallTuning = { bumpRecords: 12, pageRecords: 8, bufferRecords: 16, windowsPerClose: 3 };

/** Names of what it is about, each unlike any other event's. */
function eventsOf({ trigger, subject, document, live, functionNumber }: EventDelivery): string[] {
  const name = `${live.manifest.functions[functionNumber]?.name}`;
  if (trigger === "queue") {
    const { messages } = document.payload as { messages: { id: string }[] };
    return messages.map(({ id }) => `message ${id}`);
  }
  if (trigger !== "stream") return [`${trigger} ${name} ${subject}`];
  const payload = document.payload as
    | { kind: "records"; records: { offset: string; partition: number }[] }
    | { kind: "close"; windows: { key: string; start: number; end: number }[] };
  return payload.kind === "records"
    ? payload.records.map(({ offset, partition }) => `record ${partition}/${offset} of ${name}`)
    : payload.windows.map(({ key, start, end }) => `window ${key} ${start} ${end} of ${name}`);
}

/** Commits once, whatever becomes of its attempts. */
export async function commitOnce(
  world: World,
  { service }: Connection,
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

/** What stands in a kv store in the end, by key. */
export async function entriesOf(world: World, store: string, prefix = ""): Promise<Map<string, unknown>> {
  const connection = connect(world, noFaults);
  const shop = await shopOf(connection);
  const found = new Map<string, unknown>();
  for (let start: string | null = ""; start !== null;) {
    const args: Record<string, unknown> = { prefix, start, snapshot: true };
    const { value } = await connection.service.read(shop, { resource: "kv", name: store, method: "list", args });
    const page = value as { entries: { key: string; value: { json?: unknown; big?: string } }[]; next: string | null };
    for (const { key, value } of page.entries) found.set(key, value.json ?? Number(value.big));
    start = page.next;
  }
  return found;
}

/** Bodies of the messages that wait in a queue; none when there is no such queue yet. */
export async function messagesIn(world: World, queue: string): Promise<readonly unknown[]> {
  const { keyspace, service, environments } = connect(world, noFaults);
  const operations = createQueueOperations({
    keyspace,
    environments,
    state: service,
    consumed: () => [],
    onError: () => {},
  });
  try {
    return (await operations.peek("shop", "production", queue, 100)).map(({ body }) => body);
  } catch (error) {
    if (error instanceof AloftError && error.code === "QUEUE_NOT_FOUND") return [];
    throw error;
  }
}

export function deploymentOf(functions: LiveDeployment["manifest"]["functions"], number = 1): LiveDeployment {
  const manifest = { functions } as unknown as LiveDeployment["manifest"];
  const id = `d${number}`;
  return { app: "shop", alias: "production", deploymentId: id, root: "/", manifest, variables: {}, revision: id };
}
