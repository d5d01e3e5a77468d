/** Queues on a store in memory with time moved by hand, and handlers that are functions of the test. */
import assert from "node:assert/strict";
import type { FunctionSpec, LiveDeployment } from "../../contract/deployment.ts";
import type {
  Delivering,
  DeliveryEnd,
  Environment,
  EventDelivery,
  StateOutcome,
  StateService,
} from "../../contract/durable.ts";
import type { Keyspace } from "../../contract/keyspace.ts";
import { functionLimits } from "../../contract/limits.ts";
import { ManualClock } from "../../lib/clock.ts";
import { ManualSchedule } from "../../lib/schedule.ts";
import { createAlarms } from "../../shards/alarms.ts";
import { Shards } from "../../shards/shards.ts";
import { createAsync } from "../../state/async/async.ts";
import { createEnvironments, type EnvironmentRegistry } from "../../state/environments.ts";
import { createKv } from "../../state/kv/kv.ts";
import { createLines } from "../../state/lines.ts";
import { createQueue } from "../../state/queue/queue.ts";
import { createStateService } from "../../state/state-service.ts";
import { MemoryDisk } from "../../store/memory/memory-disk.ts";
import { openMemoryKeyspace } from "../../store/memory/memory-keyspace.ts";
import type { Effect, OutcomeDocument, OutcomeError } from "../../wire/effects.ts";
import { createEngine, type Engine } from "../engine.ts";
import { createAsyncTrigger } from "../async/async-keeper.ts";
import { createQueueTrigger } from "./queue-keeper.ts";

export interface Message {
  readonly id: string;
  readonly body: unknown;
  readonly attempt: number;
  readonly sentAtMs: number;
  readonly group?: string;
  readonly priority?: number;
  readonly dead?: { readonly queue: string; readonly error: OutcomeError; readonly attempts: number };
}

/** One call of a handler, until the test answers. */
export interface Call {
  readonly delivery: EventDelivery;
  readonly messages: readonly Message[];
  readonly bodies: readonly unknown[];
  isCancelled: boolean;
  end(end: DeliveryEnd): void;
  succeed(more?: Partial<Extract<OutcomeDocument, { ok: true }>>): void;
  fail(error?: Partial<OutcomeError>, seen?: OutcomeDocument["seen"]): void;
}

export type Handler = (call: Call) => void;

export interface QueueWorld {
  readonly clock: ManualClock;
  readonly time: ManualSchedule;
  readonly disk: MemoryDisk;
  readonly keyspace: Keyspace;
  readonly state: StateService;
  readonly environments: EnvironmentRegistry;
  readonly engine: Engine;
  readonly shop: Environment;
  /** Calls of handlers that have not been answered. */
  readonly open: Call[];
  /** Reads and commits of the store. */
  readonly traffic: { reads: number; commits: number };
  readonly errors: unknown[];
  /** null: by hand, through `open`. */
  handler: Handler | null;
  /** It is live, as after a start: nothing is published. */
  goLive(queues: Readonly<Record<string, Readonly<Record<string, unknown>>>>): void;
  /** Declares consumers: queue name to its options. */
  consume(queues: Readonly<Record<string, Readonly<Record<string, unknown>>>>, deploymentId?: string): Promise<void>;
  send(
    queue: string,
    body: unknown,
    more?: Readonly<Record<string, unknown>>,
  ): Promise<{ id: string; duplicate: boolean }>;
  sendMany(queue: string, bodies: readonly unknown[], more?: Readonly<Record<string, unknown>>): Promise<void>;
  commit(effects: readonly Effect[]): Promise<StateOutcome>;
  /** What the messages of a queue are, whichever lane they stand in. */
  depth(queue: string): Promise<number>;
  advance(ms: number): Promise<void>;
  /** The node dies; another one starts on what it has left. */
  crash(): Promise<QueueWorld>;
  close(): Promise<void>;
}

const ok = { ok: true, value: null, seen: [], effects: [] } as const;

export async function openQueueWorld(clock = new ManualClock(), disk = new MemoryDisk()): Promise<QueueWorld> {
  const time = new ManualSchedule((ms) => clock.advance(ms));
  const memory = openMemoryKeyspace({ clock, disk });
  const traffic = { reads: 0, commits: 0 };
  const keyspace: Keyspace = {
    clock: memory.clock,
    get: (keys) => (traffic.reads++, memory.get(keys)),
    range: (query) => (traffic.reads++, memory.range(query)),
    commit: (commit) => (traffic.commits++, memory.commit(commit)),
    watch: (prefix, onWake) => memory.watch(prefix, onWake),
    close: () => memory.close(),
  };
  const errors: unknown[] = [];
  const onError = (error: unknown): void => void errors.push(error);
  const environments = createEnvironments(keyspace);
  const state = createStateService({
    keyspace,
    environments,
    resources: [createKv(keyspace), createQueue(keyspace), createAsync(keyspace)],
  });
  let live: LiveDeployment | null = null;
  const engine = createEngine({
    safetyScanMs: null,
    keyspace,
    environments,
    source: {
      findLive: (app) => (app === "shop" ? live : null),
      listLive: () => (live === null ? [] : [{ app: "shop", alias: "production", deploymentId: live.deploymentId }]),
    },
    schedule: time.schedule,
    onError,
  });
  const open: Call[] = [];
  const delivering: Delivering = { deliver: (delivery) => deliver(delivery, open, () => world.handler) };
  const alarms = createAlarms(keyspace.clock, time.schedule);
  const parts = {
    keyspace,
    state,
    delivering,
    clock,
    schedule: time.schedule,
    alarms,
    lines: createLines(),
    random: () => 0,
    safetyScanMs: null,
    onError,
  };
  engine.register(createQueueTrigger(parts, engine.find));
  engine.register(createAsyncTrigger(parts, (app) => (app === "shop" ? live : null)));
  let starts = 0;
  const shards = new Shards({
    keyspace,
    clock,
    schedule: time.schedule,
    nodeId: `node-${disk.version}-${++starts}`,
    isAlone: true,
    factories: [engine.keepers],
    onError,
  });
  await engine.start();
  await shards.start();
  const shop = await environments.get("shop", "production");
  const world: QueueWorld = {
    clock,
    time,
    disk,
    keyspace,
    state,
    environments,
    engine,
    shop,
    open,
    traffic,
    errors,
    handler: (call) => call.succeed(),
    goLive(queues) {
      live = deploymentOf(queues, "d1");
    },
    async consume(queues, deploymentId = "d1") {
      live = deploymentOf(queues, deploymentId);
      engine.publish("shop", "production", live);
      await engine.settled();
      await time.advance(0);
    },
    async send(queue, body, more = {}) {
      const outcome = await world.commit([{ resource: "queue", name: queue, method: "send", args: { body, ...more } }]);
      assert.equal(outcome.kind, "committed");
      const [sent] = outcome.kind === "committed" ? outcome.results : [];
      return sent as { id: string; duplicate: boolean };
    },
    async sendMany(queue, bodies, more = {}) {
      for (let at = 0; at < bodies.length; at += 1000) {
        const messages = bodies.slice(at, at + 1000).map((body) => ({ body, ...more }));
        await world.commit([{ resource: "queue", name: queue, method: "sendBatch", args: { messages } }]);
      }
    },
    commit: (effects) => state.commit(shop, { seen: [], effects, checks: [], writes: [] }),
    async depth(queue) {
      const { queueKeys, queuePlace } = await import("../../state/queue/queue-keys.ts");
      const [entry] = await memory.get([queueKeys(queuePlace(shop, "queue", queue), 0).depth]);
      return entry === null || entry === undefined ? 0 : Number(Buffer.from(entry.value).readBigInt64BE());
    },
    advance: (ms) => time.advance(ms),
    async crash() {
      memory.crash();
      return await openQueueWorld(clock, disk);
    },
    async close() {
      await shards.close();
      await engine.close();
    },
  };
  return world;
}

function deliver(
  delivery: EventDelivery,
  open: Call[],
  handler: () => Handler | null,
): ReturnType<Delivering["deliver"]> {
  const { promise, resolve } = Promise.withResolvers<DeliveryEnd>();
  const { messages } = delivery.document.payload as { messages: Message[] };
  const invocationId = `i${Math.random()}`;
  const call: Call = {
    delivery,
    messages,
    bodies: messages?.map(({ body }) => body) ?? [],
    isCancelled: false,
    end(end) {
      const at = open.indexOf(call);
      if (at !== -1) open.splice(at, 1);
      resolve(end);
    },
    succeed: (more = {}) => call.end({ kind: "answered", invocationId, outcome: { ...ok, ...more } }),
    fail(error = {}, seen = []) {
      const full: OutcomeError = { type: "Error", message: "broken", stack: "", ...error };
      call.end({ kind: "answered", invocationId, outcome: { ok: false, error: full, seen } });
    },
  };
  open.push(call);
  const now = handler();
  if (now !== null) queueMicrotask(() => now(call));
  return { invocationId, ended: promise, cancel: () => (call.isCancelled = true) };
}

function deploymentOf(
  queues: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  deploymentId: string,
): LiveDeployment {
  const functions = Object.entries(queues).map(([name, options]): FunctionSpec => ({
    name: `on-${name}`,
    style: "event",
    triggers: [{ kind: "queue", name, options }],
    limits: Object.fromEntries(
      Object.entries(functionLimits).map(([key, { standard }]) => [key, standard]),
    ) as unknown as FunctionSpec["limits"],
    group: "events",
  }));
  const manifest = {
    format: 1,
    runtime: "node",
    entry: "index.js",
    files: [],
    functions,
    groups: [],
    domains: [],
    network: { outbound: "all" },
    requiredVariables: [],
  } as unknown as LiveDeployment["manifest"];
  return { app: "shop", alias: "production", deploymentId, root: "/", manifest, variables: {}, revision: deploymentId };
}
