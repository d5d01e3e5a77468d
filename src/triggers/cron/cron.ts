/**
 * One cron of one function in one environment. What is stored says which tick is next; a tick is acknowledged by storing the
 * one after it, in the commit that holds the effects of its handler. So each tick takes effect once, and a crash at any moment
 * leaves it either done or still to be done.
 *
 *   resting    the next tick is in the future
 *   running    ticks of the backlog run one after the other; with overlap "allow" each begins by a commit of its own that
 *              moves the next tick on, and they run beside each other
 *   waiting    an attempt has failed, the next one has its time
 *   paused, lost
 */
import type { CronOptions } from "../../contract/cron-options.ts";
import { scheduleOf } from "../../contract/cron-options.ts";
import type { EventDelivery, OwnedShard } from "../../contract/durable.ts";
import type { AloftError } from "../../contract/errors.ts";
import type { Check, Keyspace, Write } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { decodeTuple } from "../../contract/tuple.ts";
import { nextRun, type Recurrence } from "../../lib/recurrence.ts";
import type { OutcomeError } from "../../wire/effects.ts";
import type { Binding } from "../binding.ts";
import { backoffMs, commitSurely, type EventEnd, type EventRunner, runEvent } from "../event-run.ts";
import { scheduledPayload } from "./cron-payload.ts";
import { type BegunTick, type CronKeys, cronKeys, type CronState, jsonBytes, jsonOf } from "./cron-record.ts";
import { dueTicks, jitterOf, ticksBetween } from "./due-ticks.ts";

export interface CronParts {
  readonly keyspace: Keyspace;
  readonly runner: EventRunner;
  readonly onError: (error: unknown) => void;
  /** The cron wants to be woken at this time of the store's clock; null: not by time. */
  readonly wakeAt: (cron: Cron, atMs: number | null) => void;
}

const refusedMs = 1000;

export class Cron {
  binding: Binding;
  readonly owned: OwnedShard;
  readonly keys: CronKeys;
  readonly #parts: CronParts;
  readonly #running = new Set<Promise<unknown>>();
  #state: CronState | null = null;
  #version = 0;
  #backlog: number[] = [];
  #isBusy = false;
  #isClosed = false;
  /** What is stored is to be looked at when the tick that runs has ended. */
  #isStale = false;
  /** Ticks that run beside each other, by their time. */
  readonly #begun = new Map<number, BegunTick & { readonly version: number; isRunning: boolean }>();

  constructor(binding: Binding, owned: OwnedShard, parts: CronParts) {
    this.binding = binding;
    this.owned = owned;
    this.keys = cronKeys(binding.environment, binding.functionName, binding.slot ?? 0);
    this.#parts = parts;
  }

  get options(): CronOptions {
    return this.binding.options as unknown as CronOptions;
  }

  get schedule(): Recurrence {
    return scheduleOf(this.binding.name, this.options.timezone);
  }

  get state(): CronState | null {
    return this.#state;
  }

  get isRunning(): boolean {
    return this.#isBusy || [...this.#begun.values()].some(({ isRunning }) => isRunning);
  }

  /** Reads what is stored, or begins with the first tick after now. */
  open(): Promise<void> {
    return this.#track(this.#open());
  }

  /**
   * A new deployment, perhaps with another schedule, which counts from now on. A tick that runs ends first, for its commit
   * checks what is stored.
   */
  async rebind(binding: Binding): Promise<void> {
    this.binding = binding;
    if (this.#isBusy) this.#isStale = true;
    else await this.open();
  }

  /** The time has come for something. */
  wake(): void {
    if (this.#isLost || this.#isClosed) return;
    this.#goOnWithBegun();
    void this.#track(this.options.overlap === "allow" ? this.#beginDue() : this.#runDue());
  }

  /** Runs it now, whatever its schedule says. Resolves when it has ended. */
  runNow(id: string): Promise<EventEnd> {
    return this.#track(this.#runManually(id));
  }

  /** Resumed, it goes on with the first tick after now. */
  setPaused(isPaused: boolean): Promise<void> {
    return this.#track(this.#setPaused(isPaused));
  }

  /** Begins nothing any more; what runs goes on and commits. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#parts.wakeAt(this, null);
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  /** There is no such cron any more: should it come again, it begins anew. After `close`. */
  async forget(): Promise<void> {
    await this.#parts.keyspace.commit({
      checks: [this.owned.epochCheck],
      writes: [
        { kind: "delete", key: this.keys.state },
        { kind: "delete-range", ...this.keys.begun },
      ],
    });
  }

  get #isLost(): boolean {
    return this.owned.signal.aborted;
  }

  get #nowMs(): number {
    return this.#parts.keyspace.clock.nowMs();
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    void work
      .catch((error: unknown) => {
        if (this.#isLost || this.#isClosed) return;
        this.#parts.onError(error);
        this.#state = null;
        this.#parts.wakeAt(this, this.#nowMs + refusedMs);
      })
      .finally(() => this.#running.delete(work));
    return work;
  }

  async #open(): Promise<void> {
    const { keyspace } = this.#parts;
    for (;;) {
      if (this.#isLost) return;
      const [entry] = await keyspace.get([this.keys.state]);
      const known = entry === null || entry === undefined ? null : jsonOf<CronState>(entry);
      const text = this.#scheduleText();
      if (known !== null && known.schedule === text) {
        this.#state = known;
        this.#version = entry?.version ?? 0;
        break;
      }
      const nextMs = nextRun(this.schedule, this.#nowMs);
      const fresh = known ?? { isPaused: false, last: null, succeeded: 0, failed: 0 };
      await this.#commitState({ ...fresh, schedule: text, nextMs, attempts: 0, retryAtMs: null }, entry?.version ?? 0);
    }
    this.#backlog = [];
    const { entries } = await keyspace.range(this.keys.begun);
    for (const [tickMs, { isRunning }] of this.#begun) if (!isRunning) this.#begun.delete(tickMs);
    for (const one of entries) {
      const tickMs = decodeTickMs(one.key);
      if (!this.#begun.has(tickMs)) {
        this.#begun.set(tickMs, { ...jsonOf<BegunTick>(one), version: one.version, isRunning: false });
      }
    }
    this.#plan();
  }

  async #openIfStale(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false;
      await this.#open();
    }
  }

  async #setPaused(isPaused: boolean): Promise<void> {
    for (;;) {
      if (this.#state === null) await this.#open();
      const state = this.#state;
      if (state === null || this.#isLost) return;
      const nextMs = isPaused ? state.nextMs : nextRun(this.schedule, this.#nowMs);
      await this.#commitState({ ...state, isPaused, nextMs, attempts: 0, retryAtMs: null }, this.#version);
      if (this.#state?.isPaused === isPaused) break;
    }
    this.#plan();
  }

  #scheduleText(): string {
    return `${this.binding.name} ${this.options.timezone}`;
  }

  /** When to be woken next. */
  #plan(): void {
    const state = this.#state;
    if (this.#isLost || this.#isClosed) return;
    // Somebody else has changed it, or it is not known who: it is read again.
    let atMs: number | null = state === null ? this.#nowMs : null;
    if (state === null || state.isPaused) {
      this.#parts.wakeAt(this, atMs);
      return;
    }
    if (!this.#isBusy) {
      if (state.retryAtMs !== null) atMs = state.retryAtMs;
      else if (this.#backlog.length > 0 && this.options.overlap !== "allow") atMs = this.#nowMs;
      else if (state.nextMs !== null)
        atMs = state.nextMs + jitterOf(this.#jitterName, state.nextMs, this.options.jitterMs);
    }
    for (const { retryAtMs, isRunning } of this.#begun.values()) {
      if (!isRunning) atMs = Math.min(atMs ?? Number.MAX_SAFE_INTEGER, retryAtMs ?? this.#nowMs);
    }
    this.#parts.wakeAt(this, atMs);
  }

  get #jitterName(): string {
    return `${this.binding.environment.id} ${this.binding.functionName}`;
  }

  // --- one after the other

  async #runDue(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      if (this.#state === null) await this.#open();
      while (!this.#isStale && (await this.#runNext())) if (this.#isLost || this.#isClosed) return;
      await this.#openIfStale();
    } finally {
      this.#isBusy = false;
    }
    this.#plan();
  }

  /** Runs the tick that is due now; false when there is none, or it has to wait. */
  async #runNext(): Promise<boolean> {
    const state = this.#state;
    if (state === null || state.isPaused || state.nextMs === null) return false;
    const nowMs = this.#nowMs;
    if (state.retryAtMs !== null && state.retryAtMs > nowMs) return false;
    const jitterMs = jitterOf(this.#jitterName, state.nextMs, this.options.jitterMs);
    if (this.#backlog.length === 0) this.#backlog = this.#decide(state, nowMs - jitterMs);
    const tickMs = this.#backlog[0];
    if (tickMs === undefined) {
      if (state.nextMs > nowMs - jitterMs) return false;
      // Everything that was due is left out.
      await this.#commitState(
        { ...state, nextMs: nextRun(this.schedule, nowMs - jitterMs), attempts: 0, retryAtMs: null },
        this.#version,
      );
      return false;
    }
    let next = state;
    const end = await runEvent(this.#parts.runner, {
      environment: this.binding.environment,
      delivery: () => this.#deliveryOf(tickMs, state.attempts + 1, false),
      acknowledge: () => {
        // It may have been paused since.
        next = this.#after(this.#state ?? state, tickMs, null);
        return { checks: [this.#stateCheck()], writes: [this.#setState(next)] };
      },
      checks: [this.owned.epochCheck],
      signal: this.owned.signal,
    });
    return await this.#settle(next, tickMs, end);
  }

  #decide(state: CronState, nowMs: number): number[] {
    const { missed, overlap } = this.options;
    const nextMs = state.nextMs ?? Number.POSITIVE_INFINITY;
    // A tick that has failed is tried again, however late that is.
    if (state.attempts > 0) return [nextMs];
    const { cronGraceMs: graceMs, cronTicksWaiting: most } = limits;
    return dueTicks({ schedule: this.schedule, nextMs, nowMs, missed, overlap, graceMs, most });
  }

  /** `next`: what was stored if it has committed. */
  async #settle(next: CronState, tickMs: number, end: EventEnd): Promise<boolean> {
    switch (end.kind) {
      case "committed": {
        this.#become(next, end.version);
        return true;
      }
      case "refused":
        this.#retryIn(refusedMs, end.error);
        return false;
      case "lost": {
        // Changed by hand, or not known whether it has happened: what is stored says.
        await this.#open();
        return false;
      }
      case "failed": {
        if (this.#state === null) await this.#open();
        const state = this.#state;
        if (state === null) return false;
        const attempts = state.attempts + 1;
        const isLast = attempts >= this.options.attempts || end.error.retry === "never";
        const retryAtMs = this.#nowMs + backoffMs(this.options.backoffMs, attempts, end.error);
        const failed = isLast
          ? this.#after(state, tickMs, end.error)
          : { ...state, nextMs: tickMs, attempts, retryAtMs };
        await this.#commitState(failed, this.#version);
        return isLast;
      }
    }
  }

  /** What is stored when this tick is over. */
  #after(state: CronState, tickMs: number, error: OutcomeError | null): CronState {
    const nowMs = this.#nowMs;
    const waiting = this.#backlog[0] === tickMs ? this.#backlog.slice(1) : this.#backlog;
    const following = nextRun(this.schedule, tickMs);
    const fromMs = this.options.overlap === "skip" && waiting.length === 0 ? Math.max(tickMs, nowMs) : tickMs;
    return {
      ...state,
      nextMs: waiting[0] ?? (fromMs === tickMs ? following : nextRun(this.schedule, fromMs)),
      attempts: 0,
      retryAtMs: null,
      last: {
        scheduledAtMs: tickMs,
        endedAtMs: nowMs,
        error: error === null ? null : `${error.type}: ${error.message}`,
      },
      succeeded: state.succeeded + (error === null ? 1 : 0),
      failed: state.failed + (error === null ? 0 : 1),
    };
  }

  #become(state: CronState, version: number): void {
    this.#state = state;
    this.#version = version;
    const nextMs = state.nextMs ?? Number.POSITIVE_INFINITY;
    this.#backlog = this.#backlog.filter((tickMs) => tickMs >= nextMs);
    // What came due while a tick ran is no missed tick: it runs after it.
    const nowMs = this.#nowMs;
    if (this.options.overlap === "queue" && this.#backlog.length === 0 && nextMs <= nowMs) {
      this.#backlog = ticksBetween(this.schedule, nextMs, nowMs, limits.cronTicksWaiting);
    }
  }

  #retryIn(ms: number, error: AloftError): void {
    if (error.code === "INTERNAL") this.#parts.onError(error);
    if (this.#state !== null) this.#state = { ...this.#state, retryAtMs: this.#nowMs + ms };
  }

  /** A commit of the cron's own; when somebody else was faster, what is stored counts. */
  async #commitState(next: CronState, version: number): Promise<void> {
    const { environment } = this.binding;
    const check: Check =
      version === 0 ? { kind: "absent", key: this.keys.state } : { kind: "version", key: this.keys.state, version };
    const outcome = await commitSurely(this.#parts.runner.state, environment, {
      seen: [],
      effects: [],
      checks: [this.owned.epochCheck, check],
      writes: [this.#setState(next)],
      isEssential: true,
    });
    if (outcome.kind === "committed") this.#become(next, outcome.version);
    else this.#state = null;
  }

  #stateCheck(): Check {
    return { kind: "version", key: this.keys.state, version: this.#version };
  }

  #setState(state: CronState): Write {
    return { kind: "set", key: this.keys.state, value: jsonBytes(state) };
  }

  // --- beside each other

  async #beginDue(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      if (this.#state === null) await this.#open();
      while (!this.#isStale && (await this.#beginNext()));
      await this.#openIfStale();
    } finally {
      this.#isBusy = false;
    }
    this.#goOnWithBegun();
    this.#plan();
  }

  /** Also those that have begun under an earlier deployment, whose ticks might run beside each other. */
  #goOnWithBegun(): void {
    const nowMs = this.#nowMs;
    for (const [tickMs, tick] of this.#begun) {
      if (!tick.isRunning && (tick.retryAtMs ?? 0) <= nowMs && this.#state?.isPaused === false)
        void this.#track(this.#runBegun(tickMs));
    }
  }

  async #beginNext(): Promise<boolean> {
    const state = this.#state;
    if (state === null || state.isPaused || state.nextMs === null || this.#isLost) return false;
    const nowMs = this.#nowMs - jitterOf(this.#jitterName, state.nextMs, this.options.jitterMs);
    if (state.nextMs > nowMs) return false;
    if (this.#backlog.length === 0) this.#backlog = this.#decide(state, nowMs);
    const tickMs = this.#begun.size < limits.cronTicksWaiting ? this.#backlog[0] : undefined;
    const nextMs =
      tickMs === undefined ? nextRun(this.schedule, nowMs) : (this.#backlog[1] ?? nextRun(this.schedule, tickMs));
    // A tick that has failed before, when they did not run beside each other, takes its attempts along.
    const next = { ...state, nextMs, attempts: 0, retryAtMs: null };
    const writes = [this.#setState(next)];
    const begun: BegunTick = { attempts: state.attempts, retryAtMs: state.retryAtMs };
    if (tickMs !== undefined) writes.push({ kind: "set", key: this.keys.begunTick(tickMs), value: jsonBytes(begun) });
    const outcome = await commitSurely(this.#parts.runner.state, this.binding.environment, {
      seen: [],
      effects: [],
      checks: [this.owned.epochCheck, this.#stateCheck()],
      writes,
      isEssential: true,
    });
    if (outcome.kind !== "committed") {
      await this.#open();
      return false;
    }
    // It may have been read from the store already, and run.
    if (tickMs !== undefined && !this.#begun.has(tickMs))
      this.#begun.set(tickMs, { ...begun, version: outcome.version, isRunning: false });
    this.#become(next, outcome.version);
    return true;
  }

  async #runBegun(tickMs: number): Promise<void> {
    const tick = this.#begun.get(tickMs);
    if (tick === undefined) return;
    tick.isRunning = true;
    try {
      await this.#runBegunOnce(tickMs, tick);
    } catch (error) {
      this.#begun.set(tickMs, { ...tick, retryAtMs: this.#nowMs + refusedMs, isRunning: false });
      throw error;
    }
    this.#plan();
  }

  /** It counts as running until what has become of it is stored. */
  async #runBegunOnce(tickMs: number, tick: BegunTick & { readonly version: number }): Promise<void> {
    const key = this.keys.begunTick(tickMs);
    const check: Check = { kind: "version", key, version: tick.version };
    const end = await runEvent(this.#parts.runner, {
      environment: this.binding.environment,
      delivery: () => this.#deliveryOf(tickMs, tick.attempts + 1, false),
      acknowledge: () => ({ checks: [check], writes: [{ kind: "delete", key }] }),
      checks: [this.owned.epochCheck],
      signal: this.owned.signal,
    });
    if (end.kind === "failed") {
      await this.#failBegun(tickMs, check, tick, end.error);
      return;
    }
    if (end.kind === "refused")
      this.#begun.set(tickMs, { ...tick, retryAtMs: this.#nowMs + refusedMs, isRunning: false });
    else this.#begun.delete(tickMs);
    if (end.kind === "lost") await this.#open();
    if (end.kind === "committed") await this.#note(tickMs, null);
  }

  async #failBegun(tickMs: number, check: Check, tick: BegunTick, error: OutcomeError): Promise<void> {
    const key = this.keys.begunTick(tickMs);
    const attempts = tick.attempts + 1;
    const isLast = attempts >= this.options.attempts || error.retry === "never";
    const next: BegunTick = { attempts, retryAtMs: this.#nowMs + backoffMs(this.options.backoffMs, attempts, error) };
    const write: Write = isLast ? { kind: "delete", key } : { kind: "set", key, value: jsonBytes(next) };
    const outcome = await commitSurely(this.#parts.runner.state, this.binding.environment, {
      seen: [],
      effects: [],
      checks: [this.owned.epochCheck, check],
      writes: [write],
      isEssential: true,
    });
    if (outcome.kind === "committed" && !isLast) {
      this.#begun.set(tickMs, { ...next, version: outcome.version, isRunning: false });
    } else this.#begun.delete(tickMs);
    if (outcome.kind !== "committed") await this.#open();
    else if (isLast) await this.#note(tickMs, error);
  }

  /** For people; it is no part of what makes a tick take effect once, so others may be faster. */
  async #note(tickMs: number, error: OutcomeError | null): Promise<void> {
    const state = this.#state;
    if (state === null || this.#isBusy) return;
    const noted = this.#after(state, tickMs, error);
    await this.#commitState({ ...noted, nextMs: state.nextMs }, this.#version);
    if (this.#state === null) await this.#open();
  }

  // --- by hand

  async #runManually(id: string): Promise<EventEnd> {
    const key = this.keys.manualRun(id);
    const nowMs = this.#nowMs;
    const value = jsonBytes({ atMs: nowMs });
    return await runEvent(this.#parts.runner, {
      environment: this.binding.environment,
      delivery: () => this.#deliveryOf(nowMs, 1, true),
      acknowledge: () => ({
        checks: [{ kind: "absent", key }],
        writes: [{ kind: "set", key, value, expiresAtMs: nowMs + limits.onceMs }],
      }),
      checks: [this.owned.epochCheck],
      signal: this.owned.signal,
    });
  }

  #deliveryOf(scheduledAtMs: number, attempt: number, isManual: boolean): EventDelivery | null {
    const { name, functionName, environment } = this.binding;
    const target = this.binding.target();
    if (target === null) return null;
    const { live, functionNumber } = target;
    return {
      live,
      functionNumber,
      trigger: "cron",
      subject: `${functionName} ${new Date(scheduledAtMs).toISOString()}`,
      attempt,
      document: {
        trigger: "cron",
        idempotencyKey: `${environment.id}.${environment.generation}.${functionName}.${name}.${scheduledAtMs}`,
        payload: scheduledPayload(
          live.manifest.functions[functionNumber],
          { scheduledAtMs, schedule: name, isManual },
          live.app,
        ),
      },
      traceparent: null,
    };
  }
}

function decodeTickMs(key: Uint8Array): number {
  return Number(decodeTuple(key).at(-1));
}
