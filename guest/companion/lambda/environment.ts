/**
 * An execution environment: starts the extensions, then the runtime; hands invocations over one at a time; ends everything
 * when something fails and starts it anew with the next invocation. `phases.ts` says which phase follows which.
 *
 * Times as on AWS: an environment has started when the runtime and every extension have asked for their first event, and an
 * invocation is over when all of them have asked for the next. Its answer has left long before.
 */
import { randomUUID } from "node:crypto";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Child, LaunchError, startChild } from "./child.ts";
import type { FunctionError } from "./error-type.ts";
import { extensionsMax, type FunctionFacts } from "./extensions-side.ts";
import { errorResult, type Invoke, type InvokeResult } from "./invoke.ts";
import { isOwnConnection, killOwnProcesses } from "./own-processes.ts";
import { nextPhase, type Phase, type PhaseEvent, shutdownBudget, type ShutdownReason } from "./phases.ts";
import { roundMs } from "./platform-events.ts";
import { Reports } from "./reports.ts";
import { RuntimeApi } from "./runtime-api.ts";

export interface EnvironmentOptions {
  readonly facts: FunctionFacts & { readonly memoryMiB: number };
  /** The runtime. */
  readonly argv: readonly string[];
  readonly cwd: string;
  /** Of the runtime; extensions get it as well. `AWS_LAMBDA_RUNTIME_API` is added. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute paths of the external extensions. */
  readonly extensions: readonly string[];
  /** How long the first start may take: what is late is ended, and starts anew with the first invocation. */
  readonly initMs: number;
  readonly printed: (descriptor: 1 | 2, line: string, extension: string | null) => void;
  /** A runtime that somebody else starts, where no process of it is seen; the API is then at this port. */
  readonly outside?: { readonly port: number; readonly runtime: () => Child };
}

/** What ends an environment, or keeps it from starting. */
export class EnvironmentError extends Error {
  readonly error: FunctionError;

  constructor(error: FunctionError) {
    super(error.errorMessage);
    this.name = error.errorType;
    this.error = error;
  }
}

export interface Invoked {
  readonly result: Promise<InvokeResult>;
  /** The environment is free again, or has been cleared away. */
  readonly over: Promise<void>;
}

/** What is left of a shutdown for listeners of telemetry to hear the rest. */
const flushMs = 500;

export class Environment {
  readonly #options: EnvironmentOptions;
  readonly #api: RuntimeApi;
  readonly #reports: Reports;
  readonly #instanceId = randomUUID();
  #address = "";
  #phase: Phase = "cold";
  #runtime: Child | null = null;
  /** By the name of the extension. */
  #externals = new Map<string, Child>();
  /** The id of the invocation whose turn it is; "" when it is nobody's. */
  #serving = "";
  #failure: EnvironmentError | null = null;
  #isTimeout = false;
  #wake: (() => void)[] = [];
  /** Invocations follow each other; so does a reset. */
  #last: Promise<void> = Promise.resolve();
  #initDurationMs = 0;

  constructor(options: EnvironmentOptions) {
    this.#options = options;
    this.#api = new RuntimeApi({
      facts: options.facts,
      // On the network that it shares nobody else is.
      isOwn: options.outside === undefined ? isOwnConnection : () => true,
      events: {
        runtimeReady: () => this.#changed(),
        runtimeAnswered: () => this.#changed(),
        extensionMoved: () => this.#changed(),
        initFailed: (error) => this.#fail(error),
        extensionFailed: (extension, when) => {
          this.#failWith(when, `Error: extension ${extension.name}: ${extension.errorType}`);
        },
      },
    });
    this.#reports = new Reports(this.#api.telemetry, options.facts);
  }

  get phase(): Phase {
    return this.#phase;
  }

  /**
   * Opens the API and starts everything once. Who is too slow for that is given the time of the first invocation, as on AWS;
   * a runtime that somebody else starts cannot be. Throws an EnvironmentError; then nothing of it is left.
   */
  async open(): Promise<void> {
    this.#address = await this.#api.open(this.#options.outside?.port ?? 0);
    const { initMs, outside } = this.#options;
    let late = "";
    const timer = setTimeout(() => {
      late = `${this.#missing()} did not ask for a first event within ${initMs / 1000} s`;
      this.#isTimeout = true;
      this.#failWith("Sandbox.Timedout", late);
    }, initMs);
    try {
      await this.#start("init");
    } catch (error) {
      if (late !== "" && outside === undefined) {
        await this.#reset("timeout");
        this.#sayLate(late);
        return;
      }
      await this.shutdown("failure");
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #sayLate(late: string): void {
    const duration = this.#initDurationMs.toFixed(2);
    this.#options.printed(2, `INIT_REPORT Init Duration: ${duration} ms\tPhase: init\tStatus: timeout`, null);
    this.#options.printed(2, `${late}: all is started anew with the first invocation, within its timeout`, null);
    this.#initDurationMs = 0;
  }

  /** Who has not asked for a first event yet. */
  #missing(): string {
    const late = this.#api.extensions.all.find(({ state }) => state !== "Ready");
    const isRuntimeLate = this.#runtime !== null && this.#api.runtime.state !== "Ready";
    return isRuntimeLate || late === undefined ? "the runtime" : `the extension ${late.name}`;
  }

  /** `host:port` */
  get address(): string {
    return this.#address;
  }

  /**
   * One after the other; never throws, for errors are results. `isWanted` is asked when its turn has come: nobody may wait
   * for it any more.
   */
  invoke(invoke: Invoke, isWanted: () => boolean): Invoked {
    const { promise: result, resolve } = Promise.withResolvers<InvokeResult>();
    const over = this.#last.then(async () => {
      if (isWanted()) await this.#serve(invoke, resolve);
    });
    this.#last = over;
    return { result, over };
  }

  /** Its time is over: everything is ended, and starts anew with the next invocation. */
  timeOut(requestId: string): void {
    if (this.#serving !== requestId || this.#failure !== null) return;
    this.#isTimeout = true;
    this.#failWith("Sandbox.Timedout", "Error: Task timed out");
  }

  /** Ends everything for good. */
  async shutdown(reason: ShutdownReason): Promise<void> {
    if (!this.#to("shutdown")) return;
    this.#failure ??= new EnvironmentError({
      errorType: "Sandbox.Failure",
      errorMessage: "the environment is shutting down",
      stackTrace: [],
    });
    this.#changed();
    await this.#clear(reason);
    this.#to("ended");
    this.#api.close();
  }

  // --- starting

  async #start(phase: "init" | "invoke"): Promise<void> {
    this.#to("start");
    this.#failure = null;
    this.#isTimeout = false;
    const startedAtMs = performance.now();
    const { extensions } = this.#options;
    const api = this.#api;
    api.runtime.begin();
    api.telemetry.begin();
    api.extensions.begin(extensions.map((path) => basename(path)));
    this.#reports.initStart(phase, this.#instanceId);
    let isRuntimeReady = false;
    try {
      await this.#startExtensions(extensions);
      await this.#startRuntime();
      await this.#until(() => api.runtime.state === "Ready");
      isRuntimeReady = true;
      api.extensions.closeRegistration();
      this.#reports.initRuntimeDone(phase, "");
      await this.#until(() => api.extensions.all.every(({ state }) => state === "Ready"));
      this.#to("ready");
    } catch (error) {
      this.#failure ??= asEnvironmentError(error);
      if (!isRuntimeReady) this.#reports.initRuntimeDone(phase, this.#failure.error.errorType);
      throw this.#failure;
    } finally {
      this.#initDurationMs = roundMs(performance.now() - startedAtMs);
      this.#reports.extensions(api.extensions.all);
      this.#reports.initReport(phase, this.#initDurationMs, this.#failure?.error.errorType ?? "");
      api.telemetry.closeSubscription();
    }
  }

  async #startExtensions(paths: readonly string[]): Promise<void> {
    if (paths.length > extensionsMax) {
      throw failure("Extension.LaunchError", `${paths.length} extensions, and at most ${extensionsMax} are allowed`);
    }
    for (const path of paths) {
      const name = basename(path);
      const child = await this.#startChild([path], name).catch((error: unknown) => {
        throw failure("Extension.LaunchError", `Error: ${(error as Error).message}`);
      });
      this.#externals.set(name, child);
      void child.ended.then((how) => {
        if (this.#externals.get(name) !== child || this.#isEnding) return;
        this.#failWith("Extension.Crash", `Error: extension ${name} exited: ${how === "" ? "exit status 0" : how}`);
      });
    }
    await this.#until(() =>
      this.#api.extensions.all.every(({ isExternal, state }) => !isExternal || state !== "Started"),
    );
  }

  async #startRuntime(): Promise<void> {
    const { argv, outside } = this.#options;
    const started = outside === undefined ? this.#startChild(argv, null) : Promise.resolve(outside.runtime());
    const child = await started.catch((error: unknown) => {
      throw failure("Runtime.InvalidEntrypoint", `Error: ${(error as Error).message}`);
    });
    this.#runtime = child;
    void child.ended.then((how) => {
      if (this.#runtime !== child || this.#isEnding) return;
      const what = how === "" ? "exited without providing a reason" : `exited with error: ${how}`;
      this.#failWith("Runtime.ExitError", `Error: Runtime ${what}`);
    });
  }

  async #startChild(argv: readonly string[], extension: string | null): Promise<Child> {
    const { cwd, env, printed } = this.#options;
    return await startChild({
      argv,
      cwd,
      env: { ...env, AWS_LAMBDA_RUNTIME_API: this.#address },
      printed: (descriptor, line) => {
        this.#api.telemetry.emit(extension === null ? "function" : "extension", line);
        printed(descriptor, line, extension);
      },
    });
  }

  // --- invoking

  async #serve(invoke: Invoke, resolve: (result: InvokeResult) => void): Promise<void> {
    if (this.#phase === "shutdown" || this.#phase === "gone") {
      resolve(errorResult("Sandbox.Failure", "the environment is shutting down"));
      return;
    }
    try {
      // It may have failed while nothing ran.
      if (this.#phase === "idle" && this.#failure !== null) await this.#reset("failure");
      this.#serving = invoke.requestId;
      if (this.#phase === "cold") await this.#start("invoke");
      await this.#run(invoke, resolve);
    } catch (error) {
      const { error: cause } = asEnvironmentError(error);
      resolve(withRequestId(cause, invoke.requestId));
      await this.#reset(this.#isTimeout ? "timeout" : "failure");
    } finally {
      this.#serving = "";
    }
  }

  async #run(invoke: Invoke, resolve: (result: InvokeResult) => void): Promise<void> {
    const { runtime, extensions } = this.#api;
    this.#to("invoke");
    this.#reports.start(invoke);
    extensions.giveInvoke(invoke);
    const current = runtime.give(invoke);
    void current.result.then(resolve);
    const invoked = extensions.subscribed("INVOKE");
    let readyAtMs = 0;
    try {
      await this.#until(() => current.answeredAtMs > 0 && runtime.state === "Ready");
      readyAtMs = performance.now();
      this.#reports.runtimeDone(current, readyAtMs, current.errorType, false);
      await this.#until(() => invoked.every(({ state }) => state === "Ready"));
      this.#to("done");
    } catch (error) {
      const { error: cause } = asEnvironmentError(error);
      current.fail(cause.errorType, withRequestId(cause, invoke.requestId).error.errorMessage);
      if (readyAtMs === 0) this.#reports.runtimeDone(current, performance.now(), cause.errorType, this.#isTimeout);
    }
    this.#reports.report(current, readyAtMs, this.#initDurationMs, this.#isTimeout, this.#runtime?.pid ?? 0);
    this.#initDurationMs = 0;
    runtime.release();
    if (this.#failure !== null) await this.#reset(this.#isTimeout ? "timeout" : "failure");
  }

  // --- ending

  get #isEnding(): boolean {
    return this.#phase === "reset" || this.#phase === "shutdown" || this.#phase === "gone";
  }

  async #resetAfter(last: Promise<void>): Promise<void> {
    await last;
    await this.#reset("failure");
  }

  async #reset(reason: ShutdownReason): Promise<void> {
    if (!this.#to("fail")) return;
    await this.#clear(reason);
    this.#to("ended");
  }

  /** The runtime goes first, so that extensions can still see to what it left. */
  async #clear(reason: ShutdownReason): Promise<void> {
    const { extensions, telemetry, runtime } = this.#api;
    const live = extensions.all.filter(({ state }) => state !== "Started" && state !== "LaunchError");
    const external = live.filter(({ isExternal }) => isExternal).length;
    const budget = shutdownBudget({ external, internal: live.length - external });
    const startedAtMs = performance.now();
    const left = (): number => Math.max(0, budget.totalMs - (performance.now() - startedAtMs));
    const own = this.#runtime;
    if (own !== null && !own.isOver && budget.runtimeMs > 0) {
      own.terminate();
      await within(own.ended, budget.runtimeMs);
    }
    own?.kill();
    if (budget.totalMs > 0) await within(telemetry.flush(), Math.min(flushMs, left()));
    extensions.giveShutdown(reason, Date.now() + Math.round(left()));
    const told = new Set(extensions.subscribed("SHUTDOWN").map(({ name }) => name));
    const waitedFor: Promise<string>[] = [];
    for (const [name, child] of this.#externals) {
      if (told.has(name)) waitedFor.push(child.ended);
      else child.kill();
    }
    await within(Promise.all(waitedFor), left());
    for (const child of this.#externals.values()) child.kill();
    killOwnProcesses();
    await Promise.all([own, ...this.#externals.values()].map(async (child) => await child?.ended));
    this.#runtime = null;
    this.#externals = new Map();
    runtime.close();
    extensions.close();
    telemetry.close();
  }

  // --- waiting

  #to(event: PhaseEvent): boolean {
    const phase = nextPhase(this.#phase, event);
    if (phase === null) return false;
    this.#phase = phase;
    return true;
  }

  #failWith(errorType: string, errorMessage: string): void {
    this.#fail({ errorType, errorMessage, stackTrace: [] });
  }

  /** The first failure is the one that counts. */
  #fail(error: FunctionError): void {
    if (this.#isEnding) return;
    this.#failure ??= new EnvironmentError(error);
    this.#changed();
    // Nothing runs that would notice: what is left is cleared away now, not with the next invocation.
    if (this.#phase === "idle") this.#last = this.#resetAfter(this.#last);
  }

  #changed(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }

  /** Throws the failure of the environment. */
  async #until(condition: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      if (condition()) return;
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }
}

async function within(work: Promise<unknown>, ms: number): Promise<void> {
  const over = new AbortController();
  await Promise.race([work, sleep(ms, undefined, { signal: over.signal }).catch(() => {})]);
  over.abort();
}

function failure(errorType: string, errorMessage: string): EnvironmentError {
  return new EnvironmentError({ errorType, errorMessage, stackTrace: [] });
}

function asEnvironmentError(error: unknown): EnvironmentError {
  if (error instanceof EnvironmentError) return error;
  return failure("Sandbox.Failure", error instanceof LaunchError ? error.message : String(error));
}

/** AWS names the invocation in the errors that the platform makes itself. */
function withRequestId(error: FunctionError, requestId: string): InvokeResult & { kind: "error" } {
  const errorMessage = error.errorMessage.startsWith("Error: ")
    ? `RequestId: ${requestId} ${error.errorMessage}`
    : error.errorMessage;
  const { errorType, stackTrace } = error;
  const payload = { errorType, errorMessage, ...(stackTrace.length > 0 && { stackTrace }) };
  return { kind: "error", error: { ...error, errorMessage }, payload: Buffer.from(JSON.stringify(payload)) };
}
