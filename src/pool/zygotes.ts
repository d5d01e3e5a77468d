/**
 * Processes of a runtime that were started ahead of need and wait for a deployment, kept per memory class: V8's sizes are
 * fixed when a process starts. How many, and when one is made, `zygote-target.ts` decides; this file does it.
 *
 * One timer, set for the moment at which there is something to do: a pause in the cold starts, the next try after a
 * failure, a process that has not said hello, demand that is forgotten. With the stock complete and no demand beyond the
 * minimum remembered there is none.
 */
import type { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import type { Sandbox } from "../contract/sandbox.ts";
import type { Clock } from "../lib/clock.ts";
import type { ReplyMessage } from "../wire/messages.ts";
import { crashBackoffMs } from "./crash-backoff.ts";
import { type GuestKind, type GuestProgram, guestSpec } from "./guest-program.ts";
import { Instance, type InstanceOwner } from "./instance.ts";
import {
  countStart,
  createZygoteDemand,
  decideZygotes,
  nextZygoteStep,
  peakStarts,
  quietMs,
  standardClassMiB,
  type ZygoteDemand,
  type ZygotePolicy,
  type ZygoteStock,
} from "./zygote-target.ts";

export interface ZygotesOptions {
  readonly sandbox: Sandbox;
  readonly program: GuestProgram;
  readonly kind: GuestKind;
  readonly clock: Clock;
  readonly newId: () => string;
  /** How many of the standard memory class wait ready when nothing happens. */
  readonly least: () => number;
  /** How many of all classes wait at the most. */
  readonly most: number;
  readonly cores: number;
  /** Memory that all of them may take now. */
  readonly budgetBytes: () => number;
  readonly onWarning: (message: string) => void;
}

/** What one is taken to need before any has been measured. */
const unmeasuredBytes = 24 * 1024 * 1024;
/** At the lowest priority on a full machine a start takes many times its usual 0.1 s. */
const helloMs = 60_000;
/** More starts at once than this only wait for the disk and for each other. */
const startsAtOnceMax = 8;
/** How often demand that is being forgotten, and memory that may have become free, are looked at. */
const slowMs = 10_000;
/** After so many failures in a row nobody waits for the stock to fill. */
const hopelessFailures = 3;

interface MemoryClass {
  readonly memoryMiB: number;
  readonly demand: ZygoteDemand;
  /** Starting and ready ones, oldest first. */
  readonly waiting: Instance[];
}

export class Zygotes implements InstanceOwner {
  readonly #options: ZygotesOptions;
  readonly #classes = new Map<number, MemoryClass>();
  /** Taken and not yet ready to serve: cold starts under way. */
  readonly #handedOver = new Set<Instance>();
  /** Of them, processes started when nothing waited: until they say hello they take a core each. */
  readonly #startedLate = new Set<Instance>();
  readonly #now: () => number;
  readonly #startsAtOnce: number;
  #bytesEach = unmeasuredBytes;
  #lastColdEndMs = Number.NEGATIVE_INFINITY;
  #missingSinceMs = -1;
  #timer: NodeJS.Timeout | null = null;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #failures = 0;
  #retryAtMs = 0;
  #isClosed = false;
  #onChange: (() => void)[] = [];

  constructor(options: ZygotesOptions) {
    this.#options = options;
    this.#now = () => options.clock.monotonicMs();
    this.#startsAtOnce = Math.min(options.cores, startsAtOnceMax);
    this.#classOf(standardClassMiB);
  }

  /** Starts the first ones. */
  open(): void {
    this.tick();
  }

  get readyCount(): number {
    let count = 0;
    for (const { waiting } of this.#classes.values()) count += countIn(waiting, "zygote");
    return count;
  }

  /** Whether `take` finds a process, ready or on its way. */
  hasWaiting(memoryMiB: number): boolean {
    return this.#classes.get(memoryMiB)?.waiting.some((one) => one.endReason === null) ?? false;
  }

  /** Processes that start because somebody waits for them. */
  get startingCount(): number {
    for (const one of this.#startedLate) if (one.state !== "starting") this.#startedLate.delete(one);
    return this.#startedLate.size;
  }

  /** Of those that wait; one that is still starting counts as what it will come to. */
  get memoryBytes(): number {
    let bytes = 0;
    for (const { waiting } of this.#classes.values()) {
      for (const one of waiting) bytes += one.memoryBytes === 0 ? this.#bytesEach : one.memoryBytes;
    }
    return bytes;
  }

  /** Whether a timer is set; none is while there is nothing to do. */
  get isTimed(): boolean {
    return this.#timer !== null;
  }

  /** Resolves when as many wait ready as are meant to; at once when they cannot be started. */
  async filled(): Promise<void> {
    while (!this.#isClosed && this.#failures < hopelessFailures && this.#isIncomplete()) {
      await new Promise<void>((resolve) => this.#onChange.push(resolve));
    }
  }

  /**
   * A process for this memory class, now owned by `owner`. Ready if there is one; else one that is still starting, and
   * its `instanceHello` will come. Throws SANDBOX_START_FAILED.
   */
  take(memoryMiB: number, owner: InstanceOwner): Instance {
    const { demand, waiting } = this.#classOf(memoryMiB);
    countStart(demand, this.#now());
    const ready = waiting.findIndex((one) => one.state === "zygote");
    const at = ready >= 0 ? ready : waiting.findIndex((one) => one.state === "starting");
    const taken = waiting.splice(at, at < 0 ? 0 : 1)[0];
    if (taken === undefined) {
      const started = this.spawn(memoryMiB, owner, null);
      this.#startedLate.add(started);
      return started;
    }
    taken.owner = owner;
    if (taken.isBackground) taken.setPriority("normal");
    this.#handedOver.add(taken);
    this.#schedule(quietMs);
    return taken;
  }

  /** A new process, with variables that Node reads while it starts. Throws SANDBOX_START_FAILED. */
  spawn(memoryMiB: number, owner: InstanceOwner, variables: Readonly<Record<string, string>> | null): Instance {
    const started = this.#start(memoryMiB, owner, variables);
    this.#handedOver.add(started);
    this.#schedule(quietMs);
    return started;
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (const { waiting } of this.#classes.values()) for (const one of waiting.splice(0)) one.kill("stopping");
    this.#changed();
  }

  // --- as the owner of those that wait

  instanceHello(instance: Instance): void {
    // It stays in the background until it is taken, or has prepared all it can (`warmed`).
    instance.measureMemory();
    if (instance.memoryBytes > 0) this.#bytesEach = instance.memoryBytes;
    this.#changed();
    this.#schedule(0);
  }

  instanceGone(instance: Instance, error: AloftError): void {
    for (const { waiting } of this.#classes.values()) {
      const at = waiting.indexOf(instance);
      if (at >= 0) waiting.splice(at, 1);
    }
    if (this.#isClosed || instance.endReason === "evicted") return;
    // One that lived for a while is no sign that the next one will not.
    if (this.#now() - instance.startedAtMs > helloMs) this.#failures = 0;
    this.#failed(`a waiting runtime process ended: ${error.message}`);
  }

  instanceReady(): void {}

  instanceFreed(): void {}

  instanceLogged(): void {}

  async instanceCalled(): Promise<ReplyMessage> {
    return { ok: false, code: "INVOCATION_ENDED", type: "Error", message: "no invocation is running", stack: "" };
  }

  // --- the stock

  /** What is to be done now, and the timer for what is to be done next. */
  tick(): void {
    if (this.#isClosed) return;
    const nowMs = this.#now();
    this.#endSilent(nowMs);
    this.#countColdStarts();
    for (;;) {
      const stock = this.#stock(nowMs);
      const isMissing = stock.some((one) => one.ready + one.starting < one.target);
      if (!isMissing) this.#missingSinceMs = -1;
      else if (this.#missingSinceMs < 0) this.#missingSinceMs = nowMs;
      const step =
        nowMs < this.#retryAtMs && isMissing ? null : nextZygoteStep(stock, this.#moment, this.#policy, nowMs);
      if (step === null) {
        this.#scheduleNext(stock, isMissing, nowMs);
        return;
      }
      if (step.kind === "end") this.#endOne(step.memoryMiB);
      else if (!this.#startOne(step.memoryMiB)) return;
    }
  }

  get #policy(): ZygotePolicy {
    const { most } = this.#options;
    const budgetBytes = this.#options.budgetBytes();
    return {
      least: this.#options.least(),
      most,
      bytesEach: this.#bytesEach,
      budgetBytes,
      startsAtOnce: this.#startsAtOnce,
    };
  }

  get #moment(): { coldStarts: number; lastColdEndMs: number; missingSinceMs: number } {
    return {
      coldStarts: this.#handedOver.size,
      lastColdEndMs: this.#lastColdEndMs,
      missingSinceMs: this.#missingSinceMs,
    };
  }

  #stock(nowMs: number): ZygoteStock[] {
    const demands: { memoryMiB: number; peak: number }[] = [];
    for (const { memoryMiB, demand, waiting } of this.#classes.values()) {
      const peak = peakStarts(demand, nowMs);
      if (peak === 0 && waiting.length === 0 && memoryMiB !== standardClassMiB) this.#classes.delete(memoryMiB);
      else demands.push({ memoryMiB, peak });
    }
    return decideZygotes(demands, this.#policy).map(({ memoryMiB, target }) => {
      const { waiting } = this.#classOf(memoryMiB);
      return { memoryMiB, target, ready: countIn(waiting, "zygote"), starting: countIn(waiting, "starting") };
    });
  }

  #isIncomplete(): boolean {
    return this.#stock(this.#now()).some((one) => one.ready < one.target);
  }

  #classOf(memoryMiB: number): MemoryClass {
    let found = this.#classes.get(memoryMiB);
    if (found === undefined) {
      found = { memoryMiB, demand: createZygoteDemand(memoryMiB), waiting: [] };
      this.#classes.set(memoryMiB, found);
    }
    return found;
  }

  #endSilent(nowMs: number): void {
    for (const { waiting } of this.#classes.values()) {
      for (const one of waiting) if (one.state === "starting" && nowMs - one.startedAtMs >= helloMs) one.kill("start");
    }
  }

  #countColdStarts(): void {
    for (const one of this.#handedOver) {
      if (one.state === "starting" || one.state === "zygote" || one.state === "assigned") continue;
      this.#handedOver.delete(one);
      this.#lastColdEndMs = Math.max(this.#lastColdEndMs, one.readyAtMs);
    }
  }

  #start(
    memoryMiB: number,
    owner: InstanceOwner,
    variables: Readonly<Record<string, string>> | null,
    priority: "background" | "normal" = "normal",
  ): Instance {
    const { program, kind, newId } = this.#options;
    const spec = { ...guestSpec(program, kind, newId(), memoryMiB, variables), priority };
    const started = new Instance(this.#options.sandbox.start(spec), owner, memoryMiB, this.#now);
    started.isBackground = priority === "background";
    started.isGraceful = kind !== "node";
    if (kind === "companion") started.companionMiB = limits.companionMiB;
    return started;
  }

  /** false when it failed, and the next try has its time. */
  #startOne(memoryMiB: number): boolean {
    try {
      this.#classOf(memoryMiB).waiting.push(this.#start(memoryMiB, this, null, "background"));
      return true;
    } catch (error) {
      this.#failed(`a runtime process could not be started: ${(error as Error).message}`);
      return false;
    }
  }

  #endOne(memoryMiB: number): void {
    const { waiting } = this.#classOf(memoryMiB);
    const at = waiting.findIndex((one) => one.state === "zygote");
    for (const one of waiting.splice(at, at < 0 ? 0 : 1)) one.kill("evicted");
  }

  #failed(message: string): void {
    this.#failures += 1;
    const waitMs = crashBackoffMs(this.#failures);
    this.#retryAtMs = this.#now() + waitMs;
    this.#options.onWarning(message);
    this.#changed();
    this.#schedule(waitMs);
  }

  // --- the timer

  #scheduleNext(stock: readonly ZygoteStock[], isMissing: boolean, nowMs: number): void {
    const starting = stock.reduce((sum, one) => sum + one.starting, 0);
    if (isMissing && nowMs < this.#retryAtMs) this.#schedule(this.#retryAtMs - nowMs);
    // Waits for a pause in the cold starts; a start that ends says so itself.
    else if (isMissing && starting < this.#startsAtOnce) this.#schedule(quietMs);
    else if (starting > 0) this.#schedule(helloMs);
    else if (this.#mayChange(stock)) this.#schedule(slowMs);
  }

  /** Targets follow demand, which is forgotten in time, and memory, which others take and give back. */
  #mayChange(stock: readonly ZygoteStock[]): boolean {
    const { least, most } = this.#options;
    const wanted = stock.find((one) => one.memoryMiB === standardClassMiB)?.target ?? 0;
    return wanted !== Math.min(least(), most) || stock.some((one) => one.memoryMiB !== standardClassMiB);
  }

  /** The earliest of what was asked for holds. */
  #schedule(delayMs: number): void {
    if (this.#isClosed) return;
    const atMs = this.#now() + delayMs;
    if (this.#timer !== null) {
      if (atMs >= this.#timerAtMs) return;
      clearTimeout(this.#timer);
    }
    this.#timerAtMs = atMs;
    // Timers count whole milliseconds and may be early by a fraction of one.
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.tick();
    }, delayMs + 1);
    this.#timer.unref();
  }

  #changed(): void {
    for (const callback of this.#onChange.splice(0)) callback();
  }
}

function countIn(waiting: readonly Instance[], state: Instance["state"]): number {
  let count = 0;
  for (const one of waiting) if (one.state === state) count += 1;
  return count;
}
