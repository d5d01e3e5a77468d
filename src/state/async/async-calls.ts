/** Asynchronous calls as the control API has them. */
import type {
  AsyncCallBegun,
  AsyncCallFilter,
  AsyncCallJson,
  AsyncCallOptions,
  AsyncCalls,
  AsyncCallStatus,
} from "../../contract/async-calls.ts";
import type { Environment, Environments, StateService } from "../../contract/durable.ts";
import type { Keyspace } from "../../contract/keyspace.ts";
import type { Schedule } from "../../lib/schedule.ts";
import type { Effect } from "../../wire/effects.ts";
import { asyncPlace, callKey } from "./async-keys.ts";

/** Wake-ups may be lost: whoever waits looks again by itself. */
const lookMs = 1_000;

export interface AsyncCallsOptions {
  readonly keyspace: Keyspace;
  readonly service: StateService;
  readonly environments: Environments;
  readonly schedule: Schedule;
}

export function createAsyncCalls({ keyspace, service, environments, schedule }: AsyncCallsOptions): AsyncCalls {
  async function commitOne(environment: Environment, effect: Effect): Promise<unknown> {
    const outcome = await service.commit(environment, { checks: [], writes: [], seen: [], effects: [effect] });
    if (outcome.kind !== "committed")
      throw new TypeError(`a commit without checks of its own ended as ${outcome.kind}`);
    return outcome.results[0];
  }

  async function read(environment: Environment, method: string, args: Record<string, unknown>): Promise<unknown> {
    return (await service.read(environment, { resource: "async", name: "", method, args })).value;
  }

  async function get(app: string, alias: string, id: string): Promise<AsyncCallJson> {
    return (await read(await environments.get(app, alias), "get", { id })) as AsyncCallJson;
  }

  async function wait(
    app: string,
    alias: string,
    id: string,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<AsyncCallJson> {
    const environment = await environments.get(app, alias);
    const key = callKey(asyncPlace(environment), id);
    const untilMs = performance.now() + waitMs;
    for (;;) {
      const changed = watchOnce(key, signal, Math.min(lookMs, Math.max(0, untilMs - performance.now())));
      try {
        const call = await get(app, alias, id);
        if (call.status !== "pending" || performance.now() >= untilMs || signal.aborted) return call;
        await changed.promise;
      } finally {
        changed.end();
      }
    }
  }

  /** Resolves with the next wake-up, after so long, or when the signal aborts. */
  function watchOnce(key: Uint8Array, signal: AbortSignal, delayMs: number): { promise: Promise<void>; end(): void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const unwatch = keyspace.watch(key, resolve);
    const cancel = schedule(delayMs, resolve);
    const onAbort = (): void => resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    return {
      promise,
      end() {
        unwatch();
        cancel();
        signal.removeEventListener("abort", onAbort);
      },
    };
  }

  return {
    async start(app, alias, name, input, options: AsyncCallOptions) {
      const environment = await environments.get(app, alias);
      const args = { input, ...options };
      return (await commitOne(environment, { resource: "async", name, method: "start", args })) as AsyncCallBegun;
    },
    get,
    wait,
    async list(app, alias, filter: AsyncCallFilter) {
      return (await read(await environments.get(app, alias), "list", { ...filter })) as readonly AsyncCallJson[];
    },
    async cancel(app, alias, id) {
      const environment = await environments.get(app, alias);
      const effect: Effect = { resource: "async", name: "call", method: "cancel", args: { id } };
      return (await commitOne(environment, effect)) as { cancelled: boolean; status: AsyncCallStatus };
    },
  };
}
