/**
 * The runtime inside the sandbox: takes one deployment, loads it, and calls its handlers. What loading means is told to it:
 * the guest of Node imports a module (`import-functions.ts`), the companion starts a program.
 *
 * Before the first handler of what one socket read brought is called, the node can know of all of them that they may act:
 * from the mark (`begun-mark.ts`), or from a `begun` frame that has been handed to the kernel. So nothing that may have
 * acted is ever run again when this process dies.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { type Registration, type RuntimeHost, runtimeHostKey } from "../../sdk/runtime-host.ts";
import {
  CancelReason,
  Flag,
  FrameType,
  InvokeKind,
  protocolVersion,
  streamWindowBytes,
} from "../../src/wire/frames.ts";
import {
  type Assign,
  type CallMessage,
  type Failure,
  Gatherer,
  type Hello,
  readInvoke,
  writeHeadText,
  writePong,
} from "../../src/wire/messages.ts";
import type { EventDocument, OutcomeDocument } from "../../src/wire/effects.ts";
import { StateError } from "../../src/wire/overlay.ts";
import { FrameReader } from "../../src/wire/reader.ts";
import { StreamTable } from "../../src/wire/stream-table.ts";
import { failedKey } from "../../sdk/declared-function.ts";
import { failureOf, sendResponse } from "./answer.ts";
import { openBegunMark } from "./begun-mark.ts";
import { BodySource } from "./body.ts";
import { type Connection, openConnection } from "./connection.ts";
import { exitNow } from "./exit.ts";
import { outcomeErrorOf } from "./outcome-error.ts";
import { type Identity, Invocation, InvocationContext } from "./invocation.ts";
import type { LoadedFunction } from "./loaded-function.ts";
import { captureLogs, type Logs } from "./logs.ts";
import { NodeCalls } from "./node-calls.ts";
import { rehearsalFrames, rehearsalFunction } from "./rehearsal.ts";
import { LightRequest } from "./request.ts";
import { GuestState } from "./state.ts";

/** Longer than a process waits while cold starts follow each other; then preparing more would only take time from them. */
const waitingMs = 250;
const assignBytesMax = 4 * 1024 * 1024;

/** The functions of an assigned deployment, in any order. What it throws is the import's error. */
export type Load = (assign: Assign, parts: LoadParts) => Promise<readonly LoadedFunction[]>;

export interface LoadParts {
  /** What the code registered with the Functions Framework. */
  readonly registrations: readonly Registration[];
  /** The code cannot serve any longer. */
  readonly crashed: (error: Error) => void;
  /** A line of a program's output; it belongs to the invocation that runs, where there is only one. */
  readonly printed: (descriptor: 1 | 2, line: string) => void;
  /**
   * Asks the node in the name of an invocation, by its id as the code was given it; null: of none. Rejects with
   * INVOCATION_ENDED when it does not run.
   */
  readonly ask: (call: CallMessage, invocationId: string | null) => Promise<unknown>;
  /** Called once, when no invocation runs and none will come; the process ends when it resolves. */
  onDrained: (() => Promise<void>) | null;
}

export class Runtime {
  readonly #load: Load;
  readonly #connection: Connection;
  readonly #current = new AsyncLocalStorage<Invocation>();
  readonly #markBegun = openBegunMark();
  readonly #invocations = new StreamTable<Invocation>();
  readonly #logs: Logs;
  readonly #assignment = new Gatherer(assignBytesMax);
  readonly #calls: NodeCalls;
  readonly #state = new GuestState(
    (call, stream) => this.#calls.ask(call, stream),
    () => this.#current.getStore(),
  );
  #fresh: Invocation[] = [];
  /** By number; null for those that another guest serves. */
  #functions: readonly (LoadedFunction | null)[] = [];
  readonly #parts: LoadParts;
  #identity: Identity = { app: "", alias: "", deployment: "" };
  #isDraining = false;
  #isEnding = false;
  #waiting: NodeJS.Timeout | undefined;
  #utilisation = performance.eventLoopUtilization();

  constructor(load: Load) {
    this.#load = load;
    this.#connection = openConnection(this.#onFrame, this.#onRead, () => exitNow(0));
    const { writer } = this.#connection;
    this.#logs = captureLogs({ writer, currentStream: () => this.#current.getStore()?.stream ?? 0 });
    this.#calls = new NodeCalls(writer);
    this.#parts = {
      registrations: this.#host.registrations,
      crashed: (error) => this.#crashed(error),
      printed: (descriptor, line) => this.#logs.printed(this.#onlyStream(), descriptor, line),
      ask: (call, invocationId) => this.#ask(call, invocationId),
      onDrained: null,
    };
    Object.defineProperty(globalThis, runtimeHostKey, { value: this.#host });
    this.#watchFaults();
  }

  /** Says that this process can take a deployment. If none comes for a while, `prepareMore` runs. */
  hello(prepareMore: () => Promise<void>): void {
    const hello: Hello = { protocol: protocolVersion, runtime: `node ${process.version}` };
    this.#connection.writer.json(FrameType.hello, 0, hello);
    this.#connection.writer.flush();
    this.#waiting = setTimeout(() => {
      void prepareMore().then(() => {
        this.#connection.writer.empty(FrameType.warmed, 0, 0);
      });
    }, waitingMs);
  }

  /** Runs made-up invocations, unheard by the node. */
  async rehearse(): Promise<void> {
    this.#connection.mute(true);
    this.#functions = [rehearsalFunction];
    new FrameReader(this.#onFrame).push(rehearsalFrames());
    this.#onRead();
    while (this.#invocations.size > 0) await new Promise((resolve) => setImmediate(resolve));
    this.#connection.writer.flush();
    this.#functions = [];
    this.#markBegun?.(0);
    this.#connection.mute(false);
  }

  readonly #onFrame = (
    type: number,
    flags: number,
    stream: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): void => {
    switch (type) {
      case FrameType.invoke: {
        this.#receive(flags, stream, bytes, start, end);
        return;
      }
      case FrameType.body: {
        const source = this.#invocations.get(stream)?.source;
        source?.push(Buffer.from(bytes.subarray(start, end)), (flags & Flag.end) !== 0);
        return;
      }
      case FrameType.reset: {
        this.#invocations.get(stream)?.source?.fail(new Error("the request body ended before it was complete"));
        return;
      }
      case FrameType.credit: {
        const invocation = this.#invocations.get(stream);
        if (invocation === null) return;
        invocation.credit += bytes.readUInt32LE(start);
        invocation.wake();
        return;
      }
      case FrameType.cancel: {
        this.#cancel(stream, bytes[start] ?? 0);
        return;
      }
      case FrameType.ping: {
        this.#pong(bytes.readUInt32LE(start));
        return;
      }
      case FrameType.reply: {
        this.#calls.onReply(flags, stream, bytes, start, end);
        return;
      }
      case FrameType.assign: {
        const whole = this.#assignment.add(bytes, start, end, (flags & Flag.more) === 0);
        if (whole !== null) void this.#take(JSON.parse(whole.toString()) as Assign);
        return;
      }
      case FrameType.drain: {
        this.#isDraining = true;
        this.#endWhenDrained();
        return;
      }
      default:
    }
  };

  // --- loading

  async #take(assign: Assign): Promise<void> {
    clearTimeout(this.#waiting);
    const { writer } = this.#connection;
    try {
      this.#identity = { app: assign.app, alias: assign.alias, deployment: assign.deployment };
      const loaded = await this.#load(assign, this.#parts);
      if (assign.mode === "describe") {
        const functions = loaded.map(({ name, style, triggers, limits }) => ({ name, style, triggers, limits }));
        writer.json(FrameType.ready, 0, { functions });
      } else {
        this.#functions = assign.functions.map(({ name, handler }) => {
          const found = loaded.find((one) => one.name === name);
          if (found !== undefined) return found;
          // Another guest serves it.
          if (handler !== undefined) return null;
          throw new Error(`the code no longer exports the function ${name}`);
        });
        writer.json(FrameType.ready, 0, {});
      }
    } catch (error) {
      writer.json(FrameType.failed, 0, failureOf(error, "load"));
    }
    writer.flush();
  }

  // --- invocations

  #receive(flags: number, stream: number, bytes: Buffer, start: number, end: number): void {
    const message = readInvoke(bytes, start, end);
    const isComplete = (flags & Flag.end) !== 0;
    const hasBody = !isComplete || message.bodyStart < end;
    // The read buffer is used again for the next read: the body gets memory of its own.
    const first = message.bodyStart < end ? Buffer.from(bytes.subarray(message.bodyStart, end)) : null;
    const source = hasBody ? new BodySource(first, isComplete, (room) => this.#grant(stream, room)) : null;
    const { kind, functionNumber, text, timeoutMs } = message;
    const invocation = new Invocation(stream, kind, functionNumber, text, timeoutMs, source, streamWindowBytes);
    this.#invocations.add(stream, invocation);
    this.#fresh.push(invocation);
  }

  readonly #onRead = (): void => {
    if (this.#fresh.length === 0) return;
    const highest = this.#fresh.at(-1)?.stream ?? 0;
    if (this.#markBegun?.(highest) === true) {
      const marked = this.#fresh;
      this.#fresh = [];
      this.#beginAll(marked);
      return;
    }
    // Bytes that wait for the kernel would leave before `begun`: nothing begins until they have left.
    if (!this.#connection.isClear()) {
      this.#connection.onceClear(this.#onRead);
      return;
    }
    const beginning = this.#fresh;
    this.#fresh = [];
    const { writer } = this.#connection;
    const at = writer.begin(FrameType.begun, 0, 0, beginning.length * 4);
    let offset = at;
    for (const invocation of beginning) offset = writer.buffer.writeUInt32LE(invocation.stream, offset);
    writer.finish(beginning.length * 4);
    writer.flush();
    if (this.#connection.isClear()) this.#beginAll(beginning);
    else this.#connection.onceClear(() => this.#beginAll(beginning));
  };

  #beginAll(invocations: readonly Invocation[]): void {
    for (const invocation of invocations) {
      if (invocation.state !== "fresh") continue;
      invocation.state = "begun";
      this.#current.run(invocation, this.#call, invocation);
    }
  }

  readonly #call = (invocation: Invocation): void => {
    try {
      const target = this.#functions[invocation.functionNumber];
      if (target === undefined || target === null)
        throw new Error(`this deployment has no function number ${invocation.functionNumber}`);
      const context = new InvocationContext(invocation, this.#identity, target.name, this.#onWait);
      if (invocation.kind === InvokeKind.call) {
        void this.#callWithValue(invocation, target, context).catch((error: unknown) => this.#fail(invocation, error));
        return;
      }
      if (invocation.kind === InvokeKind.event) {
        void this.#callWithEvent(invocation, target, context).catch((error: unknown) => this.#fail(invocation, error));
        return;
      }
      const request = new LightRequest(invocation, invocation.source, () => invocation.signal);
      const answer: unknown = target.fetch(request as unknown as Request, context);
      if (isThenable(answer)) {
        answer.then(
          (response) => this.#respond(invocation, response),
          (error: unknown) => this.#fail(invocation, error),
        );
      } else {
        this.#respond(invocation, answer);
      }
    } catch (error) {
      this.#fail(invocation, error);
    }
  };

  async #callWithValue(invocation: Invocation, target: LoadedFunction, context: InvocationContext): Promise<void> {
    const bytes = invocation.source === null ? null : await invocation.source.bytes();
    if (target.callRaw !== undefined) {
      const answer = await target.callRaw(bytes ?? Buffer.alloc(0), context);
      this.#respond(invocation, new Response(answer, { headers: { "content-type": "application/json" } }));
      return;
    }
    const input: unknown = bytes === null || bytes.length === 0 ? null : JSON.parse(bytes.toString());
    const output = await target.call(input, context);
    if (invocation.hasOpenWrites) await invocation.settleWrites();
    this.#answerWithJson(invocation, JSON.stringify(output ?? null) ?? "null");
  }

  /** What the handler throws is part of the outcome: it carries what it had read. */
  async #callWithEvent(invocation: Invocation, target: LoadedFunction, context: InvocationContext): Promise<void> {
    const bytes = invocation.source === null ? null : await invocation.source.bytes();
    const event = JSON.parse(bytes?.toString() ?? "") as EventDocument;
    invocation.idempotencyKey = event.idempotencyKey;
    this.#state.hold(invocation);
    let outcome: OutcomeDocument;
    try {
      const { trigger, payload } = event;
      const value = await (target.event?.(trigger, payload, context) ?? target.call(payload, context));
      const failed = failedMessages(value);
      if (failed !== null) for (const { error } of failed) this.#logs.error(invocation.stream, describeError(error));
      const named = failed?.map(({ id, error }) => ({ id, error: outcomeErrorOf(error, failureOf(error, "threw")) }));
      const sealed = await this.#state.seal(invocation);
      outcome =
        named === undefined
          ? { ok: true, value: value ?? null, ...sealed }
          : { ok: true, value: null, ...sealed, failed: named };
    } catch (error) {
      if (invocation.isAborted) throw error;
      const failure = failureOf(error, "threw");
      this.#logs.error(invocation.stream, failure.stack === "" ? failure.message : failure.stack);
      const { seen } = await this.#state.seal(invocation);
      outcome = { ok: false, error: outcomeErrorOf(error, failure), seen };
    }
    this.#answerWithJson(invocation, JSON.stringify(outcome));
  }

  #answerWithJson(invocation: Invocation, body: string): void {
    if (invocation.state === "ended") return;
    if (invocation.isAborted) {
      this.#confirmCancel(invocation);
      return;
    }
    const flags = Flag.end | this.#finalFlags(invocation);
    if (!writeHeadText(this.#connection.writer, invocation.stream, flags, 200, callHead, body)) {
      this.#respond(invocation, new Response(body, { headers: { "content-type": "application/json" } }));
      return;
    }
    this.#answered(invocation);
  }

  #respond(invocation: Invocation, response: unknown): void {
    if (invocation.state === "ended") return;
    if (invocation.isAborted) {
      this.#confirmCancel(invocation);
      return;
    }
    // Whoever has the answer may count on what its handler has written (rule 13 of docs/exactly-once.md).
    if (invocation.hasOpenWrites) {
      void invocation.settleWrites().then(() => this.#respond(invocation, response));
      return;
    }
    try {
      const sent = sendResponse(this.#connection.writer, invocation, response, () => this.#finalFlags(invocation));
      if (sent === true) this.#answered(invocation);
      else {
        sent.then(
          () => this.#answered(invocation),
          (error: unknown) => this.#fail(invocation, error),
        );
      }
    } catch (error) {
      this.#fail(invocation, error);
    }
  }

  /** The flags of an answer's last frame: `done` unless something handed to `waitUntil` is still open. */
  #finalFlags(invocation: Invocation): number {
    return invocation.openWaits === 0 ? Flag.done : 0;
  }

  #answered(invocation: Invocation): void {
    if (invocation.state === "ended") return;
    if (invocation.isAborted) {
      this.#confirmCancel(invocation);
      return;
    }
    invocation.state = "answered";
    // With no open waits the answer's last frame carried `done`.
    if (invocation.openWaits === 0) this.#end(invocation);
  }

  readonly #onWait = (invocation: Invocation, promise: Promise<unknown>): void => {
    invocation.openWaits += 1;
    promise
      .catch((error: unknown) => {
        this.#logs.error(invocation.stream, `a promise given to waitUntil failed: ${describeError(error)}`);
      })
      .finally(() => {
        invocation.openWaits -= 1;
        if (invocation.openWaits > 0 || invocation.state !== "answered") return;
        this.#connection.writer.empty(FrameType.outcome, Flag.done, invocation.stream);
        this.#end(invocation);
      });
  };

  #fail(invocation: Invocation, error: unknown, kind: Failure["kind"] = "threw"): void {
    if (invocation.state === "ended") return;
    if (invocation.isAborted) {
      this.#confirmCancel(invocation);
      return;
    }
    const failure = failureOf(error, kind);
    this.#logs.error(invocation.stream, failure.stack === "" ? failure.message : failure.stack);
    this.#connection.writer.json(FrameType.outcome, invocation.stream, failure);
    this.#end(invocation);
  }

  #cancel(stream: number, reason: number): void {
    const invocation = this.#invocations.get(stream);
    if (invocation === null) return;
    if (invocation.state === "fresh") {
      this.#fresh = this.#fresh.filter((one) => one !== invocation);
      this.#confirmCancel(invocation);
      return;
    }
    // What has begun cannot be taken back; the node hears of that from `begun`.
    if (reason === CancelReason.takenBack) return;
    const message = reason === CancelReason.deadline ? "the function's timeout has passed" : "the caller is gone";
    invocation.abort(new DOMException(message, reason === CancelReason.deadline ? "TimeoutError" : "AbortError"));
    if (invocation.state === "answered") this.#confirmCancel(invocation);
  }

  #confirmCancel(invocation: Invocation): void {
    const failure: Failure = { type: "AbortError", message: "cancelled", stack: "", kind: "cancelled" };
    this.#connection.writer.json(FrameType.outcome, invocation.stream, failure);
    this.#end(invocation);
  }

  #end(invocation: Invocation): void {
    invocation.state = "ended";
    this.#invocations.delete(invocation.stream);
    invocation.wake();
    this.#endWhenDrained();
  }

  #endWhenDrained(): void {
    if (!this.#isDraining || this.#isEnding || this.#invocations.size > 0) return;
    this.#isEnding = true;
    const { onDrained } = this.#parts;
    this.#connection.writer.flush();
    if (onDrained === null) this.#connection.onceClear(() => exitNow(0));
    else void onDrained().finally(() => this.#connection.onceClear(() => exitNow(0)));
  }

  async #ask(call: CallMessage, invocationId: string | null): Promise<unknown> {
    if (invocationId === null) return await this.#calls.ask(call, 0);
    // Lambda's own form of an id has hyphens.
    const id = invocationId.replaceAll("-", "");
    for (const invocation of this.#invocations.values()) {
      if (invocation.id === id && invocation.state !== "ended") return await this.#calls.ask(call, invocation.stream);
    }
    throw new StateError("INVOCATION_ENDED", "no invocation with this id runs here");
  }

  #onlyStream(): number {
    if (this.#invocations.size !== 1) return 0;
    for (const { stream } of this.#invocations.values()) return stream;
    return 0;
  }

  #grant(stream: number, bytes: number): void {
    if (this.#invocations.has(stream)) this.#connection.writer.u32(FrameType.credit, stream, bytes);
  }

  #pong(number: number): void {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#utilisation);
    this.#utilisation = now;
    writePong(this.#connection.writer, {
      number,
      inFlight: this.#invocations.size,
      utilisation: Number.isFinite(utilization) ? utilization : 0,
      heapBytes: 0,
    });
    this.#connection.writer.flush();
  }

  // --- calls to the node

  readonly #host: RuntimeHost = {
    invoke: (functionName, payload) => this.#calls.invoke(functionName, payload, this.#current.getStore()?.stream ?? 0),
    currentContext: () => {
      const invocation = this.#current.getStore();
      if (invocation === undefined) return null;
      const name = this.#functions[invocation.functionNumber]?.name ?? "";
      return new InvocationContext(invocation, this.#identity, name, this.#onWait);
    },
    registrations: [],
    state: this.#state,
  };

  // --- faults

  /** It takes no new work, finishes what it has, and is ended. */
  #crashed(error: unknown): void {
    this.#connection.writer.json(FrameType.failed, 0, failureOf(error, "crashed"));
    this.#connection.writer.flush();
  }

  #watchFaults(): void {
    process.on("uncaughtException", (error) => {
      const invocation = this.#current.getStore();
      if (invocation === undefined) this.#logs.error(0, `uncaught: ${describeError(error)}`);
      else this.#fail(invocation, error, "crashed");
      this.#crashed(error);
    });
    process.on("unhandledRejection", (reason) => {
      const invocation = this.#current.getStore();
      if (invocation === undefined || invocation.state === "ended") {
        this.#logs.error(invocation?.stream ?? 0, `a rejection that nobody awaited: ${describeError(reason)}`);
      } else {
        this.#fail(invocation, reason);
      }
    });
    process.exit = (code) => {
      const status = Number(code ?? process.exitCode ?? 0);
      const error = new Error(`the code called process.exit(${status})`);
      const invocation = this.#current.getStore();
      if (invocation !== undefined && invocation.state !== "ended") this.#fail(invocation, error, "crashed");
      else if (this.#functions.length === 0)
        this.#connection.writer.json(FrameType.failed, 0, failureOf(error, "load"));
      this.#connection.writer.flush();
      return exitNow(status);
    };
  }
}

const callHead = "content-type\napplication/json";

/** Those that `messages.each` has noted; null: none. */
function failedMessages(value: unknown): readonly { id: string; error: unknown }[] | null {
  if (typeof value !== "object" || value === null || !(failedKey in value)) return null;
  return value[failedKey] as { id: string; error: unknown }[];
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

function describeError(error: unknown): string {
  const failure = failureOf(error, "threw");
  return failure.stack === "" ? failure.message : failure.stack;
}
