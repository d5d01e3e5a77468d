/**
 * Modules as Workers, Bun and Deno run them: `export default { fetch(request, env, ctx) }`.
 *
 * Its other handlers get the same `env` and the same context: `scheduled(controller, env, ctx)` is called by a cron trigger,
 * `queue(batch, env, ctx)` by a queue (`workers-queue.ts`).
 */
import type { Context } from "../../sdk/index.ts";

/** The second argument: the app's variables, and whatever is bound to it. One object for all calls of an instance. */
export type WorkersEnvironment = Readonly<Record<string, unknown>>;

interface ScheduledEvent {
  readonly type: string;
  readonly cron: string;
  /** Epoch milliseconds. */
  readonly scheduledTime: number;
  noRetry(): void;
}

export interface WorkersModule {
  fetch(request: Request, env: WorkersEnvironment, context: WorkersContext): unknown;
  /** https://developers.cloudflare.com/workers/runtime-apis/handlers/scheduled/ */
  scheduled?(event: ScheduledEvent, env: WorkersEnvironment, context: WorkersContext): unknown;
  /** https://developers.cloudflare.com/queues/configuration/javascript-apis/ */
  queue?(batch: unknown, env: WorkersEnvironment, context: WorkersContext): unknown;
}

export function isWorkersModule(value: object): value is WorkersModule {
  return "fetch" in value && typeof value.fetch === "function";
}

/** The third argument of Workers' `fetch`, with all that other handlers get as their context. */
export class WorkersContext implements Context {
  readonly #context: Context;
  readonly waitUntil: (promise: Promise<unknown>) => void;

  constructor(context: Context) {
    this.#context = context;
    this.waitUntil = context.waitUntil;
  }

  /** There is no origin behind an app to pass a request on to: an exception is the answer. */
  passThroughOnException(): void {}

  get invocationId(): string {
    return this.#context.invocationId;
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }

  get deadline(): number {
    return this.#context.deadline;
  }

  get params(): Readonly<Record<string, string>> {
    return this.#context.params;
  }

  get app(): string {
    return this.#context.app;
  }

  get function(): string {
    return this.#context.function;
  }

  get deployment(): string {
    return this.#context.deployment;
  }

  get traceparent(): string {
    return this.#context.traceparent;
  }

  get attempt(): number {
    return this.#context.attempt;
  }

  get idempotencyKey(): string {
    return this.#context.idempotencyKey;
  }

  get remoteAddress(): string {
    return this.#context.remoteAddress;
  }
}
