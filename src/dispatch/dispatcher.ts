/**
 * Where doors and the control API hand in invocations: finds the deployment and the function, gives the exchange to the
 * right group of instances, and sees to the record that every invocation leaves.
 */
import type { LiveDeployment } from "../contract/deployment.ts";
import type { Dispatching, Routed } from "../contract/dispatching.ts";
import type { Delivering, EventDelivery, RunningDelivery } from "../contract/durable.ts";
import { AloftError, asAloftError } from "../contract/errors.ts";
import type { Exchange } from "../contract/exchange.ts";
import type { CallRequest, Caller, CallResult } from "../contract/invoking.ts";
import type { InvocationRecord, Observer } from "../contract/observing.ts";
import { isOfPlatform } from "../contract/route.ts";
import type { Clock } from "../lib/clock.ts";
import type { ReadReply, StateRead } from "../wire/effects.ts";
import { createCall } from "./call-exchange.ts";
import { createEvent } from "./event-exchange.ts";
import { readTarget, type RequestTarget } from "./request-target.ts";
import { type AppRouter, errorOfFailure } from "./router.ts";
import { thrownIn } from "./thrown.ts";

/** What the dispatcher needs of `pool/`. */
export interface Groups {
  group(live: LiveDeployment, name: string): { submit(exchange: Exchange, nowMs: number): void };
}

export interface DispatcherOptions {
  readonly router: AppRouter;
  readonly groups: Groups;
  readonly observer: Pick<Observer, "record">;
  readonly clock: Clock;
  readonly newInvocationId: () => string;
  /** In the environment of the deployment. */
  readonly readState: (live: LiveDeployment, read: StateRead) => Promise<ReadReply>;
  /** 404 and 405 list what there is. */
  readonly listsRoutes: boolean;
}

/** What one app's function asks of another function of the same app. */
export interface NestedCall {
  readonly live: LiveDeployment;
  readonly function: string;
  readonly payload: unknown;
  /** The trace that the call belongs to; null: a new one. */
  readonly traceparent: string | null;
}

export type NestedAnswer =
  | { ok: true; value: unknown }
  | { ok: false; code: string; type: string; message: string; stack: string };

export class Dispatcher implements Dispatching, Caller, Delivering {
  readonly #options: DispatcherOptions;
  /** By deployment, then by function number: a warm request finds its group without building a key. */
  readonly #groups = new WeakMap<LiveDeployment, ReturnType<Groups["group"]>[]>();
  /** Used again for every request. */
  readonly #target: RequestTarget = { path: "", pathAndQuery: "", authority: null };

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  route(host: string | null, aloftApp: string | null, method: string, target: string): Routed {
    const { router, listsRoutes } = this.#options;
    const read = this.#target;
    const complaint = readTarget(method, target, read);
    if (complaint !== "") {
      return { kind: "failure", error: new AloftError("REQUEST_INVALID", complaint), allow: "", app: "" };
    }
    const route = router.routeApp(read.authority ?? host, aloftApp);
    if (route.kind === "failure") return { kind: "failure", error: errorOfFailure(route), allow: "", app: "" };
    if (isOfPlatform(read.path)) {
      const query = read.pathAndQuery.slice(read.path.length + 1);
      return { kind: "platform", live: route.live, path: decodeURIComponent(read.path), query };
    }
    const match = router.match(route, method, read.path);
    switch (match.kind) {
      case "function":
        return {
          kind: "function",
          live: route.live,
          functionNumber: match.functionIndex,
          params: encodeParams(match.params),
          target: read.pathAndQuery,
          authority: read.authority,
        };
      case "options":
        return { kind: "options", allow: match.allow };
      case "notFound": {
        const detail = listsRoutes ? { routes: match.routes } : undefined;
        const error = new AloftError(
          "ROUTE_NOT_FOUND",
          `the app "${route.app}" has no route for ${method} ${read.path}`,
          { detail },
        );
        return { kind: "failure", error, allow: "", app: route.app };
      }
      case "methodNotAllowed": {
        const detail = listsRoutes ? { routes: match.routes } : undefined;
        const message = `${method} is not allowed for ${read.path}; allowed: ${match.allow}`;
        return {
          kind: "failure",
          error: new AloftError("METHOD_NOT_ALLOWED", message, { detail }),
          allow: match.allow,
          app: route.app,
        };
      }
      default:
        return match satisfies never;
    }
  }

  newInvocationId(): string {
    return this.#options.newInvocationId();
  }

  submit(live: LiveDeployment, exchange: Exchange, nowMs: number): void {
    let groups = this.#groups.get(live);
    if (groups === undefined) {
      const byName = new Map<string, ReturnType<Groups["group"]>>();
      groups = live.manifest.functions.map(({ group }) => {
        const found = byName.get(group) ?? this.#options.groups.group(live, group);
        byName.set(group, found);
        return found;
      });
      this.#groups.set(live, groups);
    }
    groups[exchange.functionNumber]?.submit(exchange, nowMs);
  }

  record(record: InvocationRecord): void {
    this.#options.observer.record(record);
  }

  async call(request: CallRequest): Promise<CallResult> {
    const route = this.#options.router.routeNamed(request.app, request.alias);
    if (route.kind === "failure") throw errorOfFailure(route);
    return await this.#callFunction(route.live, { ...request, trigger: "invoke" });
  }

  /** Never rejects: a failure is the answer. */
  async callNested(call: NestedCall): Promise<NestedAnswer> {
    try {
      const payload = Buffer.from(JSON.stringify(call.payload ?? null));
      const traceparent = call.traceparent === null ? {} : { traceparent: call.traceparent };
      const asked = { function: call.function, payload, trigger: "call", ...traceparent } as const;
      const result = await this.#callFunction(call.live, asked);
      const text = Buffer.from(result.body).toString();
      const isJson = result.contentType.includes("json");
      return { ok: true, value: text === "" ? null : isJson ? JSON.parse(text) : text };
    } catch (error) {
      const failure = asAloftError(error);
      return { ok: false, code: failure.code, ...thrownIn(failure) };
    }
  }

  async #callFunction(
    live: LiveDeployment,
    asked: Omit<CallRequest, "app" | "alias"> & { readonly trigger: "invoke" | "call" },
  ): Promise<CallResult> {
    const { function: name, payload, trigger, traceparent = null, clientContext, cognitoIdentity, signal } = asked;
    const { functions } = live.manifest;
    const functionNumber = functions.findIndex((one) => one.name === name);
    const spec = functions[functionNumber];
    if (spec === undefined) {
      throw new AloftError("FUNCTION_NOT_FOUND", `the app "${live.app}" has no function "${name}"`, {
        detail: { functions: functions.map((one) => one.name) },
      });
    }
    const nowMs = this.#options.clock.monotonicMs();
    const { exchange, result } = createCall({
      live,
      spec,
      functionNumber,
      trigger,
      invocationId: this.#options.newInvocationId(),
      traceparent,
      clientContext: clientContext ?? null,
      cognitoIdentity: cognitoIdentity ?? null,
      payload: Buffer.from(payload),
      arrivedAtMs: nowMs,
      startedAtMs: this.#options.clock.nowMs(),
      clock: this.#options.clock,
      record: (record) => this.record(record),
    });
    signal?.addEventListener("abort", () => exchange.abandon(), { once: true });
    if (!exchange.isSettled) this.submit(live, exchange, nowMs);
    return await result;
  }

  deliver(delivery: EventDelivery): RunningDelivery {
    const { live, functionNumber } = delivery;
    const spec = live.manifest.functions[functionNumber];
    if (spec === undefined) throw new Error(`deployment ${live.deploymentId} has no function ${functionNumber}`);
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const invocationId = this.#options.newInvocationId();
    const { exchange, ended } = createEvent({
      delivery,
      spec,
      invocationId,
      arrivedAtMs: nowMs,
      startedAtMs: clock.nowMs(),
      clock,
      record: (record) => this.record(record),
      readState: (read) => this.#options.readState(live, read),
    });
    if (!exchange.isSettled) this.submit(live, exchange, nowMs);
    return { invocationId, ended, cancel: () => exchange.abandon() };
  }
}

function encodeParams(params: Readonly<Record<string, string>>): string {
  let text = "";
  for (const name in params) {
    const pair = `${encodeURIComponent(name)}=${encodeURIComponent(params[name] ?? "")}`;
    text = text === "" ? pair : `${text}&${pair}`;
  }
  return text;
}
