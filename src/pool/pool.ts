/**
 * All instances of the node: by revision and group, within one memory budget, looked after by one timer that only runs
 * while there is something to look after.
 */
import { availableParallelism } from "node:os";
import type { DescribedFunction, LiveDeployment } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import type { Exchange } from "../contract/exchange.ts";
import type { RunningStatus } from "../contract/invoking.ts";
import { limits } from "../contract/limits.ts";
import type { DescribeRequest } from "../contract/running.ts";
import type { Sandbox } from "../contract/sandbox.ts";
import type { Clock } from "../lib/clock.ts";
import type { CallMessage, ReplyMessage } from "../wire/messages.ts";
import { Describing } from "./describing.ts";
import { Group, type GroupHost } from "./group.ts";
import { type GuestProgram, needsOwnStart } from "./guest-program.ts";
import { type Instance, type InstanceLog, memoryCheckMs } from "./instance.ts";
import { chooseEvictions } from "./instance-choice.ts";
import { Zygotes } from "./zygotes.ts";

export interface PoolOptions {
  readonly sandbox: Sandbox;
  readonly program: GuestProgram;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly zygotes: number;
  readonly waitForInstanceMs: number;
  readonly memoryBudgetBytes: number;
  readonly onLog: (live: LiveDeployment, log: InstanceLog) => void;
  readonly onCall: (live: LiveDeployment, exchange: Exchange | null, call: CallMessage) => Promise<ReplyMessage>;
  readonly onWarning: (message: string) => void;
}

const sweepMs = 25;
const scaleMs = 250;
/** What an instance is taken to need before it has been measured. */
const newInstanceBytes = 32 * 1024 * 1024;

export class Pool implements GroupHost {
  readonly cores = availableParallelism();
  readonly #options: PoolOptions;
  readonly #zygotes: Zygotes;
  /** By revision, then by group name. */
  readonly #revisions = new Map<string, Map<string, Group>>();
  readonly #active = new Set<Group>();
  #timer: NodeJS.Timeout | null = null;
  #scaledAtMs = 0;
  #memoryCheckedAtMs = 0;
  #cpu = process.cpuUsage();
  #cpuAtMs = 0;
  #isStopping = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#zygotes = new Zygotes({
      sandbox: options.sandbox,
      program: options.program,
      clock: options.clock,
      newId: options.newId,
      ready: options.zygotes,
      onWarning: options.onWarning,
    });
    this.#zygotes.open();
  }

  /** The zygotes that are to wait ready do. */
  async warmed(): Promise<void> {
    await this.#zygotes.filled();
  }

  group(live: LiveDeployment, name: string): Group {
    let groups = this.#revisions.get(live.revision);
    if (groups === undefined) {
      groups = new Map();
      this.#revisions.set(live.revision, groups);
    }
    let group = groups.get(name);
    if (group === undefined) {
      const spec = live.manifest.groups.find((one) => one.name === name);
      if (spec === undefined) throw new Error(`deployment ${live.deploymentId} has no group ${name}`);
      group = new Group(live, spec, this);
      groups.set(name, group);
    }
    return group;
  }

  async describe(request: DescribeRequest): Promise<readonly DescribedFunction[]> {
    const describing = new Describing(request);
    return await describing.run(this.#zygotes.take(limits.describeMemoryMiB, describing));
  }

  /** Imports the code in an instance of its first group, which stays. */
  async prepare(live: LiveDeployment): Promise<void> {
    const first = live.manifest.groups[0];
    if (first !== undefined) await this.group(live, first.name).prepare();
  }

  /** Starts what the groups of a deployment that went live keep at the least. */
  keepMinimum(live: LiveDeployment): void {
    for (const spec of live.manifest.groups) if (spec.limits.minInstances > 0) this.wake(this.group(live, spec.name));
  }

  /** Ends what serves (app, alias) in another revision than this one; null: in any. */
  retireAllBut(app: string, alias: string, revision: string | null): void {
    for (const [key, groups] of this.#revisions) {
      if (key === revision) continue;
      for (const group of groups.values()) if (group.live.app === app && group.live.alias === alias) group.retire();
    }
  }

  retire(live: LiveDeployment): void {
    for (const group of this.#revisions.get(live.revision)?.values() ?? []) group.retire();
  }

  /** Revisions that have an instance, whose files it may still read. */
  runningRevisions(): ReadonlySet<string> {
    const revisions = new Set<string>();
    for (const [revision, groups] of this.#revisions) {
      for (const group of groups.values()) if (!group.isEmpty) revisions.add(revision);
    }
    return revisions;
  }

  status(): RunningStatus {
    const groups = [...this.#active].map((group) => group.status());
    const memoryBytes = groups.reduce((sum, one) => sum + one.memoryBytes, this.#zygotes.memoryBytes);
    return {
      groups,
      zygotes: this.#zygotes.readyCount,
      memoryBytes,
      memoryBudgetBytes: this.#options.memoryBudgetBytes,
    };
  }

  /** Lets what runs finish within the time given, then ends everything. */
  async close(drainMs: number): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    const untilMs = this.nowMs() + drainMs;
    while (this.nowMs() < untilMs && [...this.#active].some((one) => one.running > 0 || one.waiting > 0)) {
      await new Promise((resolve) => setTimeout(resolve, sweepMs));
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#zygotes.close();
    const error = new AloftError("SHUTTING_DOWN", "the server is stopping");
    for (const group of this.#active) group.stop(error);
    await this.#options.sandbox.close();
  }

  // --- for groups

  nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  get waitForInstanceMs(): number {
    return this.#options.waitForInstanceMs;
  }

  /** 0 while the server's own thread is full: then it is the door that makes requests pile up. */
  spareCores(): number {
    return this.#ownUse > 0.9 ? 0 : Number.POSITIVE_INFINITY;
  }
  #ownUse = 0;

  newInstance(group: Group): Instance | null {
    if (this.#isStopping) throw new AloftError("SHUTTING_DOWN", "the server is stopping");
    if (!this.#makeRoom()) return null;
    const { memoryMiB } = group.spec.limits;
    const { variables } = group.live;
    const takenAtMs = this.nowMs();
    const instance = needsOwnStart(variables)
      ? this.#zygotes.spawn(memoryMiB, group, variables)
      : this.#zygotes.take(memoryMiB, group);
    instance.takenAtMs = takenAtMs;
    return instance;
  }

  wake(group: Group): void {
    this.#active.add(group);
    if (this.#timer === null && !this.#isStopping) this.#schedule(sweepMs);
    else if (this.#isSlow) this.#hurry();
  }
  #isSlow = false;

  logged(group: Group, log: InstanceLog): void {
    this.#options.onLog(group.live, log);
  }

  async called(group: Group, exchange: Exchange | null, call: CallMessage): Promise<ReplyMessage> {
    return await this.#options.onCall(group.live, exchange, call);
  }

  /** false when the budget has no room even without every idle instance. */
  #makeRoom(): boolean {
    const instances: Instance[] = [];
    for (const group of this.#active) instances.push(...group.instances);
    const budgetBytes = this.#options.memoryBudgetBytes - this.#zygotes.memoryBytes;
    const victims = chooseEvictions(instances, newInstanceBytes, budgetBytes);
    if (victims === null) return false;
    for (const victim of victims) victim.kill("evicted");
    return true;
  }

  // --- the timer

  #schedule(delayMs: number): void {
    this.#isSlow = delayMs > sweepMs;
    this.#timer = setTimeout(this.#tick, delayMs);
    this.#timer.unref();
  }

  #hurry(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#schedule(sweepMs);
  }

  readonly #tick = (): void => {
    this.#timer = null;
    const nowMs = this.nowMs();
    const isScaling = nowMs - this.#scaledAtMs >= scaleMs - 1;
    const isCheckingMemory = nowMs - this.#memoryCheckedAtMs >= memoryCheckMs;
    if (isCheckingMemory) this.#memoryCheckedAtMs = nowMs;
    if (isScaling) this.#measureOwnUse(nowMs);
    let isBusy = false;
    for (const group of this.#active) {
      group.sweep(nowMs, isCheckingMemory);
      if (isScaling) group.scale(nowMs);
      if (group.isEmpty && (group.isRetired || group.spec.limits.minInstances === 0)) this.#forget(group);
      else if (group.running > 0 || group.waiting > 0 || group.hasStarting) isBusy = true;
    }
    if (this.#active.size > 0 && !this.#isStopping) this.#schedule(isBusy ? sweepMs : scaleMs);
    else if (this.#isStopping && isBusy) this.#schedule(sweepMs);
  };

  #forget(group: Group): void {
    this.#active.delete(group);
    if (!group.isRetired) return;
    const groups = this.#revisions.get(group.live.revision);
    if (groups?.get(group.spec.name) !== group) return;
    groups.delete(group.spec.name);
    if (groups.size === 0) this.#revisions.delete(group.live.revision);
  }

  #measureOwnUse(nowMs: number): void {
    const used = process.cpuUsage(this.#cpu);
    const spanMs = nowMs - this.#cpuAtMs;
    if (spanMs > 0) this.#ownUse = (used.user + used.system) / 1000 / spanMs;
    this.#cpu = process.cpuUsage();
    this.#cpuAtMs = nowMs;
    this.#scaledAtMs = nowMs;
  }
}
