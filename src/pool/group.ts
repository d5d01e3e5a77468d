/**
 * The instances of one group of one deployment, and what waits for them.
 *
 * A request goes to an instance with room, else it waits in line, and the group grows: at once when that is plainly
 * needed (`wantsInstanceNow`), else by the tick's decision. A group whose starts fail one after the other stops trying for
 * a while and says why.
 */
import { AloftError } from "../contract/errors.ts";
import type { Exchange } from "../contract/exchange.ts";
import type { FunctionSpec, GroupSpec, LiveDeployment } from "../contract/deployment.ts";
import type { GroupStatus } from "../contract/invoking.ts";
import { limits } from "../contract/limits.ts";
import type { SandboxProgram } from "../contract/sandbox.ts";
import type { Assign, AssignFunction, AssignImage, CallMessage, ReplyMessage } from "../wire/messages.ts";
import { createScalerState, decideScale, type ScalePolicy, type ScalerState, wantsInstanceNow } from "./autoscaler.ts";
import { crashBackoffMs } from "./crash-backoff.ts";
import type { EndReason } from "./end-error.ts";
import { idleMemoryCheckMs, type Instance, type InstanceOwner } from "./instance.ts";
import type { InstanceLog } from "./instance-logs.ts";
import { idleVictims, pickInstance } from "./instance-choice.ts";
import { meetingOf } from "./image-program.ts";
import { changeLoad, createLoadMeter, type LoadMeter, takeLoad } from "./load-meter.ts";

/** What a group needs of the pool it is in. */
export interface GroupHost {
  nowMs(): number;
  readonly waitForInstanceMs: number;
  readonly cores: number;
  spareCores(): number;
  /** Whether instances reach what they may and nothing else. */
  readonly keepsNetwork: boolean;
  /**
   * A process for the group, made its own; null when the memory budget has no room, "later" when the machine starts as many
   * as it can: `growFurther` is called then. Throws SANDBOX_START_FAILED.
   */
  newInstance(group: Group): Instance | "later" | null;
  /** A process that was started has said hello or has ended: another may be started. */
  startEnded(): void;
  /** Of a group whose program is an image: starts it beside an instance, which meets it there. */
  besideOf(group: Group, meeting: AssignImage): (instanceId: string) => SandboxProgram;
  /** The group has something to be looked after. */
  wake(group: Group): void;
  logged(group: Group, log: InstanceLog): void;
  called(group: Group, exchange: Exchange | null, call: CallMessage): Promise<ReplyMessage>;
}

/** Ends that say nothing of the code. */
const orderly: ReadonlySet<EndReason | null> = new Set<EndReason>(["idle", "retired", "evicted", "stopping"]);

interface ReadyWaiter {
  readonly resolve: () => void;
  readonly reject: (error: AloftError) => void;
}

function assignedFunction({ name, limits: { timeoutMs }, program }: FunctionSpec): AssignFunction {
  return program === undefined ? { name, timeoutMs } : { name, timeoutMs, handler: program.handler };
}

export class Group implements InstanceOwner {
  readonly live: LiveDeployment;
  readonly spec: GroupSpec;
  readonly instances: Instance[] = [];
  isRetired = false;
  readonly #host: GroupHost;
  readonly #policy: ScalePolicy;
  readonly #concurrency: number;
  #waiters: Exchange[] = [];
  readonly #readyWaiters: ReadyWaiter[] = [];
  readonly #meter: LoadMeter;
  #scaler: ScalerState | null = null;
  /** Instances that the last decision wanted. */
  #desired = 0;
  #running = 0;
  #failures = 0;
  #retryAtMs = 0;
  #lastError: AloftError | null = null;
  #hasWarned = false;
  /** Names that its instances asked for in vain. */
  readonly #refusedNames = new Set<string>();

  constructor(live: LiveDeployment, spec: GroupSpec, host: GroupHost) {
    this.live = live;
    this.spec = spec;
    this.#host = host;
    this.#concurrency = spec.limits.concurrency;
    const { concurrency, minInstances, maxInstances } = spec.limits;
    this.#policy = { concurrency, minInstances, maxInstances, cores: host.cores };
    this.#meter = createLoadMeter(host.nowMs());
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /** A process that imports the code is watched closely: its import may never end. */
  get hasStarting(): boolean {
    return this.instances.some((one) => one.state !== "ready");
  }

  /** Nothing runs, waits, starts or is to end: it has exactly the instances that it keeps. */
  get isAtRest(): boolean {
    return (
      !this.isRetired &&
      this.#running === 0 &&
      this.#waiters.length === 0 &&
      this.instances.length === this.#policy.minInstances &&
      this.instances.every((one) => one.accepting)
    );
  }

  get isEmpty(): boolean {
    return this.instances.length === 0 && this.#waiters.length === 0 && this.#readyWaiters.length === 0;
  }

  /** On the path of every request. */
  submit(exchange: Exchange, nowMs: number): void {
    changeLoad(this.#meter, 1, nowMs);
    const instance = pickInstance(this.instances, this.#concurrency);
    if (instance !== null) {
      if (this.#running === 0) this.#host.wake(this);
      this.#running += 1;
      instance.start(exchange, nowMs);
      return;
    }
    this.#enqueue(exchange, nowMs);
  }

  #enqueue(exchange: Exchange, nowMs: number): void {
    if (this.instances.length === 0 && nowMs < this.#retryAtMs) {
      this.#giveUp(exchange, nowMs, this.#crashLoopError(nowMs));
      return;
    }
    if (this.#waiters.length >= limits.waitersPerGroup) {
      const message = `${limits.waitersPerGroup} requests already wait for an instance of this function`;
      this.#giveUp(exchange, nowMs, new AloftError("NO_INSTANCE", message));
      return;
    }
    this.#waiters.push(exchange);
    this.#host.wake(this);
    this.#growIfNeeded();
  }

  /** One instance that has imported the code; what it throws is the import's error. */
  async prepare(): Promise<void> {
    if (this.instances.some((one) => one.state === "ready")) return;
    this.#failures = 0;
    this.#retryAtMs = 0;
    const ready = new Promise<void>((resolve, reject) => this.#readyWaiters.push({ resolve, reject }));
    if (!this.instances.some((one) => one.state !== "draining") && this.#grow() === "no") {
      this.#settleReady(
        this.#lastError ?? new AloftError("NO_INSTANCE", "the memory budget has no room for an instance"),
      );
    }
    await ready;
  }

  /** No new requests come; what waits is still served, then everything ends. */
  retire(): void {
    this.isRetired = true;
    this.#drainIfDone();
    this.#host.wake(this);
  }

  stop(error: AloftError): void {
    this.#giveUpAll(error);
    this.#settleReady(error);
    for (const instance of this.instances) instance.kill("stopping");
  }

  status(): GroupStatus {
    let memoryBytes = 0;
    for (const instance of this.instances) memoryBytes += instance.memoryBytes;
    return {
      app: this.live.app,
      alias: this.live.alias,
      deploymentId: this.live.deploymentId,
      group: this.spec.name,
      runtime: this.spec.program?.runtime ?? "node",
      instances: this.instances.length,
      ready: this.instances.filter((one) => one.accepting).length,
      inFlight: this.#running,
      waiting: this.#waiters.length,
      memoryBytes,
      lastError: this.#failures > 0 && this.#lastError !== null ? this.#lastError.message : "",
    };
  }

  // --- driven by the pool

  /** Deadlines and silence; every few tens of milliseconds while anything runs or waits. */
  sweep(nowMs: number, checkMemory: boolean): void {
    for (const instance of this.instances) {
      const { state } = instance;
      const isStarting = state === "assigned" || state === "starting";
      if (instance.inFlight > 0 || state === "draining") instance.sweep(nowMs);
      else if (!isStarting) continue;
      if (checkMemory) instance.measureMemory();
      if (isStarting && nowMs - (instance.assignedAtMs || instance.takenAtMs) > limits.startMs) instance.kill("start");
      if (instance.isBlocked && instance.state === "ready") this.#askBack(instance);
    }
    if (this.#waiters.length > 0) this.#sweepWaiters(nowMs);
  }

  /** Every 250 ms while it has instances: the autoscaler's decision, and the end of idle instances. */
  scale(nowMs: number): void {
    if (this.isRetired) {
      this.#drainIfDone();
      return;
    }
    const { instances } = this;
    let ready = 0;
    let loopUse = 0;
    for (const instance of instances) {
      if (instance.state !== "ready") continue;
      instance.kept = ready < this.#policy.minInstances;
      if (instance.inFlight === 0) instance.utilisation = 0;
      if (nowMs - instance.measuredAtMs >= idleMemoryCheckMs) instance.measureMemory();
      if (instance.accepting) ready += 1;
      loopUse += instance.utilisation;
    }
    this.#scaler ??= createScalerState(ready, nowMs);
    const sample = { load: takeLoad(this.#meter, nowMs), loopUse, ready, spareCores: this.#host.spareCores() };
    const { desired } = decideScale(this.#scaler, sample, this.#policy, nowMs);
    const coming = instances.reduce(
      (count, one) => (one.state === "draining" && one.readyAtMs > 0 ? count : count + 1),
      0,
    );
    // A blocked one does no work: its place is taken by another, as far as the group may grow at all.
    const blocked = instances.reduce((count, one) => (one.state === "ready" && one.isBlocked ? count + 1 : count), 0);
    const most = Math.min(desired + blocked, this.#policy.maxInstances);
    this.#desired = most;
    for (let count = coming; count < most && nowMs >= this.#retryAtMs; count += 1) if (this.#grow() !== "grown") break;
    for (const victim of idleVictims(instances, desired, nowMs, this.spec.limits)) victim.drain(nowMs);
    if (instances.length === 0) this.#scaler = null;
    else this.#dispatchWaiters();
  }

  /** What a blocked instance has not begun may run where there is room for it. */
  #askBack(blocked: Instance): void {
    let room = -this.#waiters.length;
    for (const one of this.instances) if (one.accepting) room += this.#concurrency - one.inFlight;
    if (room > 0) blocked.askBack(room);
  }

  #sweepWaiters(nowMs: number): void {
    const kept: Exchange[] = [];
    for (const exchange of this.#waiters) {
      if (exchange.isSettled) {
        changeLoad(this.#meter, -1, nowMs);
      } else if (nowMs >= exchange.deadlineAtMs) {
        const message = "no instance was free before the function's timeout had passed";
        this.#giveUp(exchange, nowMs, new AloftError("FUNCTION_TIMEOUT", message));
      } else if (nowMs - exchange.arrivedAtMs >= this.#host.waitForInstanceMs) {
        this.#giveUp(exchange, nowMs, this.#noInstanceError());
      } else {
        kept.push(exchange);
      }
    }
    this.#waiters = kept;
    // A start that failed may be tried again by now.
    if (kept.length > 0 && nowMs >= this.#retryAtMs) this.#growIfNeeded();
  }

  #drainIfDone(): void {
    if (!this.isRetired || this.#waiters.length > 0) return;
    const nowMs = this.#host.nowMs();
    for (const instance of [...this.instances]) if (instance.state !== "draining") instance.drain(nowMs);
  }

  // --- growing

  #growIfNeeded(): void {
    let starting = 0;
    let ready = 0;
    let blocked = 0;
    for (const one of this.instances) {
      // One whose start has failed counts until its end is seen: then it is decided what comes of those that wait.
      if (one.readyAtMs === 0) starting += 1;
      else if (one.accepting) ready += 1;
      else if (one.state === "ready") blocked += 1;
    }
    if (ready + starting + blocked >= this.#policy.maxInstances) return;
    if (wantsInstanceNow(this.#running, this.#waiters.length, ready, starting, this.#policy)) this.#grow();
  }

  /** Its turn in the line of starts has come. */
  growFurther(): void {
    if (this.#host.nowMs() < this.#retryAtMs) return;
    const coming = this.instances.reduce((count, one) => (one.state === "draining" ? count : count + 1), 0);
    const isPrepared = this.#readyWaiters.length > 0 && coming === 0;
    if (isPrepared || (!this.isRetired && coming < this.#desired)) this.#grow();
    else if (this.#waiters.length > 0) this.#growIfNeeded();
  }

  #grow(): "grown" | "later" | "no" {
    try {
      const instance = this.#host.newInstance(this);
      if (instance === null) return "no";
      this.#host.wake(this);
      if (instance === "later") return "later";
      this.instances.push(instance);
      if (instance.state === "zygote") this.#assign(instance);
      return "grown";
    } catch (error) {
      if (!(error instanceof AloftError)) throw error;
      this.#startFailed(error);
      return "no";
    }
  }

  #assign(instance: Instance): void {
    const { app, alias, deploymentId, root, manifest, variables } = this.live;
    const { program } = this.spec;
    const image = manifest.image === undefined ? undefined : meetingOf(program, manifest.image);
    const assign: Assign = {
      mode: "serve",
      app,
      alias,
      deployment: deploymentId,
      root,
      entry: manifest.entry,
      functions: manifest.functions.map(assignedFunction),
      ...(program === undefined
        ? {}
        : { program: { ...program, concurrency: this.#concurrency, ...(image && { image }) } }),
      lambda: manifest.functions.find((one) => one.group === this.spec.name && one.style === "lambda")?.name ?? null,
      variables,
      memoryMiB: this.spec.limits.memoryMiB,
    };
    if (manifest.network !== "internet" && !this.#host.keepsNetwork && !this.#hasWarned) this.#warnOfNetwork();
    const startBeside = image === undefined ? null : this.#host.besideOf(this, image);
    instance.assign(assign, manifest.network, startBeside, (name) => this.#warnOfName(name));
  }

  /** A program hears that there is no such name; here is said why, once for each name. */
  #warnOfName(name: string): void {
    if (this.#refusedNames.has(name) || this.#refusedNames.size >= limits.refusedNamesTold) return;
    this.#refusedNames.add(name);
    const { network } = this.live.manifest;
    const why = network === "none" ? '"none"' : "a list of hosts, and this is none of them";
    const message = `the name ${JSON.stringify(name)} was refused: "network" in aloft.json is ${why} (docs/sandbox.md)`;
    this.#host.logged(this, { exchange: null, atMs: Date.now(), level: "warn", stream: "platform", message });
  }

  #warnOfNetwork(): void {
    this.#hasWarned = true;
    const message =
      "aloft.json network is not kept to: the process sandbox cannot take the network away (docs/sandbox.md)";
    this.#host.logged(this, { exchange: null, atMs: Date.now(), level: "warn", stream: "platform", message });
  }

  // --- what instances say

  instanceHello(instance: Instance): void {
    this.#assign(instance);
    this.#host.startEnded();
  }

  instanceReady(instance: Instance): void {
    for (const exchange of this.#waiters) {
      // The part of its wait that was this instance's start: from the later of its arrival and the process's taking.
      exchange.coldUs = Math.round((instance.readyAtMs - Math.max(exchange.arrivedAtMs, instance.takenAtMs)) * 1000);
    }
    this.#settleReady(null);
    this.#dispatchWaiters();
  }

  instanceFreed(instance: Instance, exchange: Exchange, isGivenBack: boolean): void {
    const nowMs = this.#host.nowMs();
    if (exchange.answer === "complete") this.#failures = 0;
    this.#running -= 1;
    if (isGivenBack) {
      exchange.stream = 0;
      this.#waiters.unshift(exchange);
      this.#dispatchWaiters();
      if (this.#waiters.length > 0) this.#growIfNeeded();
      return;
    }
    changeLoad(this.#meter, -1, nowMs);
    if (this.#waiters.length > 0) this.#dispatchWaiters();
    else if (this.isRetired && instance.inFlight === 0) this.#drainIfDone();
  }

  instanceLogged(_instance: Instance, log: InstanceLog): void {
    this.#host.logged(this, log);
  }

  async instanceCalled(_instance: Instance, exchange: Exchange | null, call: CallMessage): Promise<ReplyMessage> {
    return await this.#host.called(this, exchange, call);
  }

  instanceGone(instance: Instance, error: AloftError, unbegun: readonly Exchange[]): void {
    const nowMs = this.#host.nowMs();
    const at = this.instances.indexOf(instance);
    if (at >= 0) this.instances.splice(at, 1);
    const lost = instance.lostInFlight;
    this.#running -= lost;
    changeLoad(this.#meter, -(lost - unbegun.length), nowMs);
    for (const exchange of unbegun) exchange.stream = 0;
    this.#waiters.unshift(...unbegun);
    const isOrderly = orderly.has(instance.endReason);
    if (!isOrderly) this.#crashed(instance, error, nowMs);
    else if (this.instances.length === 0) this.#settleReady(error);
    if (this.#waiters.length > 0) {
      this.#dispatchWaiters();
      if (nowMs >= this.#retryAtMs) this.#growIfNeeded();
      else if (this.instances.every((one) => one.state === "draining")) this.#giveUpAll(this.#crashLoopError(nowMs));
    }
    this.#host.wake(this);
    this.#host.startEnded();
  }

  #crashed(instance: Instance, error: AloftError, nowMs: number): void {
    this.#host.logged(this, {
      exchange: null,
      atMs: Date.now(),
      level: "error",
      stream: "platform",
      message: error.message,
    });
    // One handler that does not heed its abort says nothing about the others.
    if (instance.endReason === "stuck") return;
    if (instance.readyAtMs === 0) {
      this.#startFailed(error);
      return;
    }
    // An instance that served well for a while is no crash loop.
    if (nowMs - instance.readyAtMs > limits.crashBackoffMaxMs) this.#failures = 0;
    this.#noteFailure(error, nowMs);
  }

  #noteFailure(error: AloftError, nowMs: number): void {
    this.#failures += 1;
    this.#lastError = error;
    this.#retryAtMs = nowMs + crashBackoffMs(this.#failures);
  }

  /** The code could not be imported: it is what waits would have been answered with. */
  #startFailed(error: AloftError): void {
    const nowMs = this.#host.nowMs();
    this.#noteFailure(error, nowMs);
    if (this.instances.some((one) => one.state !== "draining")) return;
    this.#settleReady(error);
    this.#giveUpAll(error);
  }

  // --- the line

  #dispatchWaiters(): void {
    const nowMs = this.#host.nowMs();
    while (this.#waiters.length > 0) {
      const instance = pickInstance(this.instances, this.#concurrency);
      if (instance === null) return;
      const exchange = this.#waiters.shift() as Exchange;
      if (exchange.isSettled) {
        changeLoad(this.#meter, -1, nowMs);
        continue;
      }
      this.#running += 1;
      instance.start(exchange, nowMs);
    }
    this.#drainIfDone();
  }

  #giveUpAll(error: AloftError): void {
    const nowMs = this.#host.nowMs();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const exchange of waiters) this.#giveUp(exchange, nowMs, error);
  }

  #giveUp(exchange: Exchange, nowMs: number, error: AloftError): void {
    changeLoad(this.#meter, -1, nowMs);
    if (exchange.isSettled) return;
    exchange.isSettled = true;
    exchange.failed(error);
  }

  #settleReady(error: AloftError | null): void {
    for (const { resolve, reject } of this.#readyWaiters.splice(0)) {
      if (error === null) resolve();
      else reject(error);
    }
  }

  #noInstanceError(): AloftError {
    const { maxInstances, concurrency } = this.#policy;
    const isFull = this.instances.length >= maxInstances;
    return new AloftError(
      "NO_INSTANCE",
      `no instance became free within ${this.#host.waitForInstanceMs / 1000} s` +
        (isFull ? `: all ${maxInstances} are busy with ${concurrency} requests each` : ""),
      {
        hint: isFull
          ? "raise maxInstances or concurrency of the function"
          : "the node is short of memory or still starting",
      },
    );
  }

  #crashLoopError(nowMs: number): AloftError {
    const seconds = Math.ceil((this.#retryAtMs - nowMs) / 1000);
    const last = this.#lastError;
    return new AloftError(
      "FUNCTION_CRASH_LOOP",
      `the function failed ${this.#failures} times in a row; the next try is in ${seconds} s. The last error: ${last?.message ?? ""}`,
      { detail: { retryAfterSeconds: seconds, ...last?.detail } },
    );
  }
}
