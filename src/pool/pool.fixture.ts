/** A pool over scripted guests, time that a test moves, and exchanges that remember what they were told. */
import type { TestContext } from "node:test";
import type { FunctionLimits, LiveDeployment } from "../contract/deployment.ts";
import type { AloftError } from "../contract/errors.ts";
import type { Exchange, ExchangeLink } from "../contract/exchange.ts";
import { functionLimits } from "../contract/limits.ts";
import { ManualClock } from "../lib/clock.ts";
import type { ReplyMessage } from "../wire/messages.ts";
import type { Group } from "./group.ts";
import type { InstanceLog } from "./instance-logs.ts";
import { Pool, type PoolOptions } from "./pool.ts";
import { type ScriptedGuest, ScriptedSandbox } from "./scripted-sandbox.fixture.ts";

export class TestPool {
  readonly sandbox: ScriptedSandbox;
  readonly clock = new ManualClock();
  readonly pool: Pool;
  readonly logs: InstanceLog[] = [];
  readonly warnings: string[] = [];
  spareCores = Number.POSITIVE_INFINITY;
  /** What functions that are called by functions answer. */
  reply: Promise<ReplyMessage> = Promise.resolve({ ok: true, value: 1 });
  /** How many calls of instances have come. */
  calls = 0;
  #ids = 0;

  static async open(t: Pick<TestContext, "after">, options: Partial<PoolOptions> = {}): Promise<TestPool> {
    const opened = new TestPool(await ScriptedSandbox.open(), options);
    t.after(() => opened.pool.close(0));
    return opened;
  }

  private constructor(sandbox: ScriptedSandbox, options: Partial<PoolOptions>) {
    this.sandbox = sandbox;
    this.clock.advance(1_000_000);
    this.pool = new Pool({
      sandbox,
      program: {
        node: "/node",
        entry: "/guest",
        companion: "/companion",
        python: () => ({ executable: "/python3", guest: "/guest/main.py", paths: [], home: "/usr", version: "3.9.0" }),
      },
      clock: this.clock,
      newId: () => `id-${(this.#ids += 1)}`,
      zygotes: 0,
      zygotesMax: 0,
      waitForInstanceMs: 10_000,
      memoryBudgetBytes: 4 * 1024 ** 3,
      onLog: (_live, log) => this.logs.push(log),
      onCall: () => {
        this.calls += 1;
        return this.reply;
      },
      onWarning: (message) => this.warnings.push(message),
      load: { spareCores: () => this.spareCores, forget: () => {} },
      ...options,
    });
  }

  get guests(): ScriptedGuest[] {
    return this.sandbox.guests;
  }

  /** The only one alive. */
  get guest(): ScriptedGuest {
    const [guest, ...others] = this.sandbox.living;
    if (guest === undefined || others.length > 0) throw new Error(`${this.sandbox.living.length} guests are alive`);
    return guest;
  }

  group(over: Partial<FunctionLimits> = {}, app = "app", revision = "1"): Group {
    return this.pool.group(liveOf(over, app, revision), "http");
  }

  submit(group: Group, over: Partial<TestExchange> = {}): TestExchange {
    const nowMs = this.clock.monotonicMs();
    const exchange = new TestExchange(nowMs, nowMs + group.spec.limits.timeoutMs);
    Object.assign(exchange, over);
    group.submit(exchange, nowMs);
    return exchange;
  }

  /** A request in an instance: its guest has it. */
  async running(
    group: Group,
    over: Partial<TestExchange> = {},
  ): Promise<{ exchange: TestExchange; guest: ScriptedGuest }> {
    const exchange = this.submit(group, over);
    await until(() => exchange.link !== null && this.guestOf(exchange) !== undefined);
    return { exchange, guest: this.guestOf(exchange) as ScriptedGuest };
  }

  /** Who got it last. */
  guestOf(exchange: TestExchange): ScriptedGuest | undefined {
    return this.guests.findLast((guest) => guest.streams.some((stream) => guest.textOf(stream) === exchange.text));
  }

  /** Lets time pass as the server would see it, tick by tick. */
  async advance(ms: number, stepMs = 100): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.clock.advance(Math.min(left, stepMs));
      this.pool.tick();
      await turns();
    }
  }
}

let numbers = 0;

export class TestExchange implements Exchange {
  readonly invocationId = `invocation-${(numbers += 1)}`;
  readonly kind = 0;
  readonly functionNumber = 0;
  readonly text = this.invocationId;
  readonly body = null;
  readonly isBodyComplete: boolean = true;
  deadlineAtMs: number;
  deadlineFor: "head" | "idle" | "total" = "head";
  readonly arrivedAtMs: number;
  handedAtMs = 0;
  coldUs = 0;
  memoryBytes = 0;
  stream = 0;
  handovers = 0;
  hasBegun = false;
  answer: Exchange["answer"] = "none";
  answerRoomBytes = 0;
  isSettled = false;
  cancelledAtMs = 0;

  link: ExchangeLink | null = null;
  received = "";
  roomBytes = 0;
  isComplete = false;
  hasEnded = false;
  error: AloftError | null = null;
  ends = 0;

  constructor(arrivedAtMs: number, deadlineAtMs: number) {
    this.arrivedAtMs = arrivedAtMs;
    this.deadlineAtMs = deadlineAtMs;
  }

  started(link: ExchangeLink): void {
    this.link = link;
  }

  head(_status: number, _headers: string, body: Buffer | null, isComplete: boolean): void {
    this.received += body?.toString() ?? "";
    this.isComplete = isComplete;
  }

  bodyChunk(chunk: Buffer, isComplete: boolean): void {
    this.received += chunk.toString();
    this.isComplete = isComplete;
  }

  bodyRoom(bytes: number): void {
    this.roomBytes += bytes;
  }

  failed(error: AloftError): void {
    this.error = error;
    this.ends += 1;
  }

  ended(): void {
    this.hasEnded = true;
    this.ends += 1;
  }

  /** Its error's code, "ok", or "" while it has not ended. */
  get outcome(): string {
    return this.error?.code ?? (this.hasEnded ? "ok" : "");
  }
}

export function liveOf(over: Partial<FunctionLimits> = {}, app = "app", revision = "1"): LiveDeployment {
  const limits: FunctionLimits = {
    memoryMiB: functionLimits.memoryMiB.standard,
    timeoutMs: functionLimits.timeoutMs.standard,
    concurrency: functionLimits.concurrency.standard,
    minInstances: 0,
    maxInstances: functionLimits.maxInstances.standard,
    keepAliveMs: functionLimits.keepAliveMs.standard,
    ...over,
  };
  return {
    app,
    alias: "production",
    deploymentId: revision,
    root: "/code",
    manifest: {
      format: 1,
      runtime: "node",
      entry: "main.js",
      files: [],
      functions: [{ name: "f", style: "fetch", triggers: [], limits, group: "http" }],
      groups: [{ name: "http", limits }],
      domains: [],
      network: "internet",
      requiredVariables: [],
    },
    variables: {},
    revision: `${app}/${revision}/production/0`,
  };
}

/** Enough turns of the event loop for a frame to go there and back. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 12; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Until it holds. The bound only ends a test that would hang. */
export async function until(holds: () => boolean): Promise<void> {
  const endMs = performance.now() + 20_000;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`waited in vain: ${holds.toString()}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
