/**
 * State as handlers use it. In an event's handler writes are held, and travel with what was read in its outcome; elsewhere
 * each write is committed when it is awaited, or several together in `atomic`.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { StateHost, StateRequest } from "../../sdk/runtime-host.ts";
import type { Effect, ReadReply, Seen, StateRead } from "../../src/wire/effects.ts";
import type { CallMessage, CommitReply } from "../../src/wire/messages.ts";
import { Overlay, StateError } from "../../src/wire/overlay.ts";
import type { Invocation } from "./invocation.ts";

/** Of one block, each time after a conflict. */
const rerunsMax = 100;

/** A call to the node in the name of the invocation on a stream, or of none (0). */
type Ask = (call: CallMessage, stream: number) => Promise<unknown>;

interface Scope {
  readonly overlay: Overlay;
  /** What it held is on its way: nothing can be added any more. */
  isSealed: boolean;
}

export class GuestState implements StateHost {
  readonly #ask: Ask;
  readonly #current: () => Invocation | undefined;
  /** The `atomic` block that runs. */
  readonly #block = new AsyncLocalStorage<Scope>();
  readonly #events = new WeakMap<Invocation, Scope>();
  /** Watches of the same thing share one call. */
  readonly #watches = new Map<string, Promise<unknown>>();

  constructor(ask: Ask, current: () => Invocation | undefined) {
    this.#ask = ask;
    this.#current = current;
  }

  /** From here on the invocation's writes are held. */
  hold(invocation: Invocation): void {
    const overlay = new Overlay((read) => this.#readThrough(read, invocation.stream));
    this.#events.set(invocation, { overlay, isSealed: false });
  }

  /** What an event's handler has read and wants written; nothing is added to it any more. */
  async seal(invocation: Invocation): Promise<{ seen: readonly Seen[]; effects: readonly Effect[] }> {
    await invocation.settleWrites();
    const scope = this.#events.get(invocation);
    if (scope === undefined) return { seen: [], effects: [] };
    scope.isSealed = true;
    return { seen: scope.overlay.seen(), effects: scope.overlay.effects() };
  }

  async read(read: StateRequest): Promise<unknown> {
    if (read.method === "watch") return await this.#watch(read);
    const scope = this.#scope();
    if (scope !== null) return await scope.overlay.read(read);
    const { value } = await this.#readThrough(read, this.#stream());
    return value;
  }

  write(effect: StateRequest): Promise<unknown> {
    const written = this.#write(effect);
    this.#current()?.addWrite(written);
    // A promise of its own: that one's failure is the caller's to await, this one's is looked after.
    return written.then((result) => result);
  }

  async #write(effect: Effect): Promise<unknown> {
    const scope = this.#scope();
    if (scope !== null) return await scope.overlay.write(effect);
    const reply = await this.#commit({ seen: [], effects: [effect] });
    if (reply.kind === "conflict") throw new StateError("STATE_CONFLICT", `${reply.where} has changed`);
    return reply.results[0] ?? null;
  }

  track(work: Promise<unknown>): void {
    this.#current()?.addWrite(work);
  }

  async atomic<T>(work: () => Promise<T>): Promise<T> {
    // In an event's handler, and in another block, everything is committed together anyway.
    if (this.#scope() !== null) return await work();
    const invocation = this.#current();
    const done = this.#atomic(work);
    invocation?.addWrite(done);
    return await done.then((result) => result);
  }

  async undoOnThrow<T>(work: () => Promise<T>): Promise<T> {
    const scope = this.#scope();
    if (scope === null) return await work();
    const mark = scope.overlay.mark();
    try {
      return await work();
    } catch (error) {
      scope.overlay.undo(mark);
      throw error;
    }
  }

  async #atomic<T>(work: () => Promise<T>): Promise<T> {
    let ticket: number | undefined;
    for (let runs = 0; ; runs++) {
      const stream = this.#stream();
      const scope: Scope = { overlay: new Overlay((read) => this.#readThrough(read, stream)), isSealed: false };
      const ended = await this.#block.run(scope, () => settle(work));
      scope.isSealed = true;
      const seen = scope.overlay.seen();
      const effects = ended.ok ? scope.overlay.effects() : [];
      // A block that throws has failed only if what it has read still holds.
      const reply = await this.#commit({ seen, effects, ...(ticket === undefined ? {} : { ticket }) });
      if (reply.kind === "committed") {
        if (ended.ok) return ended.value;
        throw ended.error;
      }
      if (runs === rerunsMax) {
        throw new StateError("HOT_KEY", `${reply.where} was changed by others each of the ${rerunsMax} times`);
      }
      ticket = (await this.#ask({ op: "enter", where: reply.where }, this.#stream())) as number;
    }
  }

  async #commit(commit: { seen: readonly Seen[]; effects: readonly Effect[]; ticket?: number }): Promise<CommitReply> {
    if (commit.seen.length === 0 && commit.effects.length === 0 && commit.ticket === undefined)
      return { kind: "committed", version: 0, results: [] };
    return (await this.#ask({ op: "commit", ...commit }, this.#stream())) as CommitReply;
  }

  async #readThrough(read: StateRead, stream: number): Promise<ReadReply> {
    return (await this.#ask({ op: "read", ...read }, stream)) as ReadReply;
  }

  async #watch(read: StateRead): Promise<unknown> {
    this.#stream(); // refuses an invocation that has ended
    const id = JSON.stringify(read);
    let watching = this.#watches.get(id);
    if (watching === undefined) {
      watching = this.#readThrough(read, 0).finally(() => this.#watches.delete(id));
      this.#watches.set(id, watching);
    }
    return ((await watching) as ReadReply).value;
  }

  #scope(): Scope | null {
    const block = this.#block.getStore();
    const invocation = this.#current();
    const scope = block ?? (invocation === undefined ? undefined : this.#events.get(invocation));
    if (scope === undefined) return null;
    if (!scope.isSealed) return scope;
    const what = block === undefined ? "the invocation" : "the atomic block";
    throw new StateError("INVOCATION_ENDED", `${what} has ended, and its writes are on their way: await what it does`);
  }

  /** Of the invocation that asks; 0 outside of any. */
  #stream(): number {
    const invocation = this.#current();
    if (invocation === undefined) return 0;
    if (invocation.state !== "ended" && !invocation.isAborted) return invocation.stream;
    throw new StateError("INVOCATION_ENDED", "the invocation has ended: await what it does, or give it to waitUntil");
  }
}

type Settled<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

async function settle<T>(work: () => Promise<T>): Promise<Settled<T>> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    return { ok: false, error };
  }
}
