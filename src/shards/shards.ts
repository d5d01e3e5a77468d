/**
 * Which shards this node owns, and the keepers that work on them. A shard:
 *
 *   not ours -> ours     the owner key was written with our id: its version is the epoch; keepers are made
 *   ours -> losing       it was given up, another has it, or our lease could not be renewed for 7 s: its signal aborts at once
 *   losing -> not ours   all its keepers have closed
 *
 * Two ways to come by them. Alone (one process holds the store by a file lock): all of them at the start, in one commit with a new
 * epoch, and nothing after that: no renewal, no query. Together (several nodes on one store): each node renews a lease row every
 * 3 s, looks who lives and who owns, takes what falls to it by `placement.ts` and is free, and gives up what falls to others.
 * Whatever goes wrong with leases, only the epoch decides: an owned commit checks it, so that of two nodes that believe
 * to own a shard one cannot commit. Rules 7 to 9 of docs/exactly-once.md.
 */
import { type Keeper, type OwnedShard, shardCount } from "../contract/durable.ts";
import { AloftError } from "../contract/errors.ts";
import type { Commit, CommitOutcome, Keyspace, Write } from "../contract/keyspace.ts";
import { encodeTuple } from "../contract/tuple.ts";
import type { Clock } from "../lib/clock.ts";
import type { Schedule } from "../lib/schedule.ts";
import { renewMs, stalledMs } from "./lease-times.ts";
import { NodeWatch } from "./node-watch.ts";
import { lastOf, nodeKey, nodeRange, shardKey, shardRange } from "./owner-keys.ts";
import { ownerOf } from "./placement.ts";

/** Called once for each shard when it becomes ours. What it throws is a bug. */
export type KeeperFactory = (shard: OwnedShard) => Keeper;

export interface ShardsOptions {
  readonly keyspace: Keyspace;
  readonly clock: Clock;
  readonly schedule: Schedule;
  /** Unlike that of any other node, and of this one's earlier runs. */
  readonly nodeId: string;
  /** One process holds the store by a file lock. */
  readonly isAlone: boolean;
  readonly factories: readonly KeeperFactory[];
  /** The lease could not be renewed for 7 s: instances that do owned work must end (rule 9). */
  readonly onStalled?: () => void;
  /** Told what went wrong with a renewal; it is tried again. */
  readonly onError?: (error: unknown) => void;
}

interface Owned extends OwnedShard {
  readonly abort: AbortController;
  readonly keepers: readonly Keeper[];
}

const unknownTries = 5;
/** Reason of a shard's signal when the node stops in peace: what runs may finish, for nobody else begins before it has closed. */
export const stopping = "stopping";

export class Shards {
  readonly #options: ShardsOptions;
  readonly #owned = new Map<number, Owned>();
  /** Keepers of shards that were ours and have not closed yet. */
  readonly #closing = new Map<number, Promise<void>>();
  readonly #watch = new NodeWatch();
  #placement: { readonly key: string; readonly owners: readonly (string | null)[] } = { key: "", owners: [] };
  #renewedAtMs = 0;
  #renewals = 0;
  #isStalled = false;
  #stopTimers: (() => void)[] = [];
  #ticking: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: ShardsOptions) {
    this.#options = options;
  }

  /** Alone: all shards are owned when it resolves. Together: the lease is there and the first round was made. */
  async start(): Promise<void> {
    if (this.#options.isAlone) {
      await this.#takeAll();
      return;
    }
    this.#renewedAtMs = this.#options.clock.monotonicMs();
    await this.#tick();
    this.#loop();
  }

  find(shard: number): OwnedShard | null {
    return this.#owned.get(shard) ?? null;
  }

  /** How many are owned. */
  get count(): number {
    return this.#owned.size;
  }

  /** One round of the lease, for tests that drive it by hand. */
  async tick(): Promise<void> {
    this.#ticking = this.#ticking.then(() => this.#tick());
    await this.#ticking;
  }

  /** Dispatch ends at once; resolves when no keeper works any more. Together: others may take over at once. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const stop of this.#stopTimers) stop();
    const had = [...this.#owned.values()];
    for (const shard of had) this.#lose(shard, stopping);
    await this.#ticking;
    await Promise.all(this.#closing.values());
    if (this.#options.isAlone) return;
    try {
      await Promise.all(had.map(({ shard, epoch }) => this.#giveUp(shard, epoch)));
      await this.#options.keyspace.commit({
        checks: [],
        writes: [{ kind: "delete", key: nodeKey(this.#options.nodeId) }],
      });
    } catch (error) {
      this.#options.onError?.(error); // its lease runs out instead
    }
  }

  // --- alone

  async #takeAll(): Promise<void> {
    const value = Buffer.from(this.#options.nodeId);
    const writes = Array.from({ length: shardCount }, (_, shard): Write => ({
      kind: "set",
      key: shardKey(shard),
      value,
    }));
    const once = encodeTuple(["once", "shards", this.#options.nodeId]);
    const outcome = await this.#commitSurely({ checks: [], writes, once });
    if (outcome.kind !== "committed") throw new Error("a commit without checks met a conflict");
    if (this.#isClosed) return;
    for (let shard = 0; shard < shardCount; shard++) this.#own(shard, outcome.version);
  }

  async #commitSurely(commit: Commit): Promise<CommitOutcome> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#options.keyspace.commit(commit);
      } catch (error) {
        if (!isUnknown(error) || tries === unknownTries) throw error;
      }
    }
  }

  // --- together

  #loop(): void {
    const { schedule } = this.#options;
    const again = (): void => {
      for (const stop of this.#stopTimers) stop();
      this.#stopTimers = [schedule(renewMs, () => void this.tick().finally(() => !this.#isClosed && again()))];
      this.#stopTimers.push(schedule(this.#msUntilStalled(), () => this.#judgeSelf()));
    };
    again();
  }

  async #tick(): Promise<void> {
    if (this.#isClosed) return;
    try {
      await this.#renew();
      if (this.#isClosed) return;
      await this.#place();
    } catch (error) {
      this.#options.onError?.(error);
    }
    this.#judgeSelf();
  }

  async #renew(): Promise<void> {
    const { keyspace, clock, nodeId } = this.#options;
    const beganAtMs = clock.monotonicMs();
    const value = Buffer.from(String(++this.#renewals));
    await keyspace.commit({ checks: [], writes: [{ kind: "set", key: nodeKey(nodeId), value }] });
    // Counted from before it was sent: others can have seen it no earlier.
    this.#renewedAtMs = Math.max(this.#renewedAtMs, beganAtMs);
    if (this.#msUntilStalled() > 0) this.#isStalled = false;
  }

  #msUntilStalled(): number {
    return Math.max(0, this.#renewedAtMs + stalledMs - this.#options.clock.monotonicMs());
  }

  #judgeSelf(): void {
    if (this.#msUntilStalled() > 0 || this.#isStalled || this.#isClosed) return;
    this.#isStalled = true;
    for (const shard of this.#owned.values()) this.#lose(shard);
    this.#options.onStalled?.();
  }

  async #place(): Promise<void> {
    const { keyspace, clock, nodeId } = this.#options;
    const [leases, owners] = await Promise.all([keyspace.range(nodeRange), keyspace.range(shardRange)]);
    const rows = leases.entries.map(({ key, version }) => ({ node: String(lastOf(key)), version }));
    const live = this.#watch.observe(rows, clock.monotonicMs());
    live.add(nodeId);
    const standing = new Map(
      owners.entries.map(({ key, value, version }) => [
        Number(lastOf(key)),
        { owner: Buffer.from(value).toString(), version },
      ]),
    );
    const wantedOwners = this.#ownersAmong(live);
    const moves: Promise<void>[] = [];
    for (let shard = 0; shard < shardCount; shard++) {
      const { owner, version } = standing.get(shard) ?? { owner: "", version: 0 };
      const held = this.#owned.get(shard);
      if (held !== undefined && held.epoch !== version) this.#lose(held);
      const isFree = owner === "" || !live.has(owner) || (owner === nodeId && !this.#owned.has(shard));
      const wanted = wantedOwners[shard];
      if (wanted === nodeId) {
        if (isFree && !this.#closing.has(shard) && !this.#isStalled) moves.push(this.#take(shard, version));
      } else if (owner === nodeId) {
        // Also when it is not held: a commit that took it or gave it up may have ended unknown.
        if (held !== undefined) this.#lose(held);
        moves.push(this.#giveUp(shard, version));
      }
    }
    await Promise.all(moves);
  }

  /** Computed anew only when a node has come or gone. */
  #ownersAmong(live: ReadonlySet<string>): readonly (string | null)[] {
    const nodes = [...live].toSorted();
    const key = JSON.stringify(nodes);
    if (this.#placement.key !== key) {
      this.#placement = { key, owners: Array.from({ length: shardCount }, (_, shard) => ownerOf(shard, nodes)) };
    }
    return this.#placement.owners;
  }

  async #take(shard: number, version: number): Promise<void> {
    const key = shardKey(shard);
    const outcome = await this.#options.keyspace.commit({
      checks: [version === 0 ? { kind: "absent", key } : { kind: "version", key, version }],
      writes: [{ kind: "set", key, value: Buffer.from(this.#options.nodeId) }],
    });
    if (outcome.kind === "committed" && !this.#isClosed && !this.#isStalled && this.#msUntilStalled() > 0)
      this.#own(shard, outcome.version);
  }

  /** After its keepers have closed, so that the next owner need not wait for a lease to run out. */
  async #giveUp(shard: number, version: number): Promise<void> {
    await this.#closing.get(shard);
    const key = shardKey(shard);
    await this.#options.keyspace.commit({
      checks: [{ kind: "version", key, version }],
      writes: [{ kind: "set", key, value: new Uint8Array(0) }],
    });
  }

  // --- both

  #own(shard: number, epoch: number): void {
    const abort = new AbortController();
    const epochCheck = { kind: "version", key: shardKey(shard), version: epoch } as const;
    const plain: OwnedShard = { shard, epoch, epochCheck, signal: abort.signal };
    const keepers = this.#options.factories.map((make) => make(plain));
    this.#owned.set(shard, { ...plain, abort, keepers });
  }

  #lose(owned: Owned, reason: string = "lost"): void {
    const { shard, abort, keepers } = owned;
    if (this.#owned.get(shard) !== owned) return;
    this.#owned.delete(shard);
    abort.abort(reason);
    const closing = Promise.allSettled(keepers.map((keeper) => keeper.close())).then((ends) => {
      if (this.#closing.get(shard) === closing) this.#closing.delete(shard);
      for (const end of ends) if (end.status === "rejected") this.#options.onError?.(end.reason);
    });
    this.#closing.set(shard, closing);
  }
}

function isUnknown(error: unknown): boolean {
  return error instanceof AloftError && error.code === "COMMIT_UNKNOWN";
}
