/**
 * All crons of the shards that this node owns: which there are, and the one timer that wakes each when it is due. An idle cron
 * costs an entry in a heap: no query, no write, no timer of its own.
 */
import { DueQueue } from "../../lib/due-queue.ts";
import type { Schedule } from "../../lib/schedule.ts";
import type { Environment, OwnedShard } from "../../contract/durable.ts";
import type { Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { bind, type Binding } from "../binding.ts";
import type { EventRunner } from "../event-run.ts";
import { type Consumer, consumerKey, type FindTarget } from "../consumer.ts";
import type { TriggerKeeper, TriggerKind } from "../trigger-kind.ts";
import { Cron } from "./cron.ts";
import { cronShard } from "./cron-record.ts";

export interface CronsOptions {
  readonly keyspace: Keyspace;
  readonly runner: EventRunner;
  readonly schedule: Schedule;
  readonly onError: (error: unknown) => void;
}

export class Crons implements TriggerKind {
  readonly kind = "cron";
  readonly #options: CronsOptions;
  readonly #find: FindTarget;
  readonly #opening = new Set<Promise<void>>();
  readonly #due = new DueQueue<Cron>();
  readonly #crons = new Map<string, Cron>();
  #cancel: (() => void) | null = null;
  #timerMs = 0;
  #isClosed = false;

  constructor(options: CronsOptions, find: FindTarget) {
    this.#options = options;
    this.#find = find;
  }

  shardsOf({ environment, functionName }: Consumer): readonly number[] {
    return [cronShard(environment, functionName)];
  }

  open(owned: OwnedShard): TriggerKeeper {
    const ids = new Set<string>();
    return {
      set: (consumer) => {
        ids.add(consumerKey(consumer));
        this.#track(this.set(bind(consumer, this.#find), owned));
      },
      drop: (consumer) => {
        ids.delete(consumerKey(consumer));
        this.#track(this.#remove(consumerKey(consumer), true));
      },
      close: async () => {
        await Promise.all([...ids].map((id) => this.#remove(id)));
      },
    };
  }

  /** From now on this is what runs. Resolves when its next tick is stored. */
  async set(binding: Binding, owned: OwnedShard): Promise<void> {
    const id = consumerKey(binding);
    const known = this.#crons.get(id);
    if (known !== undefined) {
      await known.rebind(binding);
      return;
    }
    const { keyspace, runner, onError } = this.#options;
    const cron = new Cron(binding, owned, {
      keyspace,
      runner,
      onError,
      wakeAt: (one, atMs) => this.#wakeAt(one, atMs),
    });
    this.#crons.set(id, cron);
    await cron.open();
  }

  /** Resolves when every next tick is stored, or could not be. */
  async opened(): Promise<void> {
    await Promise.allSettled(this.#opening);
  }

  /** By the name of its function; where that has several schedules, `NAME#1` and so on for those after the first. */
  find(environment: Environment, name: string): Cron | null {
    return this.list(environment).find((one) => one.name === name)?.cron ?? null;
  }

  list(environment: Environment): { readonly name: string; readonly cron: Cron }[] {
    return [...this.#crons.values()]
      .filter(
        ({ binding: { environment: one } }) => one.id === environment.id && one.generation === environment.generation,
      )
      .map((cron) => {
        const { functionName, slot = 0 } = cron.binding;
        return { name: slot === 0 ? functionName : `${functionName}#${slot}`, cron };
      });
  }

  async #remove(id: string, isForGood = false): Promise<void> {
    const cron = this.#crons.get(id);
    this.#crons.delete(id);
    if (cron !== undefined) this.#due.delete(cron);
    await cron?.close();
    if (isForGood) await cron?.forget();
  }

  #track(work: Promise<void>): void {
    const tracked = work.catch(this.#options.onError).finally(() => this.#opening.delete(tracked));
    this.#opening.add(tracked);
  }

  get size(): number {
    return this.#crons.size;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    await Promise.all([...this.#crons.values()].map((cron) => cron.close()));
  }

  #wakeAt(cron: Cron, atMs: number | null): void {
    if (atMs === null) this.#due.delete(cron);
    else this.#due.set(cron, atMs);
    this.#arm();
  }

  /** The wall clock may step: it is looked at once a minute at least. */
  #arm(): void {
    const nextMs = this.#due.nextMs();
    if (this.#isClosed || (this.#cancel !== null && (nextMs === null || nextMs >= this.#timerMs))) return;
    this.#cancel?.();
    this.#cancel = null;
    if (nextMs === null) return;
    const nowMs = this.#options.keyspace.clock.nowMs();
    const delayMs = Math.min(Math.max(0, nextMs - nowMs), limits.cronTimerMs);
    this.#timerMs = nowMs + delayMs;
    this.#cancel = this.#options.schedule(delayMs, () => this.#wake());
  }

  #wake(): void {
    this.#cancel = null;
    const nowMs = this.#options.keyspace.clock.nowMs();
    for (let cron = this.#due.take(nowMs); cron !== null; cron = this.#due.take(nowMs)) cron.wake();
    this.#arm();
  }
}
