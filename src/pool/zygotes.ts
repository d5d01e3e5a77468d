/**
 * Processes of a runtime that were started ahead of need and wait for a deployment. Kept per memory class; refilled one
 * at a time, and only when no cold start is being served, so that a refill never competes with what it is for.
 */
import type { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import type { Sandbox } from "../contract/sandbox.ts";
import type { Clock } from "../lib/clock.ts";
import { crashBackoffMs } from "./crash-backoff.ts";
import { type GuestProgram, guestSpec } from "./guest-program.ts";
import { Instance, type InstanceOwner } from "./instance.ts";

export interface ZygotesOptions {
  readonly sandbox: Sandbox;
  readonly program: GuestProgram;
  readonly clock: Clock;
  readonly newId: () => string;
  /** How many wait ready in the standard memory class; other classes are filled by demand. */
  readonly ready: number;
  readonly onWarning: (message: string) => void;
}

/** After a take, the refill waits until cold starts have been quiet for this long. */
const quietMs = 20;
/** Demand for another memory class is remembered this long. */
const demandMs = 5 * 60_000;

interface MemoryClass {
  readonly memoryMiB: number;
  readonly waiting: Instance[];
  target: number;
  usedAtMs: number;
}

export class Zygotes implements InstanceOwner {
  readonly #options: ZygotesOptions;
  readonly #classes = new Map<number, MemoryClass>();
  readonly #now: () => number;
  #timer: NodeJS.Timeout | null = null;
  #lastTakeMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #retryAtMs = 0;
  #isClosed = false;

  constructor(options: ZygotesOptions) {
    this.#options = options;
    this.#now = () => options.clock.monotonicMs();
    this.#classOf(limits.describeMemoryMiB).target = options.ready;
  }

  /** Starts the first ones. */
  open(): void {
    this.#schedule(0);
  }

  get readyCount(): number {
    return this.#count((one) => one.state === "zygote");
  }

  get memoryBytes(): number {
    let bytes = 0;
    for (const { waiting } of this.#classes.values()) for (const one of waiting) bytes += one.memoryBytes;
    return bytes;
  }

  /** Resolves when the standard class is as full as it is meant to be. */
  async filled(): Promise<void> {
    while (!this.#isClosed && this.#failures === 0 && this.readyCount < this.#options.ready) {
      await new Promise<void>((resolve) => this.#onChange.push(resolve));
    }
  }
  #onChange: (() => void)[] = [];

  /**
   * A process for this memory class, now owned by `owner`. Ready if there is one; else one that is still starting, and
   * its `instanceHello` will come.
   */
  take(memoryMiB: number, owner: InstanceOwner): Instance {
    const nowMs = this.#now();
    this.#lastTakeMs = nowMs;
    const memoryClass = this.#classOf(memoryMiB);
    memoryClass.usedAtMs = nowMs;
    if (memoryClass.target === 0 && this.#options.ready > 0) memoryClass.target = 1;
    const { waiting } = memoryClass;
    const readyAt = waiting.findIndex((one) => one.state === "zygote");
    const at = readyAt >= 0 ? readyAt : waiting.findIndex((one) => one.state === "starting");
    this.#schedule(quietMs);
    if (at >= 0) {
      const [taken] = waiting.splice(at, 1);
      if (taken !== undefined) {
        taken.owner = owner;
        if (taken.state === "starting") taken.setPriority("normal");
        return taken;
      }
    }
    return this.spawn(memoryMiB, owner, null);
  }

  /** A new process, with variables that Node reads while it starts. Throws SANDBOX_START_FAILED. */
  spawn(memoryMiB: number, owner: InstanceOwner, variables: Readonly<Record<string, string>> | null): Instance {
    const spec = guestSpec(this.#options.program, this.#options.newId(), memoryMiB, variables);
    return new Instance(this.#options.sandbox.start(spec), owner, memoryMiB, this.#now);
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const { waiting } of this.#classes.values()) for (const one of waiting) one.kill("stopping");
    this.#changed();
  }

  // --- as the owner of those that wait

  instanceHello(instance: Instance): void {
    this.#failures = 0;
    instance.setPriority("normal");
    instance.measureMemory();
    this.#changed();
    this.#schedule(quietMs);
  }

  instanceGone(instance: Instance, error: AloftError): void {
    for (const { waiting } of this.#classes.values()) {
      const at = waiting.indexOf(instance);
      if (at >= 0) waiting.splice(at, 1);
    }
    if (this.#isClosed || instance.endReason === "evicted") return;
    this.#failures += 1;
    this.#retryAtMs = this.#now() + crashBackoffMs(this.#failures);
    this.#options.onWarning(`a waiting runtime process ended: ${error.message}`);
    this.#changed();
    this.#schedule(quietMs);
  }

  instanceReady(): void {}

  instanceFreed(): void {}

  instanceLogged(): void {}

  async instanceCalled(): Promise<{ ok: false; code: string; message: string; stack: string }> {
    return { ok: false, code: "INVOCATION_ENDED", message: "no invocation is running", stack: "" };
  }

  // --- refilling

  #classOf(memoryMiB: number): MemoryClass {
    let found = this.#classes.get(memoryMiB);
    if (found === undefined) {
      found = { memoryMiB, waiting: [], target: 0, usedAtMs: this.#now() };
      this.#classes.set(memoryMiB, found);
    }
    return found;
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== null || this.#isClosed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#refill();
    }, delayMs);
    this.#timer.unref();
  }

  #refill(): void {
    const nowMs = this.#now();
    const starting = this.#count((one) => one.state === "starting");
    for (const memoryClass of this.#classes.values()) {
      if (memoryClass.memoryMiB !== limits.describeMemoryMiB && nowMs - memoryClass.usedAtMs > demandMs) {
        memoryClass.target = 0;
        for (const one of memoryClass.waiting) one.kill("evicted");
      }
      if (memoryClass.waiting.length >= memoryClass.target) continue;
      if (nowMs < this.#retryAtMs) this.#schedule(this.#retryAtMs - nowMs);
      else if (nowMs - this.#lastTakeMs < quietMs || starting > 0) this.#schedule(quietMs);
      else {
        this.#startOne(memoryClass);
        this.#schedule(quietMs);
      }
      return;
    }
  }

  #startOne(memoryClass: MemoryClass): void {
    try {
      const started = this.spawn(memoryClass.memoryMiB, this, null);
      started.setPriority("background");
      memoryClass.waiting.push(started);
    } catch (error) {
      this.#failures += 1;
      this.#retryAtMs = this.#now() + crashBackoffMs(this.#failures);
      this.#options.onWarning(`a runtime process could not be started: ${(error as Error).message}`);
    }
  }

  #count(passes: (instance: Instance) => boolean): number {
    let count = 0;
    for (const { waiting } of this.#classes.values()) for (const one of waiting) if (passes(one)) count += 1;
    return count;
  }

  #changed(): void {
    const callbacks = this.#onChange;
    this.#onChange = [];
    for (const callback of callbacks) callback();
  }
}
