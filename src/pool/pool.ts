/**
 * All instances of the node: by revision and group, within one memory budget, looked after by one timer that only runs
 * while there is something to look after.
 */
import { availableParallelism } from "node:os";
import type { DescribedFunction, LiveDeployment, Runtime } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import type { Exchange } from "../contract/exchange.ts";
import type { RunningStatus } from "../contract/invoking.ts";
import { limits } from "../contract/limits.ts";
import type { DescribeRequest } from "../contract/running.ts";
import type { Sandbox, SandboxProgram } from "../contract/sandbox.ts";
import type { Clock } from "../lib/clock.ts";
import type { AssignImage, CallMessage, ReplyMessage } from "../wire/messages.ts";
import { Describing } from "./describing.ts";
import { Group, type GroupHost } from "./group.ts";
import { type GuestKind, guestKindOf, guestKinds, type GuestProgram, needsOwnStart } from "./guest-program.ts";
import { idleMemoryCheckMs, type Instance, memoryCheckMs } from "./instance.ts";
import { imageProgramSpec, imagesUnavailable } from "./image-program.ts";
import { chooseEvictions } from "./instance-choice.ts";
import type { InstanceLog } from "./instance-logs.ts";
import { MachineLoad } from "./machine-load.ts";
import { standardClassMiB } from "./zygote-target.ts";
import { Zygotes } from "./zygotes.ts";

export interface PoolOptions {
  readonly sandbox: Sandbox;
  readonly program: GuestProgram;
  readonly clock: Clock;
  readonly newId: () => string;
  /** How many zygotes of the standard memory class wait ready at the least, and how many of all classes at the most. */
  readonly zygotes: number;
  readonly zygotesMax: number;
  readonly waitForInstanceMs: number;
  readonly memoryBudgetBytes: number;
  readonly onLog: (live: LiveDeployment, log: InstanceLog) => void;
  readonly onCall: (live: LiveDeployment, exchange: Exchange | null, call: CallMessage) => Promise<ReplyMessage>;
  readonly onWarning: (message: string) => void;
  /** Where there is processor time for more instances; the machine's own figures unless told. */
  readonly load?: Pick<MachineLoad, "spareCores" | "forget">;
}

/**
 * Processes started at once for those who wait, per core. A start is processor time alone: more at once only make each of
 * them later, until none is in time.
 */
const startsPerCore = 2;
const sweepMs = 25;
const scaleMs = 250;
/** What an instance is taken to need before it has been measured. */
const newInstanceBytes = 32 * 1024 * 1024;

export class Pool implements GroupHost {
  readonly cores = availableParallelism();
  readonly #options: PoolOptions;
  readonly #zygotes: ReadonlyMap<GuestKind, Zygotes>;
  /** Guests other than Node's that were asked for since the start: one of each waits from then on. */
  readonly #asked = new Set<GuestKind>();
  /** By revision, then by group name. */
  readonly #revisions = new Map<string, Map<string, Group>>();
  readonly #active = new Set<Group>();
  /** What each app's alias is served by: its revision, null for none. */
  readonly #serving = new Map<string, string | null>();
  readonly #describing = new Map<Describing, Instance>();
  /** Groups that want a process when the machine has started those before theirs. */
  readonly #startLine = new Set<Group>();
  readonly #load: Pick<MachineLoad, "spareCores" | "forget">;
  #spareCores = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  #timerMs = 0;
  #scaledAtMs = Number.NEGATIVE_INFINITY;
  #memoryCheckedAtMs = Number.NEGATIVE_INFINITY;
  #isStopping = false;
  #isClosed = false;
  #closing: Promise<void> | null = null;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#load = options.load ?? new MachineLoad();
    this.#zygotes = new Map(guestKinds.map((kind) => [kind, this.#openZygotes(kind)]));
    this.#zygotesOf("node").open();
  }

  #openZygotes(kind: GuestKind): Zygotes {
    const { sandbox, program, clock, newId, zygotes, zygotesMax, onWarning } = this.#options;
    return new Zygotes({
      sandbox,
      program,
      kind,
      clock,
      newId,
      least: () => (kind === "node" ? zygotes : this.#asked.has(kind) ? Math.min(zygotes, 1) : 0),
      most: zygotesMax,
      cores: this.cores,
      budgetBytes: () => this.#zygoteBudgetBytes(kind),
      onWarning,
    });
  }

  #zygotesOf(kind: GuestKind): Zygotes {
    const zygotes = this.#zygotes.get(kind);
    if (zygotes === undefined) throw new Error(`there is no guest ${kind}`);
    return zygotes;
  }

  get #zygoteBytes(): number {
    let bytes = 0;
    for (const zygotes of this.#zygotes.values()) bytes += zygotes.memoryBytes;
    return bytes;
  }

  /** The zygotes that are to wait ready do. */
  async warmed(): Promise<void> {
    await this.#zygotesOf("node").filled();
  }

  /** Whether a timer is set; on an idle node none is. */
  get isTimed(): boolean {
    return this.#timer !== null || [...this.#zygotes.values()].some((one) => one.isTimed);
  }

  group(live: LiveDeployment, name: string): Group {
    const found = this.#revisions.get(live.revision)?.get(name);
    if (found !== undefined && !found.isRetired) return found;
    const serving = this.#serving.get(aliasKey(live.app, live.alias));
    const isStale = serving !== undefined && serving !== live.revision;
    if (found !== undefined && isStale) return found;
    const group = this.#addGroup(live, name);
    // A request that was routed just before another revision went live.
    if (isStale) group.retire();
    return group;
  }

  #addGroup(live: LiveDeployment, name: string): Group {
    const spec = live.manifest.groups.find((one) => one.name === name);
    if (spec === undefined) throw new Error(`deployment ${live.deploymentId} has no group ${name}`);
    const group = new Group(live, spec, this);
    let groups = this.#revisions.get(live.revision);
    if (groups === undefined) {
      groups = new Map();
      this.#revisions.set(live.revision, groups);
    }
    groups.set(name, group);
    return group;
  }

  /** Throws SANDBOX_UNAVAILABLE where functions of this runtime cannot run at all. */
  assertRunnable(runtime: Runtime): void {
    const { sandbox } = this.#options;
    if (runtime === "image" && sandbox.startImage === undefined) throw imagesUnavailable(sandbox.kind);
  }

  /** Throws DESCRIBE_FAILED, RUNTIME_UNAVAILABLE, SANDBOX_START_FAILED and SHUTTING_DOWN. */
  async describe(request: DescribeRequest): Promise<readonly DescribedFunction[]> {
    if (this.#isStopping) throw new AloftError("SHUTTING_DOWN", "the server is stopping");
    const describing = new Describing(request);
    const kind = guestKindOf(request.programs?.[0]?.program);
    const instance = this.#ask(kind).take(limits.describeMemoryMiB, describing);
    this.#describing.set(describing, instance);
    this.#hurry();
    try {
      return await describing.run(instance, this.nowMs());
    } finally {
      this.#describing.delete(describing);
    }
  }

  /** Imports the code in an instance of the first group of each runtime, which stays. */
  async prepare(live: LiveDeployment): Promise<void> {
    const prepared = new Set<string>();
    for (const { name, program } of live.manifest.groups) {
      const runtime = program?.runtime ?? "node";
      if (prepared.has(runtime)) continue;
      prepared.add(runtime);
      const found = this.#revisions.get(live.revision)?.get(name);
      await (found === undefined || found.isRetired ? this.#addGroup(live, name) : found).prepare();
    }
  }

  /** Starts what the groups of a deployment that is live keep at the least. */
  keepMinimum(live: LiveDeployment): void {
    for (const spec of live.manifest.groups) if (spec.limits.minInstances > 0) this.wake(this.group(live, spec.name));
  }

  /** From now on (app, alias) is served by this revision, or by none: what serves it in another one ends. */
  retireAllBut(app: string, alias: string, revision: string | null): void {
    this.#serving.set(aliasKey(app, alias), revision);
    for (const [key, groups] of this.#revisions) {
      if (key === revision) continue;
      for (const group of groups.values()) if (group.live.app === app && group.live.alias === alias) group.retire();
    }
  }

  retire(live: LiveDeployment): void {
    for (const group of this.#revisions.get(live.revision)?.values() ?? []) group.retire();
  }

  /** Revisions whose files an instance may still read. */
  runningRevisions(): ReadonlySet<string> {
    const revisions = new Set<string>();
    for (const group of this.#active) if (!group.isEmpty) revisions.add(group.live.revision);
    return revisions;
  }

  status(): RunningStatus {
    const groups = [...this.#active].map((group) => group.status());
    const memoryBytes = groups.reduce((sum, one) => sum + one.memoryBytes, this.#zygoteBytes);
    let zygotes = 0;
    for (const each of this.#zygotes.values()) zygotes += each.readyCount;
    return {
      groups,
      zygotes,
      memoryBytes,
      memoryBudgetBytes: this.#options.memoryBudgetBytes,
    };
  }

  /** Lets what runs finish within the time given, then ends everything. Resolves when nothing is left. */
  async close(drainMs: number): Promise<void> {
    this.#closing ??= this.#close(drainMs);
    await this.#closing;
  }

  async #close(drainMs: number): Promise<void> {
    this.#isStopping = true;
    const untilMs = this.nowMs() + drainMs;
    while (this.nowMs() < untilMs && [...this.#active].some((one) => one.running > 0 || one.waiting > 0)) {
      await new Promise((resolve) => setTimeout(resolve, sweepMs));
    }
    for (const zygotes of this.#zygotes.values()) zygotes.close();
    await this.#stopGraceful();
    const left = [...this.#active].flatMap((group) => [...group.instances]);
    const error = new AloftError("SHUTTING_DOWN", "the server is stopping");
    for (const group of this.#active) group.stop(error);
    for (const instance of this.#describing.values()) {
      instance.kill("stopping");
      left.push(instance);
    }
    await this.#options.sandbox.close();
    await Promise.all(left.map((instance) => instance.ended));
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Programs hear that they end, and have a while for it. */
  async #stopGraceful(): Promise<void> {
    const untilMs = this.nowMs() + limits.stopGraceMs;
    const ending: Instance[] = [];
    for (const group of this.#active) {
      for (const instance of group.instances) {
        if (!instance.isGraceful || instance.state !== "ready" || instance.inFlight > 0) continue;
        instance.drain(this.nowMs());
        ending.push(instance);
      }
    }
    while (this.nowMs() < untilMs && ending.some(({ state }) => state !== "gone")) {
      await new Promise((resolve) => setTimeout(resolve, sweepMs));
    }
  }

  // --- for groups

  nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  get waitForInstanceMs(): number {
    return this.#options.waitForInstanceMs;
  }

  get keepsNetwork(): boolean {
    return this.#options.sandbox.keepsNetwork;
  }

  spareCores(): number {
    return this.#spareCores;
  }

  newInstance(group: Group): Instance | "later" | null {
    if (this.#isStopping) throw new AloftError("SHUTTING_DOWN", "the server is stopping");
    if (!this.#mayStart(group)) {
      this.#startLine.add(group);
      return "later";
    }
    if (!this.#makeRoom()) return null;
    const { variables } = group.live;
    const memoryMiB = memoryClassOf(group);
    const takenAtMs = this.nowMs();
    const kind = guestKindOf(group.spec.program);
    const zygotes = this.#ask(kind);
    const instance = needsOwnStart(kind, variables)
      ? zygotes.spawn(memoryMiB, group, variables)
      : zygotes.take(memoryMiB, group);
    instance.takenAtMs = takenAtMs;
    return instance;
  }

  startEnded(): void {
    // Once for each that is in line now: one that wants another goes to the end.
    for (const group of [...this.#startLine]) {
      if (!this.#mayStart(group)) return;
      this.#startLine.delete(group);
      group.growFurther();
    }
  }

  /** Whether a process waits, or one may be started. A start with variables of the user's own is not counted: it may hang. */
  #mayStart(group: Group): boolean {
    const kind = guestKindOf(group.spec.program);
    if (needsOwnStart(kind, group.live.variables) || this.#zygotesOf(kind).hasWaiting(memoryClassOf(group)))
      return true;
    let starting = 0;
    for (const zygotes of this.#zygotes.values()) starting += zygotes.startingCount;
    return starting < startsPerCore * this.cores;
  }

  besideOf({ live, spec }: Group, meeting: AssignImage): (instanceId: string) => SandboxProgram {
    const { sandbox } = this.#options;
    return (instanceId) => {
      if (sandbox.startImage === undefined) throw imagesUnavailable(sandbox.kind);
      return sandbox.startImage(imageProgramSpec(live, spec, meeting, instanceId));
    };
  }

  #ask(kind: GuestKind): Zygotes {
    this.#asked.add(kind);
    return this.#zygotesOf(kind);
  }

  wake(group: Group): void {
    this.#active.add(group);
    if (this.#timer === null || this.#timerMs > sweepMs) this.#hurry();
  }

  logged(group: Group, log: InstanceLog): void {
    this.#options.onLog(group.live, log);
  }

  async called(group: Group, exchange: Exchange | null, call: CallMessage): Promise<ReplyMessage> {
    return await this.#options.onCall(group.live, exchange, call);
  }

  // --- memory

  /** false when the budget has no room even without every idle instance. */
  #makeRoom(): boolean {
    if (this.#evictFor(newInstanceBytes)) return true;
    // What waits ready gives way to what is asked for, in time for the next try.
    for (const zygotes of this.#zygotes.values()) zygotes.tick();
    return this.#evictFor(newInstanceBytes);
  }

  /** Ends the least recently used idle instances until so many bytes more fit; none when that would not do. */
  #evictFor(bytes: number): boolean {
    const instances = this.#livingInstances();
    let needBytes = bytes;
    for (const one of instances) {
      // Not measured since its code was imported: it takes more than is known.
      const isKnown = one.readyAtMs > 0 && one.measuredAtMs > one.readyAtMs;
      if (!isKnown) needBytes += Math.max(0, newInstanceBytes - one.memoryBytes);
    }
    const victims = chooseEvictions(instances, needBytes, this.#options.memoryBudgetBytes - this.#zygoteBytes);
    for (const victim of victims ?? []) victim.kill("evicted");
    return victims !== null;
  }

  /** What the instances that work or are kept leave, one more of them excepted: idle ones give way to zygotes. */
  #zygoteBudgetBytes(kind: GuestKind): number {
    let bytes = this.#options.memoryBudgetBytes - newInstanceBytes;
    for (const [other, zygotes] of this.#zygotes) if (other !== kind) bytes -= zygotes.memoryBytes;
    for (const one of this.#livingInstances()) {
      if (one.inFlight > 0 || one.kept || one.readyAtMs === 0) bytes -= one.memoryBytes;
    }
    return Math.max(0, bytes);
  }

  #livingInstances(): Instance[] {
    const living: Instance[] = [];
    for (const group of this.#active) for (const one of group.instances) if (one.endReason === null) living.push(one);
    return living;
  }

  // --- the timer

  #hurry(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    // After a pause nothing is known of the machine's load.
    else this.#load.forget();
    this.#schedule(sweepMs);
  }

  #schedule(delayMs: number): void {
    if (this.#isClosed) return;
    this.#timerMs = delayMs;
    this.#timer = setTimeout(this.tick, delayMs);
    this.#timer.unref();
  }

  /** Deadlines, silence and memory at every call; scaling at most every 250 ms. Sets the timer for the next one. */
  readonly tick = (): void => {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const nowMs = this.nowMs();
    const isScaling = nowMs - this.#scaledAtMs >= scaleMs - 1;
    const isCheckingMemory = nowMs - this.#memoryCheckedAtMs >= memoryCheckMs;
    if (isCheckingMemory) this.#memoryCheckedAtMs = nowMs;
    if (isScaling) {
      this.#scaledAtMs = nowMs;
      this.#spareCores = this.#load.spareCores();
    }
    let delayMs = Number.POSITIVE_INFINITY;
    for (const describing of this.#describing.keys()) {
      describing.sweep(nowMs, isCheckingMemory);
      delayMs = sweepMs;
    }
    for (const group of this.#active) {
      group.sweep(nowMs, isCheckingMemory);
      if (isScaling && !this.#isStopping) group.scale(nowMs);
      if (group.isEmpty && (group.isRetired || group.spec.limits.minInstances === 0)) this.#forget(group);
      else delayMs = Math.min(delayMs, delayOf(group));
    }
    this.startEnded();
    // Instances grow while they run: what idles gives way.
    if (isScaling) this.#evictFor(0);
    if (delayMs < Number.POSITIVE_INFINITY) this.#schedule(delayMs);
  };

  #forget(group: Group): void {
    this.#active.delete(group);
    this.#startLine.delete(group);
    if (!group.isRetired) return;
    const groups = this.#revisions.get(group.live.revision);
    if (groups?.get(group.spec.name) !== group) return;
    groups.delete(group.spec.name);
    if (groups.size === 0) this.#revisions.delete(group.live.revision);
  }
}

/** An image has its memory to itself: its companion is as any other. */
function memoryClassOf({ live, spec }: Group): number {
  return live.manifest.image === undefined ? spec.limits.memoryMiB : standardClassMiB;
}

/** When a group is to be looked after again. */
function delayOf(group: Group): number {
  if (group.running > 0 || group.waiting > 0 || group.hasStarting) return sweepMs;
  return group.isAtRest ? idleMemoryCheckMs : scaleMs;
}

function aliasKey(app: string, alias: string): string {
  return `${app}/${alias}`;
}
