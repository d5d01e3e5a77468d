/**
 * One sandboxed process and the node's end of its frame socket.
 *
 *     starting -> zygote -> assigned -> ready -> draining -> gone
 *
 * starting: the process runs, no hello yet. zygote: can take a deployment. assigned: imports the code. ready: takes
 * invocations. draining: takes none, finishes what it has. gone: the process has ended and every byte it wrote before
 * has been read; only then is it decided which of its invocations may have acted (`begun`) and which may run elsewhere.
 *
 * What comes over the socket is written by user code. Anything that is malformed, out of its stream's state or over a
 * bound ends the instance.
 */
import { AloftError } from "../contract/errors.ts";
import type { Exchange, ExchangeLink } from "../contract/exchange.ts";
import { limits } from "../contract/limits.ts";
import type { NetworkPolicy } from "../contract/network.ts";
import type { SandboxExit, SandboxProcess, SandboxProgram } from "../contract/sandbox.ts";
import { CancelReason, Flag, FrameType, protocolVersion, streamWindowBytes } from "../wire/frames.ts";
import {
  type Assign,
  type CallMessage,
  Gatherer,
  readHead,
  readLog,
  readPong,
  type ReplyMessage,
  writeInvoke,
} from "../wire/messages.ts";
import { WireError } from "../wire/reader.ts";
import { StreamTable } from "../wire/stream-table.ts";
import type { FrameWriter } from "../wire/writer.ts";
import { BesideProgram } from "./beside-program.ts";
import { endError, type EndReason } from "./end-error.ts";
import { FrameSocket } from "./frame-socket.ts";
import { InstanceCalls } from "./instance-calls.ts";
import { type InstanceLog, InstanceLogs } from "./instance-logs.ts";
import { failureFrom, outcomeError } from "./outcome.ts";
import { OutputLines } from "./output-lines.ts";

export type InstanceState = "starting" | "zygote" | "assigned" | "ready" | "draining" | "gone";

/** What an instance tells its owner: first the zygote pool, then a group. */
export interface InstanceOwner {
  instanceHello(instance: Instance): void;
  /** `description` is what the guest said of its exports, unparsed. */
  instanceReady(instance: Instance, description: unknown): void;
  /** An invocation has ended, or was given back without having begun: there may be room. */
  instanceFreed(instance: Instance, exchange: Exchange, isGivenBack: boolean): void;
  instanceLogged(instance: Instance, log: InstanceLog): void;
  instanceCalled(instance: Instance, exchange: Exchange | null, call: CallMessage): Promise<ReplyMessage>;
  /** `unbegun`: its invocations whose handlers were certainly never called; they may go elsewhere. */
  instanceGone(instance: Instance, error: AloftError, unbegun: readonly Exchange[]): void;
}

const socketCloseMs = 1000;
const resetReasonBytes = 1000;
/** How often an instance's memory is compared with its limit while anything runs in it. */
export const memoryCheckMs = 100;
/** The same while nothing does: timers of a handler that has answered may go on. */
export const idleMemoryCheckMs = 1000;
/** An invocation whose instances keep dying before it begins is not passed on for ever. */
const handoversMax = 3;

export class Instance implements ExchangeLink {
  readonly id: string;
  memoryMiB: number;
  readonly startedAtMs: number;
  state: InstanceState = "starting";
  owner: InstanceOwner;
  /** Invocations that have not ended, aborted ones that have not confirmed included. */
  inFlight = 0;
  /** Monotonic ms since when nothing runs in it. */
  idleSinceMs: number;
  readyAtMs = 0;
  assignedAtMs = 0;
  /** When its group took or started it. */
  takenAtMs = 0;
  /** Once gone: how many invocations it still had. */
  lostInFlight = 0;
  utilisation = 0;
  memoryBytes = 0;
  measuredAtMs = 0;
  isBackground = false;
  /** Has not answered a ping in time: no new work until it does. */
  isBlocked = false;
  /** One of its group's `minInstances`. */
  kept = false;
  /** It has something to do when it ends in order: a program to stop, an app's own shutdown. */
  isGraceful = false;
  /** Memory of a companion, which is not charged to the function. */
  companionMiB = 0;
  /** Resolves when it is gone and its owner knows. */
  readonly ended: Promise<void>;
  readonly #sandbox: SandboxProcess;
  readonly #socket: FrameSocket;
  readonly #writer: FrameWriter;
  readonly #exchanges = new StreamTable<Exchange>();
  /** For each request body that streams: bytes that the instance still has room for. */
  readonly #uploadRoomBytes = new Map<number, number>();
  readonly #description = new Gatherer(limits.describeBytes);
  /** Asked back and not yet answered: neither begun nor given back. */
  readonly #askedBack = new Set<Exchange>();
  readonly #calls: InstanceCalls;
  readonly #logs: InstanceLogs;
  readonly #now: () => number;
  readonly #output: OutputLines;
  #pingSentAtMs = 0;
  #pingNumber = 0;
  #endReason: EndReason | null = null;
  /** What it said or did that ends it. */
  #cause: AloftError | null = null;
  #drainUntilMs = Number.POSITIVE_INFINITY;
  #socketTimer: NodeJS.Timeout | null = null;
  /** What it speaks for, where that is a container of its own. */
  #beside: BesideProgram | null = null;

  constructor(sandbox: SandboxProcess, owner: InstanceOwner, memoryMiB: number, now: () => number) {
    this.id = sandbox.id;
    this.memoryMiB = memoryMiB;
    this.owner = owner;
    this.#sandbox = sandbox;
    this.#now = now;
    this.startedAtMs = now();
    this.idleSinceMs = this.startedAtMs;
    this.#socket = new FrameSocket(sandbox.socket, this.#onFrame, (message) => {
      this.#violate(`wrote to the platform's socket: ${message}`);
    });
    this.#writer = this.#socket.writer;
    void this.#socket.closed.then(() => this.#onSocketClosed());
    this.#calls = new InstanceCalls(this.#writer, (stream, call) => this.#ask(stream, call));
    this.#logs = new InstanceLogs(now, (log) => this.owner.instanceLogged(this, log));
    this.#output = new OutputLines(sandbox, (stream, message) => this.#logs.printed(stream, message));
    this.ended = this.#watchEnd();
  }

  /** Why this side ended it; null while it lives or when it ended by itself. */
  get endReason(): EndReason | null {
    return this.#endReason;
  }

  get pid(): number {
    return this.#sandbox.pid;
  }

  get accepting(): boolean {
    return this.state === "ready" && !this.isBlocked;
  }

  /** While it starts ahead of need it may take no processor time from what runs. */
  setPriority(priority: "background" | "normal"): void {
    this.isBackground = priority === "background";
    this.#sandbox.setPriority(priority);
  }

  /**
   * What it may reach holds before it learns what it is to run. `startBeside`: starts the program that it speaks for.
   * `onRefusedName`: it has asked for a name that `network` does not allow.
   */
  assign(
    assign: Assign,
    network: NetworkPolicy,
    startBeside: ((instanceId: string) => SandboxProgram) | null = null,
    onRefusedName: (name: string) => void = () => {},
  ): void {
    this.state = "assigned";
    this.assignedAtMs = this.#now();
    try {
      const opened = this.#sandbox.setNetwork(network, onRefusedName);
      if (startBeside !== null) this.#startBeside(startBeside(this.id), assign.memoryMiB);
      const placed = this.#sandbox.place(assign.root);
      if (opened === undefined && typeof placed === "string") this.#sendAssign(assign, placed);
      else Promise.all([placed, opened]).then(([root]) => this.#sendAssign(assign, root), this.#placeFailed);
    } catch (error) {
      this.#placeFailed(error);
    }
  }

  #sendAssign(assign: Assign, root: string): void {
    // It may have been ended while its files were being placed.
    if (this.state !== "assigned") return;
    this.#writer.json(FrameType.assign, 0, { ...assign, root });
    this.#writer.flush();
  }

  #startBeside(program: SandboxProgram, memoryMiB: number): void {
    // The limit is that program's, which the kernel keeps; what this process needs is allowed for beside it.
    this.memoryMiB = memoryMiB;
    this.#beside = new BesideProgram(
      program,
      (stream, message) => this.#logs.printed(stream, message),
      () => this.#besideEnded(),
    );
  }

  #besideEnded(): void {
    if (this.#endReason !== null) this.#sandbox.kill();
    else {
      this.#cause ??= this.#beside?.endedError(this.state !== "assigned", this.memoryMiB) ?? null;
      this.kill("crashed");
    }
  }

  readonly #placeFailed = (error: unknown): void => {
    if (error instanceof AloftError) {
      this.#cause = error;
      this.kill("start");
      return;
    }
    const message = `the sandbox could not be given the deployment: ${(error as Error).message}`;
    this.#cause = new AloftError("SANDBOX_START_FAILED", message, { cause: error });
    this.kill("start");
  };

  // --- invocations

  start(exchange: Exchange, nowMs: number): void {
    const stream = this.#exchanges.open(exchange);
    exchange.stream = stream;
    exchange.handovers += 1;
    exchange.answerRoomBytes = streamWindowBytes;
    exchange.handedAtMs = nowMs;
    exchange.memoryBytes = this.memoryBytes;
    if (!exchange.isBodyComplete) this.#uploadRoomBytes.set(stream, streamWindowBytes - (exchange.body?.length ?? 0));
    this.inFlight += 1;
    const timeoutMs = Math.max(1, Math.ceil(exchange.deadlineAtMs - nowMs));
    const flags = exchange.isBodyComplete ? Flag.end : 0;
    writeInvoke(
      this.#writer,
      stream,
      flags,
      exchange.kind,
      exchange.functionNumber,
      timeoutMs,
      exchange.text,
      exchange.body,
    );
    exchange.started(this);
  }

  sendBody(exchange: Exchange, chunk: Uint8Array, isComplete: boolean): void {
    const { stream } = exchange;
    if (!this.#exchanges.has(stream)) return;
    this.#uploadRoomBytes.set(stream, (this.#uploadRoomBytes.get(stream) ?? 0) - chunk.length);
    this.#writer.body(isComplete ? Flag.end : 0, stream, chunk);
  }

  resetBody(exchange: Exchange): void {
    if (this.#exchanges.has(exchange.stream)) this.#writer.empty(FrameType.reset, 0, exchange.stream);
  }

  grant(exchange: Exchange, bytes: number): void {
    if (!this.#exchanges.has(exchange.stream)) return;
    exchange.answerRoomBytes += bytes;
    this.#writer.u32(FrameType.credit, exchange.stream, bytes);
  }

  cancel(exchange: Exchange): void {
    if (this.#exchanges.has(exchange.stream)) this.#cancel(exchange, CancelReason.callerGone);
    // Given back, it waits for another instance: it must not get there.
    else if (exchange.stream === 0) exchange.isSettled = true;
  }

  /**
   * Asks for up to `count` invocations back that have not begun; each comes as freed, or begins after all. Returns how
   * many may come.
   */
  askBack(count: number): number {
    this.#readBegun();
    for (const exchange of this.#exchanges.values()) {
      if (this.#askedBack.size >= count) break;
      if (exchange.isSettled || !mayGoElsewhere(exchange) || this.#askedBack.has(exchange)) continue;
      this.#askedBack.add(exchange);
      this.#writer.bytes(FrameType.cancel, 0, exchange.stream, Uint8Array.of(CancelReason.takenBack));
    }
    return this.#askedBack.size;
  }

  #cancel(exchange: Exchange, reason: number): void {
    if (!this.#exchanges.has(exchange.stream) || exchange.cancelledAtMs > 0) return;
    exchange.isSettled = true;
    exchange.cancelledAtMs = this.#now();
    this.#writer.bytes(FrameType.cancel, 0, exchange.stream, Uint8Array.of(reason));
  }

  // --- looking after it

  /** Called every few tens of milliseconds while anything runs in it. */
  sweep(nowMs: number): void {
    let latePastGrace = false;
    let isStuck = false;
    for (const exchange of this.#exchanges.values()) {
      if (nowMs < exchange.deadlineAtMs && exchange.cancelledAtMs === 0) continue;
      if (!exchange.isSettled) this.#timeOut(exchange);
      if (nowMs > exchange.deadlineAtMs + limits.blockedGraceMs) latePastGrace = true;
      if (exchange.cancelledAtMs > 0 && nowMs > exchange.cancelledAtMs + limits.cancelGraceMs) isStuck = true;
    }
    if (this.#pingSentAtMs > 0) {
      const silentMs = nowMs - this.#pingSentAtMs;
      if (silentMs > limits.pingSilenceMs) this.isBlocked = true;
      if (silentMs > limits.blockedGraceMs && latePastGrace) {
        this.kill("blocked");
        return;
      }
    } else if (this.inFlight > 0) {
      this.#pingSentAtMs = nowMs;
      this.#pingNumber = (this.#pingNumber + 1) >>> 0;
      this.#writer.u32(FrameType.ping, 0, this.#pingNumber);
    }
    // A handler that goes on after its abort: no new work, and the end when the others are done.
    if (isStuck && this.state === "ready") this.state = "draining";
    if (this.state === "draining" && this.#onlyStuckAreLeft(nowMs)) this.kill("stuck");
    else if (nowMs > this.#drainUntilMs) this.kill("stuck");
  }

  /** Private resident memory against the limit; over it the instance ends. */
  measureMemory(): void {
    this.measuredAtMs = this.#now();
    const own = this.#sandbox.memoryBytes();
    if (own === null) return;
    const bytes = own + (this.#beside?.memoryBytes() ?? 0);
    this.memoryBytes = bytes;
    const isOver = bytes > (this.memoryMiB + this.companionMiB) * 1024 * 1024;
    // The kernel ends one process; what is left of the instance is no longer what its code expects.
    if (isOver || (this.#beside ?? this.#sandbox).hasLackedMemory()) this.kill("memory");
  }

  #onlyStuckAreLeft(nowMs: number): boolean {
    if (this.#exchanges.size === 0) return false;
    for (const exchange of this.#exchanges.values()) {
      if (exchange.cancelledAtMs === 0 || nowMs <= exchange.cancelledAtMs + limits.cancelGraceMs) return false;
    }
    return true;
  }

  #timeOut(exchange: Exchange): void {
    this.#cancel(exchange, CancelReason.deadline);
    const what =
      exchange.deadlineFor === "head" ? "answer" : exchange.deadlineFor === "idle" ? "send or take a byte" : "end";
    exchange.failed(
      new AloftError("FUNCTION_TIMEOUT", `the function did not ${what} within its time`, {
        hint: "make it faster, or raise its timeout (range 0.1 s to 15 min)",
      }),
    );
  }

  /** Takes no new work; ends when what it has is done. */
  drain(nowMs: number, withinMs: number = limits.drainMs): void {
    if (this.state === "gone") return;
    if (this.state !== "ready" && this.state !== "draining") {
      this.kill("retired");
      return;
    }
    this.state = "draining";
    this.#drainUntilMs = Math.min(this.#drainUntilMs, nowMs + withinMs);
    if (this.inFlight === 0) this.#endDrained();
    else this.#writer.empty(FrameType.drain, 0, 0);
  }

  kill(reason: EndReason): void {
    if (this.state === "gone") return;
    this.#endReason ??= reason;
    // Until its end is seen nobody gives it work.
    this.state = "draining";
    this.#beside?.kill();
    this.#sandbox.kill();
  }

  /** One with something left to do ends by itself; `sweep` sees that it does. */
  #endDrained(): void {
    if (this.#cause === null && this.#beside !== null && !this.#beside.hasEnded) {
      // A program may have something to write down before it ends.
      this.#endReason ??= "retired";
      this.#beside.stop();
      return;
    }
    if (!this.isGraceful || this.#cause !== null) {
      this.kill(this.#cause === null ? "retired" : "crashed");
      return;
    }
    if (this.#endReason !== null) return;
    this.#endReason = "retired";
    this.#drainUntilMs = this.#now() + limits.stopGraceMs;
    this.#writer.empty(FrameType.drain, 0, 0);
    this.#writer.flush();
  }

  // --- frames

  readonly #onFrame = (
    type: number,
    flags: number,
    stream: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): void => {
    switch (type) {
      case FrameType.head: {
        this.#onHead(flags, stream, bytes, start, end);
        return;
      }
      case FrameType.begun: {
        this.#onBegun(stream, bytes, start, end);
        return;
      }
      case FrameType.body: {
        this.#onBody(flags, stream, bytes, start, end);
        return;
      }
      case FrameType.outcome: {
        this.#onOutcome(flags, stream, bytes, start, end);
        return;
      }
      case FrameType.reset: {
        this.#onReset(this.#exchangeOf(stream), bytes.toString("utf8", start, Math.min(end, start + resetReasonBytes)));
        return;
      }
      case FrameType.log: {
        if (stream > this.#exchanges.lastId) throw unopened(stream);
        this.#logs.received(readLog(bytes, start, end), this.#exchanges.get(stream));
        return;
      }
      case FrameType.pong: {
        assertConnection(stream);
        const pong = readPong(bytes, start, end);
        if (pong.number !== this.#pingNumber) return;
        this.#pingSentAtMs = 0;
        this.isBlocked = false;
        if (pong.utilisation >= 0 && pong.utilisation <= 1) this.utilisation = pong.utilisation;
        return;
      }
      case FrameType.credit: {
        if (end - start !== 4) throw new WireError("a credit frame has 4 bytes");
        this.#onCredit(this.#exchangeOf(stream), bytes.readUInt32LE(start));
        return;
      }
      case FrameType.call: {
        if (stream > this.#exchanges.lastId) throw unopened(stream);
        this.#calls.receive(flags, stream, bytes, start, end);
        return;
      }
      case FrameType.hello: {
        assertConnection(stream);
        this.#onHello(bytes, start, end);
        return;
      }
      case FrameType.warmed: {
        if (this.state !== "zygote") return;
        this.measureMemory();
        if (this.isBackground) this.setPriority("normal");
        return;
      }
      case FrameType.ready: {
        assertConnection(stream);
        this.#onReady(flags, bytes, start, end);
        return;
      }
      case FrameType.failed: {
        assertConnection(stream);
        this.#onFailed(bytes, start, end);
        return;
      }
      default:
        throw new WireError(`a guest does not send frames of type ${type}`);
    }
  };

  #exchangeOf(stream: number): Exchange {
    const exchange = this.#exchanges.get(stream);
    if (exchange === null) throw unopened(stream);
    return exchange;
  }

  /** Handlers are called in the order of their streams, so one number says it of all; ids begin anew after 2^32. */
  #readBegun(): void {
    const mark = this.#sandbox.readBegun();
    if (mark === null || mark === 0) return;
    for (const exchange of this.#exchanges.values()) {
      if ((mark - exchange.stream) >>> 0 >= 2 ** 31) continue;
      exchange.hasBegun = true;
      this.#askedBack.delete(exchange);
    }
  }

  #onBegun(stream: number, bytes: Buffer, start: number, end: number): void {
    assertConnection(stream);
    if ((end - start) % 4 !== 0) throw new WireError("a begun frame is cut");
    for (let at = start; at < end; at += 4) {
      const exchange = this.#exchangeOf(bytes.readUInt32LE(at));
      exchange.hasBegun = true;
      if (this.#askedBack.size > 0) this.#askedBack.delete(exchange);
    }
  }

  #onReset(exchange: Exchange, reason: string): void {
    if (exchange.answer !== "head") throw new WireError("a reset outside an answer's body");
    exchange.answer = "cut";
    this.#settle(exchange, new AloftError("FUNCTION_THREW", `the answer's stream failed: ${reason}`));
  }

  #onHead(flags: number, stream: number, bytes: Buffer, start: number, end: number): void {
    const exchange = this.#exchangeOf(stream);
    if (exchange.answer !== "none") throw new WireError("a second head for one invocation");
    const { status, text, bodyStart } = readHead(bytes, start, end);
    const isComplete = (flags & Flag.end) !== 0;
    exchange.answer = isComplete ? "complete" : "head";
    exchange.hasBegun = true;
    exchange.answerRoomBytes -= end - bodyStart;
    if (!exchange.isSettled)
      exchange.head(status, text, bodyStart < end ? bytes.subarray(bodyStart, end) : null, isComplete);
    if ((flags & Flag.done) !== 0) this.#onDone(exchange);
  }

  #onBody(flags: number, stream: number, bytes: Buffer, start: number, end: number): void {
    const exchange = this.#exchangeOf(stream);
    if (exchange.answer !== "head") throw new WireError("body bytes before the head or after the end");
    exchange.answerRoomBytes -= end - start;
    if (exchange.answerRoomBytes < 0) throw new WireError("more body bytes than there was credit for");
    const isComplete = (flags & Flag.end) !== 0;
    if (isComplete) exchange.answer = "complete";
    if (!exchange.isSettled) exchange.bodyChunk(bytes.subarray(start, end), isComplete);
    if ((flags & Flag.done) !== 0) this.#onDone(exchange);
  }

  /** Credit for more than it was sent would let one instance fill this process with a body that it never reads. */
  #onCredit(exchange: Exchange, bytes: number): void {
    const roomBytes = this.#uploadRoomBytes.get(exchange.stream);
    if (roomBytes === undefined || roomBytes + bytes > streamWindowBytes) {
      throw new WireError("more credit than the request's body has used up");
    }
    this.#uploadRoomBytes.set(exchange.stream, roomBytes + bytes);
    if (!exchange.isSettled) exchange.bodyRoom(bytes);
  }

  #onOutcome(flags: number, stream: number, bytes: Buffer, start: number, end: number): void {
    const exchange = this.#exchangeOf(stream);
    if ((flags & Flag.done) !== 0) {
      this.#onDone(exchange);
      return;
    }
    const failure = failureFrom(bytes, start, end);
    const error = outcomeError(failure);
    if (failure.kind === "cancelled" && this.#askedBack.has(exchange) && !exchange.isSettled) {
      this.#close(exchange, true);
      return;
    }
    if (failure.kind === "exited" && this.#sandbox.hasLackedMemory()) {
      // Its end says the rest: whoever waits is told what it lacked.
      this.kill("memory");
      return;
    }
    if (failure.kind === "crashed") this.#crashed(error);
    this.#settle(exchange, error);
    this.#close(exchange);
  }

  #onDone(exchange: Exchange): void {
    if (exchange.answer !== "complete") throw new WireError("an invocation ended well without an answer");
    if (!exchange.isSettled) {
      exchange.isSettled = true;
      exchange.ended();
    }
    this.#close(exchange);
  }

  /** Whoever waits for it hears of the error; nobody hears twice. */
  #settle(exchange: Exchange, error: AloftError): void {
    if (exchange.isSettled) return;
    exchange.isSettled = true;
    exchange.failed(error);
  }

  #close(exchange: Exchange, isGivenBack = false): void {
    // Whoever is told of the end also wants to know whether there was a beginning.
    if (exchange.closed !== undefined && exchange.answer === "none") this.#readBegun();
    this.#exchanges.delete(exchange.stream);
    this.#uploadRoomBytes.delete(exchange.stream);
    this.#askedBack.delete(exchange);
    if (!isGivenBack) exchange.closed?.();
    this.inFlight -= 1;
    if (this.inFlight === 0) {
      this.idleSinceMs = this.#now();
      this.#pingSentAtMs = 0;
      if (this.state === "draining") this.#endDrained();
    }
    this.owner.instanceFreed(this, exchange, isGivenBack);
  }

  #onHello(bytes: Buffer, start: number, end: number): void {
    if (this.#endReason !== null) return;
    if (this.state !== "starting") throw new WireError("a second hello");
    const hello = parseJson(bytes, start, end);
    const protocol = typeof hello === "object" && hello !== null && "protocol" in hello ? hello.protocol : undefined;
    if (protocol !== protocolVersion) throw new WireError(`the protocol of hello is not ${protocolVersion}`);
    this.state = "zygote";
    this.owner.instanceHello(this);
  }

  #onReady(flags: number, bytes: Buffer, start: number, end: number): void {
    if (this.#endReason !== null) return;
    if (this.state !== "assigned") throw new WireError("ready without an assignment");
    const whole = this.#description.add(bytes, start, end, (flags & Flag.more) === 0);
    if (whole === null) return;
    const description = parseJson(whole, 0, whole.length);
    this.state = "ready";
    this.readyAtMs = this.#now();
    this.idleSinceMs = this.readyAtMs;
    this.owner.instanceReady(this, description);
  }

  /** Before ready: the import failed. After it: an uncaught exception, so it finishes what it has and ends. */
  #onFailed(bytes: Buffer, start: number, end: number): void {
    const failure = failureFrom(bytes, start, end);
    if (this.state === "assigned") {
      this.#cause = new AloftError("FUNCTION_START_FAILED", `${failure.type}: ${failure.message}`, {
        detail: { stack: failure.stack },
        hint: "the error was thrown while the code was imported; run the file on its own to see it",
      });
      this.kill("start");
      return;
    }
    this.#crashed(outcomeError({ ...failure, kind: "crashed" }));
  }

  /** Whoever asks next must not be sent there. */
  #crashed(error: AloftError): void {
    this.#cause ??= error;
    this.drain(this.#now(), limits.crashDrainMs);
  }

  async #ask(stream: number, call: CallMessage): Promise<ReplyMessage> {
    const exchange = this.#exchanges.get(stream);
    if (exchange !== null || stream === 0) return await this.owner.instanceCalled(this, exchange, call);
    const what = call.op === "invoke" ? `calls ${call.function}` : "uses state";
    const message = `the invocation that ${what} has ended; await its promises, or give them to waitUntil`;
    return { ok: false, code: "INVOCATION_ENDED", type: "Error", message, stack: "" };
  }

  #violate(message: string): void {
    if (this.#endReason !== null) return;
    this.#cause = new AloftError("WIRE_VIOLATION", `the function's process ${message}`);
    this.kill("violation");
  }

  /** Usually the process has ended and says so in a moment; one that lives on without its socket cannot be reached. */
  #onSocketClosed(): void {
    if (this.state === "gone") return;
    this.isBlocked = true;
    this.#socketTimer = setTimeout(() => {
      // One that has ended holds no memory; that it is not gone yet is the clearing up after it, or a busy machine.
      const bytes = this.#sandbox.memoryBytes();
      if (bytes !== null && bytes > 0) this.#violate("closed the platform's socket");
    }, socketCloseMs);
  }

  // --- the end

  async #watchEnd(): Promise<void> {
    const exit = await this.#sandbox.exited;
    if (this.#beside !== null) {
      if (this.state === "draining") this.#beside.stop();
      else this.#beside.kill();
      await this.#beside.ended;
    }
    // Frames written before its death are still in the socket, `begun` among them.
    const isAllRead = await this.#socket.readRest(socketCloseMs);
    this.#finish(exit, isAllRead);
  }

  #finish(exit: SandboxExit, isAllRead: boolean): void {
    this.state = "gone";
    if (this.#socketTimer !== null) clearTimeout(this.#socketTimer);
    this.#writer.close();
    this.#output.end();
    this.#beside?.endOutput();
    this.#logs.end();
    const error = endError({
      reason: this.#endReason,
      cause: this.#cause,
      exit,
      stderrTail: this.#output.stderrTail(),
      memoryMiB: this.memoryMiB,
      stage: this.readyAtMs > 0 ? "serving" : this.assignedAtMs > 0 ? "importing" : "starting",
    });
    this.#readBegun();
    const unbegun: Exchange[] = [];
    for (const exchange of this.#exchanges.values()) {
      if (!exchange.isSettled && isAllRead && mayGoElsewhere(exchange)) {
        unbegun.push(exchange);
        continue;
      }
      this.#settle(exchange, error);
      exchange.closed?.();
    }
    this.#exchanges.clear();
    this.lostInFlight = this.inFlight;
    this.inFlight = 0;
    this.owner.instanceGone(this, error, unbegun);
  }
}

/** Its handler was certainly not called, and all of it is still here. */
function mayGoElsewhere(exchange: Exchange): boolean {
  return !exchange.hasBegun && exchange.isBodyComplete && exchange.handovers < handoversMax;
}

function unopened(stream: number): WireError {
  return new WireError(`stream ${stream} is not open on this connection`);
}

function assertConnection(stream: number): void {
  if (stream !== 0) throw new WireError(`a frame of the connection itself names stream ${stream}`);
}

function parseJson(bytes: Buffer, start: number, end: number): unknown {
  try {
    return JSON.parse(bytes.toString("utf8", start, end));
  } catch {
    throw new WireError("a message is not JSON");
  }
}
