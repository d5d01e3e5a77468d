/**
 * The ground that triggers stand on, for tests: a memory keyspace, real state, time that moves when told to, and functions of
 * the SDK called in place. What they write is held and handed over with the outcome, as a real runtime does.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { type DeclaredFunction, functionKey } from "../../sdk/declared-function.ts";
import { type RuntimeHost, runtimeHostKey, type StateRequest } from "../../sdk/runtime-host.ts";
import { contextForDirectCall } from "../../sdk/context.ts";
import type { FunctionSpec, HandlerStyle, LiveDeployment } from "../contract/deployment.ts";
import type {
  Delivering,
  DeliveryEnd,
  Environment,
  EventDelivery,
  OwnedShard,
  Resource,
  StateService,
} from "../contract/durable.ts";
import { AloftError } from "../contract/errors.ts";
import type { Keyspace } from "../contract/keyspace.ts";
import { encodeTuple } from "../contract/tuple.ts";
import { parseEventTrigger } from "../contract/trigger-options.ts";
import { ManualClock } from "../lib/clock.ts";
import { createLines } from "../state/lines.ts";
import { ManualSchedule } from "../lib/schedule.ts";
import { createEnvironments } from "../state/environments.ts";
import { createKv } from "../state/kv/kv.ts";
import { createStateService } from "../state/state-service.ts";
import { createStreamResource } from "../state/stream/stream.ts";
import type { MemoryDisk } from "../store/memory/memory-disk.ts";
import { openMemoryKeyspace } from "../store/memory/memory-keyspace.ts";
import type { Effect, OutcomeError, Seen } from "../wire/effects.ts";
import type { Binding } from "./binding.ts";
import type { EventRunner } from "./event-run.ts";

interface Held {
  readonly effects: Effect[];
  readonly seen: Seen[];
}

const invocations = new AsyncLocalStorage<Held & { readonly world: World }>();

/** One at a time for each process, as a runtime has it. */
const host: RuntimeHost = {
  invoke: () => Promise.reject(new Error("nothing to invoke here")),
  currentContext: () => null,
  registrations: [],
  state: {
    async read(read: StateRequest) {
      const held = invocations.getStore();
      if (held === undefined) throw new Error("a read outside of a delivery");
      const { value, seen } = await held.world.state.read(held.world.environment, read);
      held.seen.push(...seen);
      return value;
    },
    async write(effect: StateRequest) {
      invocations.getStore()?.effects.push(effect);
      return null;
    },
    atomic: async (work) => await work(),
    undoOnThrow: async (work) => await work(),
    track: () => {},
  },
};
(globalThis as { [runtimeHostKey]?: RuntimeHost })[runtimeHostKey] = host;

export type Scripted = (payload: never, delivery: EventDelivery) => unknown;

export interface World {
  readonly clock: ManualClock;
  readonly time: ManualSchedule;
  readonly keyspace: Keyspace;
  readonly disk: MemoryDisk;
  readonly state: StateService;
  readonly environment: Environment;
  readonly runner: EventRunner;
  readonly errors: unknown[];
  /** Deliveries that were made, in order. */
  readonly deliveries: EventDelivery[];
  /** Takes the shard as a node does: a new epoch; whoever had it before can commit no more. */
  own(shard: number): Promise<OwnedShard & { lose(): void }>;
  /** A binding of an SDK function, or of a handler of another style. */
  bind(
    name: string,
    exported: unknown,
    style?: HandlerStyle,
    trigger?: [kind: string, name: string, options?: object],
  ): Binding;
  append(
    stream: string,
    records: readonly { value: unknown; key?: string }[],
    more?: Record<string, unknown>,
  ): Promise<unknown>;
  /** Writes of a handler, held or at once. */
  increment(key: string, by?: number): Promise<unknown>;
  set(key: string, value: unknown): Promise<unknown>;
  counts(): Promise<Record<string, number>>;
  /** In the place of a delivery's handler, once for each entry: a refusal, a crash. */
  readonly script: ((delivery: EventDelivery) => DeliveryEnd | null)[];
}

export interface WorldOptions {
  readonly disk?: MemoryDisk;
  readonly clock?: ManualClock;
  readonly wrap?: (keyspace: Keyspace) => Keyspace;
  readonly resources?: readonly Resource[];
}

export async function openWorld({
  disk,
  clock = new ManualClock(),
  wrap,
  resources = [],
}: WorldOptions = {}): Promise<World> {
  const time = new ManualSchedule((ms) => clock.advance(ms));
  const memory = openMemoryKeyspace({ clock, ...(disk === undefined ? {} : { disk }) });
  const keyspace = wrap === undefined ? memory : wrap(memory);
  const environments = createEnvironments(keyspace);
  const state = createStateService({
    keyspace,
    environments,
    resources: [createKv(keyspace), createStreamResource({ keyspace }), ...resources],
  });
  const environment = await environments.get("app", "production");
  const functions: FunctionSpec[] = [];
  const handlers: Scripted[] = [];
  const deliveries: EventDelivery[] = [];
  const errors: unknown[] = [];
  const script: World["script"] = [];
  let numbers = 0;

  const delivering: Delivering = {
    deliver(delivery) {
      deliveries.push(delivery);
      const invocationId = String(++numbers);
      const scripted = script.shift()?.(delivery) ?? null;
      const handler = handlers[delivery.functionNumber];
      let cancelled = false;
      const ended =
        scripted !== null
          ? Promise.resolve(scripted)
          : invocations.run({ effects: [], seen: [], world }, async (): Promise<DeliveryEnd> => {
              const held = invocations.getStore() as Held;
              try {
                const payload = JSON.parse(JSON.stringify(delivery.document.payload)) as never;
                const value: unknown = JSON.parse(JSON.stringify((await handler?.(payload, delivery)) ?? null));
                if (cancelled) throw new Error("cancelled");
                return { kind: "answered", invocationId, outcome: { ok: true, value, ...held } };
              } catch (error) {
                return {
                  kind: "answered",
                  invocationId,
                  outcome: { ok: false, error: outcomeError(error), seen: held.seen },
                };
              }
            });
      return { invocationId, ended, cancel: () => (cancelled = true) };
    },
  };

  async function write(effect: Effect): Promise<unknown> {
    const held = invocations.getStore();
    if (held !== undefined) {
      held.effects.push(effect);
      return null;
    }
    const outcome = await state.commit(environment, { seen: [], effects: [effect], checks: [], writes: [] });
    if (outcome.kind !== "committed") throw new Error(outcome.kind);
    return outcome.results[0];
  }

  const world: World = {
    clock,
    time,
    keyspace,
    disk: memory.disk,
    state,
    environment,
    runner: { delivering, state, lines: createLines() },
    errors,
    deliveries,
    script,
    async own(shard) {
      const key = encodeTuple(["o", shard]);
      const outcome = await keyspace.commit({ checks: [], writes: [{ kind: "set", key, value: Buffer.from("us") }] });
      if (outcome.kind !== "committed") throw new Error("not owned");
      const abort = new AbortController();
      const { version } = outcome;
      const epochCheck = { kind: "version", key, version } as const;
      return { shard, epoch: version, epochCheck, signal: abort.signal, lose: () => abort.abort() };
    },
    bind(name, exported, style = "event", trigger) {
      const declared = (exported as { [functionKey]?: DeclaredFunction })[functionKey];
      const context = contextForDirectCall();
      if (declared !== undefined && declared.kind !== "event") throw new Error("no event function");
      const [kind, resource, options] =
        declared === undefined
          ? (trigger ?? ["cron", "every 1m"])
          : [declared.trigger.kind, declared.trigger.name, declared.trigger.options];
      const handler = (declared?.handler ?? exported) as (payload: never, context: never) => unknown;
      handlers.push((payload) => handler(payload, context as never));
      functions.push({ name, style, triggers: [] } as unknown as FunctionSpec);
      const live = {
        app: "app",
        alias: "production",
        deploymentId: "d1",
        manifest: { functions },
      } as unknown as LiveDeployment;
      const functionNumber = functions.length - 1;
      return {
        environment,
        ...parseEventTrigger(kind, resource, options),
        functionName: name,
        target: () => ({ live, functionNumber }),
      };
    },
    append: (stream, records, more = {}) =>
      write({ resource: "stream", name: stream, method: "append", args: { records, ...more } }),
    increment: (key, by = 1) => write({ resource: "kv", name: "counts", method: "increment", args: { key, by } }),
    set: (key, value) =>
      write({ resource: "kv", name: "counts", method: "set", args: { key, value: { json: value } } }),
    async counts() {
      const { value } = await state.read(environment, { resource: "kv", name: "counts", method: "list", args: {} });
      const { entries } = value as { entries: { key: string; value: { json?: unknown; integer?: unknown } }[] };
      return Object.fromEntries(entries.map((entry) => [entry.key, numberOf(entry.value)]));
    },
  };
  return world;
}

function numberOf(value: unknown): number {
  if (typeof value === "object" && value !== null) for (const one of Object.values(value)) return Number(one);
  return Number(value);
}

function outcomeError(error: unknown): OutcomeError {
  const { name, message } = error as Error;
  const { aloftRetry } = error as { aloftRetry?: unknown };
  return { type: name, message, stack: "", ...(aloftRetry === "never" ? { retry: "never" as const } : {}) };
}

export function refusedEnd(): DeliveryEnd {
  return { kind: "refused", invocationId: "r", error: new AloftError("NO_INSTANCE", "none is free") };
}

export function crashedEnd(): DeliveryEnd {
  return { kind: "failed", invocationId: "c", error: new AloftError("FUNCTION_CRASHED", "it has crashed") };
}
