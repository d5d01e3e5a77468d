/**
 * The ports of the durable core, between the rooms that make it up:
 *
 *   triggers/   turns durable facts into invocations; owns the resources of its shards
 *     | EventDelivery                      ^ DeliveryEnd
 *     v                                    |
 *   dispatch/   runs the function through the pool, answers when its handler has certainly ended
 *
 *   state/      what functions read and write; plans the checks and writes of effects, and commits them together with the
 *               acknowledgement of the event that they belong to
 *   shards/     who owns which shard, and the epoch that owned commits check
 *
 * The rules that all of this keeps are numbered in docs/exactly-once.md.
 */
import { createHash } from "node:crypto";
import type {
  Effect,
  EventDocument,
  OutcomeDocument,
  ReadReply,
  ResourceKind,
  Seen,
  StateCommit,
  StateRead,
} from "../wire/effects.ts";
import type { LiveDeployment } from "./deployment.ts";
import type { AloftError } from "./errors.ts";
import type { Check, Key, Write } from "./keyspace.ts";

/**
 * First elements of keys, so that a driver may keep them apart. A key of an app's state goes on (environment id, generation,
 * shard, resource name, ...).
 */
export const KeyClass = {
  /** Deployments, aliases, variables, environments: what `apps/` keeps. */
  meta: "m",
  /** Owners of shards and leases of nodes. */
  owner: "o",
  queue: "q",
  stream: "s",
  kv: "k",
  blob: "b",
  cron: "c",
  async: "a",
  /** Which functions of which environment consume what. */
  subscription: "t",
} as const;

/** An app's state. Each alias of an app has its own; deleting and creating the app again begins a new generation. */
export interface Environment {
  readonly id: number;
  readonly generation: number;
  readonly app: string;
  readonly alias: string;
}

export interface Environments {
  /** Made, durably, when it is first asked for. */
  get(app: string, alias: string): Promise<Environment>;
  find(app: string, alias: string): Promise<Environment | null>;
}

export const shardCount = 256;

/** The shard of a resource, by the hash of its environment, kind and name (rule 7). `lane`: a partition of it. */
export function shardOf(environment: Environment, kind: string, name: string, lane = 0): number {
  const text = `${environment.id} ${environment.generation} ${kind} ${lane} ${name}`;
  return createHash("sha256").update(text).digest()[0] as number;
}

// --- ownership

/** One shard while this node owns it. */
export interface OwnedShard {
  readonly shard: number;
  /** Every commit that depends on owning the shard carries it: it fails once another node has taken over. */
  readonly epochCheck: Check;
  /** Version of the owner key. */
  readonly epoch: number;
  /** Aborted when the shard is lost or the node stops: dispatch ends at once. */
  readonly signal: AbortSignal;
}

/** The object that does one kind of durable work for one shard. */
export interface Keeper {
  /** Stops dispatch at once; resolves when nothing of it runs any more. */
  close(): Promise<void>;
}

// --- deliveries

export interface EventDelivery {
  readonly live: LiveDeployment;
  readonly functionNumber: number;
  /** Which delivery this is, for the record: `queue`, `cron`, ... */
  readonly trigger: EventDocument["trigger"];
  /** Names the event in the record, e.g. the queue's name and the message's id. */
  readonly subject: string;
  readonly attempt: number;
  readonly document: EventDocument;
  readonly traceparent: string | null;
}

export type DeliveryEnd =
  | { readonly kind: "answered"; readonly invocationId: string; readonly outcome: OutcomeDocument }
  /** Timed out, crashed, out of memory, cut: its handler may have acted on the world outside, and has ended for certain. */
  | { readonly kind: "failed"; readonly invocationId: string; readonly error: AloftError }
  /** No instance, an instance that could not start, the node stops: the handler was certainly never called. Costs no attempt. */
  | { readonly kind: "refused"; readonly invocationId: string; readonly error: AloftError };

export interface RunningDelivery {
  readonly invocationId: string;
  /** Never rejects. Resolves when the handler has ended for certain: with its outcome, or with the death of its sandbox (rule 10). */
  readonly ended: Promise<DeliveryEnd>;
  /** The event is not wanted any more (cancelled, shard lost): aborts the handler; `ended` still comes. */
  cancel(): void;
}

export interface Delivering {
  deliver(delivery: EventDelivery): RunningDelivery;
}

// --- state

export interface StateBatch extends StateCommit {
  /** The trigger's own: acknowledgement, cursor, epoch. Judged and applied in the same commit. */
  readonly checks: readonly Check[];
  readonly writes: readonly Write[];
  /** Makes it safe to repeat after COMMIT_UNKNOWN. */
  readonly once?: Key;
  /** An acknowledgement: goes on while the disk is full. */
  readonly isEssential?: boolean;
}

export type StateOutcome =
  /** One result for each effect. */
  | { readonly kind: "committed"; readonly version: number; readonly results: readonly unknown[] }
  /** Something that the handler has read is no longer so: run it again (rule 15). `where` names it for people: `kv stock/4711`. */
  | { readonly kind: "conflict"; readonly where: string }
  /** One of the trigger's own checks: it has lost its shard, or the event is no longer there. */
  | { readonly kind: "lost"; readonly check: number };

export interface StateService {
  /** Throws what the resource says: REQUEST_INVALID and its like. */
  read(environment: Environment, read: StateRead): Promise<ReadReply>;
  /**
   * Plans the effects, then commits everything together or nothing. Conflicts on the platform's own keys (deduplication,
   * idempotency, producer sequences) are resolved here and never surface. Throws EFFECTS_TOO_LARGE, READ_SET_TOO_LARGE,
   * DEDUPE_MISMATCH, REQUEST_INVALID, COMMIT_UNKNOWN and what the store throws.
   */
  commit(environment: Environment, batch: StateBatch): Promise<StateOutcome>;
}

/** What an effect adds to the commit that it is part of. */
export interface CommitPlan {
  readonly environment: Environment;
  /** A check on a key of the platform's own. When it fails the whole batch is planned anew. */
  check(check: Check): void;
  write(write: Write): void;
  /** Store time at which the batch is planned, epoch milliseconds. */
  readonly nowMs: number;
  /** How many plans for the same batch were made before and have failed: what was remembered may be old. */
  readonly tries: number;
}

/** One kind of state; `state/` has a folder for each and one registry. */
export interface Resource {
  readonly kind: ResourceKind;
  read(environment: Environment, read: StateRead): Promise<ReadReply>;
  /** Parses the effect (unknown input), adds its checks and writes, answers its result. May read the keyspace. */
  plan(effect: Effect, plan: CommitPlan): unknown;
  /** The check of something seen; null when this kind of state is never read under check. */
  checkOf(environment: Environment, seen: Seen): Check | null;
}

/** Told of what is live: from then on the trigger engine delivers to it. */
export interface TriggerEngine {
  publish(app: string, alias: string, live: LiveDeployment | null): void;
  close(): Promise<void>;
}
