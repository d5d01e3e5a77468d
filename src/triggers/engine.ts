/**
 * The trigger engine: knows what every environment wants delivered, and sees to it that the keepers of the shards that this
 * node owns know their part of it. The rows of `subscriptions.ts` are the truth; a deploy writes its row before it counts.
 */
import type { LiveDeployment } from "../contract/deployment.ts";
import type { Environment, Environments, OwnedShard, TriggerEngine } from "../contract/durable.ts";
import { AloftError } from "../contract/errors.ts";
import type { Keyspace } from "../contract/keyspace.ts";
import { KeyLock } from "../lib/key-lock.ts";
import type { Schedule } from "../lib/schedule.ts";
import type { KeeperFactory } from "../shards/shards.ts";
import { type Consumer, consumerKey, type FindTarget, type Target } from "./consumer.ts";
import {
  consumersKey,
  encodeSubscription,
  readSubscriptions,
  type Subscription,
  subscriptionOf,
  subscriptionPrefix,
} from "./subscriptions.ts";
import type { TriggerKeeper, TriggerKind } from "./trigger-kind.ts";

const againMinMs = 100;
const againMaxMs = 5_000;

/** What the engine asks of `apps/`. */
export interface LiveTriggers {
  findLive(app: string, alias: string): LiveDeployment | null;
  /** What is live: cheap, no manifest is read for it. */
  listLive(): Iterable<{ readonly app: string; readonly alias: string; readonly deploymentId: string }>;
}

export interface EngineOptions {
  readonly keyspace: Keyspace;
  readonly environments: Environments;
  readonly source: LiveTriggers;
  readonly schedule: Schedule;
  /** Looks for what a lost wake-up has not told, so often; null where none can get lost. */
  readonly safetyScanMs: number | null;
  readonly onError: (error: unknown) => void;
}

export interface Engine extends TriggerEngine {
  /** Where deliveries for a consumer go now. */
  readonly find: FindTarget;
  /** Who consumes what there, as far as it is live. */
  consumersOf(environment: Environment): readonly Consumer[];
  /** Before the shards start. */
  register(kind: TriggerKind): void;
  /** For the shards: makes the keepers of all kinds. */
  readonly keepers: KeeperFactory;
  /** Reads who consumes what. Consumers of shards that are owned already begin. */
  start(): Promise<void>;
  /** What is published has been written and has reached its keepers. */
  settled(): Promise<void>;
}

export function createEngine(options: EngineOptions): Engine {
  const { keyspace, environments, source, schedule, safetyScanMs, onError } = options;
  const kinds = new Map<string, TriggerKind>();
  const lock = new KeyLock();
  /** By app and alias. */
  const environmentsOf = new Map<string, Environment>();
  /** By environment, then by consumer. */
  const standing = new Map<string, Map<string, Consumer>>();
  const byShard = new Map<number, Map<string, Consumer>>();
  const owned = new Map<number, Map<string, TriggerKeeper>>();
  const targets = new WeakMap<LiveDeployment, Map<string, Target | null>>();
  const open = new Set<Promise<void>>();
  let unwatch: (() => void) | null = null;
  let isClosed = false;

  // --- where to

  function find(consumer: Consumer): Target | null {
    const { app, alias } = consumer.environment;
    const live = isClosed ? null : source.findLive(app, alias);
    if (live === null) return null;
    let known = targets.get(live);
    if (known === undefined) {
      known = new Map();
      targets.set(live, known);
    }
    const { kind, name, functionName } = consumer;
    const key = JSON.stringify([kind, name, functionName]);
    let target = known.get(key);
    if (target === undefined) {
      const functionNumber = live.manifest.functions.findIndex(
        (fn) =>
          fn.name === functionName &&
          fn.triggers.some((one) => one.kind !== "http" && one.kind === kind && one.name === name),
      );
      target = functionNumber === -1 ? null : { live, functionNumber };
      known.set(key, target);
    }
    return target;
  }

  // --- who

  /** From now on the environment has exactly these consumers of these kinds. */
  function apply(environment: Environment, wanted: readonly Consumer[], isOurs: (kind: string) => boolean): void {
    const environmentKey = `${environment.id} ${environment.generation}`;
    const before = standing.get(environmentKey) ?? new Map<string, Consumer>();
    const after = new Map([...before].filter(([, { kind }]) => !isOurs(kind)));
    for (const consumer of wanted) after.set(consumerKey(consumer), consumer);
    for (const [key, consumer] of before) if (!after.has(key)) tell(key, consumer, "drop");
    for (const [key, consumer] of after) {
      const former = before.get(key);
      const isSame =
        former?.name === consumer.name && JSON.stringify(former.options) === JSON.stringify(consumer.options);
      if (former !== consumer && !isSame) tell(key, consumer, "set");
    }
    if (after.size === 0) standing.delete(environmentKey);
    else standing.set(environmentKey, after);
  }

  function tell(key: string, consumer: Consumer, what: "set" | "drop"): void {
    const kind = kinds.get(consumer.kind);
    if (kind === undefined) return;
    for (const shard of kind.shardsOf(consumer)) {
      const consumers = byShard.get(shard) ?? new Map<string, Consumer>();
      if (what === "set") consumers.set(key, consumer);
      else consumers.delete(key);
      byShard.set(shard, consumers);
      owned.get(shard)?.get(consumer.kind)?.[what](consumer);
    }
  }

  function keepers(shard: OwnedShard): { close: () => Promise<void> } {
    const made = new Map([...kinds.values()].map((kind) => [kind.kind, kind.open(shard)]));
    owned.set(shard.shard, made);
    for (const consumer of byShard.get(shard.shard)?.values() ?? []) made.get(consumer.kind)?.set(consumer);
    return {
      async close() {
        if (owned.get(shard.shard) === made) owned.delete(shard.shard);
        await Promise.all([...made.values()].map((keeper) => keeper.close()));
      },
    };
  }

  // --- what is live

  async function publishNow(app: string, alias: string, live: LiveDeployment | null): Promise<void> {
    const name = `${app}/${alias}`;
    const before = environmentsOf.get(name);
    const environment = live === null ? await environments.find(app, alias) : await environments.get(app, alias);
    if (before !== undefined && before.id !== environment?.id) apply(before, [], () => true);
    if (environment === null) {
      environmentsOf.delete(name);
      return;
    }
    environmentsOf.set(name, environment);
    if (live === null) {
      apply(environment, [], (kind) => kind !== "async");
      await keyspace.commit({ checks: [], writes: [{ kind: "delete", key: consumersKey(environment) }] });
      return;
    }
    const subscription = subscriptionOf(environment, live);
    const value = encodeSubscription(subscription);
    const key = consumersKey(environment);
    const [stored = null] = await keyspace.get([key]);
    if (stored === null || Buffer.compare(stored.value, value) !== 0)
      await keyspace.commit({ checks: [], writes: [{ kind: "set", key, value }] });
    apply(environment, subscription.consumers, (kind) => kind !== "async");
  }

  function publish(app: string, alias: string, live: LiveDeployment | null): void {
    if (isClosed) return;
    const work = lock.run(`${app}/${alias}`, () => surely(() => publishNow(app, alias, live)));
    open.add(work);
    void work.finally(() => open.delete(work));
  }

  /** What the store could not do just now is tried again; it must not depend on the next deploy. */
  async function surely(work: () => Promise<unknown>): Promise<void> {
    for (let pauseMs = againMinMs; ; pauseMs = Math.min(2 * pauseMs, againMaxMs)) {
      try {
        if (!isClosed) await work();
        return;
      } catch (error) {
        onError(error);
        if (!(error instanceof AloftError) || error.fault !== "platform" || error.code === "SHUTTING_DOWN") return;
      }
      await new Promise<void>((resolve) => schedule(pauseMs, resolve));
    }
  }

  /** What the rows say, of environments that still are. */
  async function readRows(): Promise<Map<string, Subscription>> {
    const current = new Map<string, Subscription>();
    const gone = new Map([...standing].map(([key, consumers]) => [key, [...consumers.values()][0]?.environment]));
    for (const subscription of await readSubscriptions(keyspace)) {
      const { environment } = subscription;
      const found = await environments.find(environment.app, environment.alias);
      if (found === null || found.id !== environment.id || found.generation !== environment.generation) continue;
      const consumers = subscription.consumers.map((one) => ({ ...one, environment: found }));
      const isAsync = subscription.deploymentId === "";
      if (!isAsync) gone.delete(`${found.id} ${found.generation}`);
      environmentsOf.set(`${found.app}/${found.alias}`, found);
      apply(found, consumers, (kind) => (kind === "async") === isAsync);
      if (!isAsync) current.set(`${found.app}/${found.alias}`, subscription);
    }
    for (const environment of gone.values())
      if (environment !== undefined) apply(environment, [], (kind) => kind !== "async");
    return current;
  }

  async function start(): Promise<void> {
    let isStarted = false;
    let isWoken = false;
    // Before the rows are read: what is written while they are must not be missed.
    unwatch?.();
    unwatch = keyspace.watch(subscriptionPrefix, () => {
      isWoken = true;
      if (isStarted) lookAgain();
    });
    const rows = await readRows();
    for (const { app, alias, deploymentId } of source.listLive()) {
      if (rows.get(`${app}/${alias}`)?.deploymentId !== deploymentId) publish(app, alias, source.findLive(app, alias));
    }
    await settled();
    isStarted = true;
    if (isWoken) lookAgain();
    scanForSafety();
  }

  function scanForSafety(): void {
    if (safetyScanMs === null || isClosed) return;
    schedule(safetyScanMs, () => {
      lookAgain();
      scanForSafety();
    });
  }

  let looking: Promise<void> | null = null;
  let isStale = false;

  /** Another node has published, or an environment has its first asynchronous call. */
  function lookAgain(): void {
    isStale = true;
    if (looking !== null || isClosed) return;
    looking = (async () => {
      do {
        isStale = false;
        await settled();
        await surely(readRows);
      } while (isStale);
    })()
      .catch(onError)
      .finally(() => {
        looking = null;
      });
  }

  async function settled(): Promise<void> {
    while (open.size > 0) await Promise.all(open);
  }

  return {
    find,
    consumersOf: ({ id, generation }) => [...(standing.get(`${id} ${generation}`)?.values() ?? [])],
    register: (kind) => void kinds.set(kind.kind, kind),
    keepers,
    publish,
    start,
    settled,
    async close() {
      isClosed = true;
      unwatch?.();
      await settled();
      await looking;
    },
  };
}
