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
import type { Socket } from "node:net";
import { AloftError } from "../contract/errors.ts";
import type { Exchange, ExchangeLink } from "../contract/exchange.ts";
import { limits } from "../contract/limits.ts";
import type { LogLine } from "../contract/observing.ts";
import type { SandboxExit, SandboxProcess } from "../contract/sandbox.ts";
import { TokenBucket } from "../lib/token-bucket.ts";
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
import { FrameReader, WireError } from "../wire/reader.ts";
import { FrameWriter } from "../wire/writer.ts";
import { failureFrom, outcomeError } from "./outcome.ts";
import { OutputLines } from "./output-lines.ts";

export type InstanceState = "starting" | "zygote" | "assigned" | "ready" | "draining" | "gone";

/** Why an instance was ended from this side. */
export type EndReason = "idle" | "retired" | "evicted" | "memory" | "blocked" | "stuck" | "violation" | "start" | "stopping";

export interface InstanceLog {
  readonly exchange: Exchange | null;
  readonly atMs: number;
  readonly level: LogLine["level"];
  readonly stream: LogLine["stream"];
  readonly message: string;
}

/** What an instance tells its owner: first the zygote pool, then a group. */
export interface InstanceOwner {
  instanceHello(instance: Instance): void;
  /** `description` is what the guest said of its exports, unparsed. */
  instanceReady(instance: Instance, description: unknown): void;
  /** An invocation has ended: there may be room. */
  instanceFreed(instance: Instance, exchange: Exchange): void;
  instanceLogged(instance: Instance, log: InstanceLog): void;
  instanceCalled(instance: Instance, exchange: Exchange | null, call: CallMessage): Promise<ReplyMessage>;
  /** `unbegun`: its invocations whose handlers were certainly never called; they may go elsewhere. */
  instanceGone(instance: Instance, error: AloftError, unbegun: readonly Exchange[]): void;
}

const levels = ["debug", "info", "warn", "error"] as const;
const sources = ["console", "stdout", "stderr"] as const;
const socketCloseMs = 1000;
/** How often an instance's memory is compared with its limit while anything runs in it. */
export const memoryCheckMs = 100;
/** The same while nothing does: timers of a handler that has answered may go on. */
export const idleMemoryCheckMs = 1000;
/** An invocation whose instances keep dying before it begins is not passed on for ever. */
const handoversMax = 3;

export class Instance implements ExchangeLink {
  readonly id: string;
  readonly memoryMiB: number;
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
  /** Has not answered a ping in time: no new work until it does. */
  isBlocked = false;
  /** One of its group's `minInstances`. */
  kept = false;
  readonly #sandbox: SandboxProcess;
  readonly #socket: Socket;
  readonly #writer: FrameWriter;
  readonly #exchanges = new Map<number, Exchange>();
  /** For each request body that streams: bytes that the instance still has room for. */
  readonly #uploadRoomBytes = new Map<number, number>();
  readonly #description = new Gatherer(limits.describeBytes);
  readonly #calls = new Map<number, Gatherer>();
  readonly #logBucket: TokenBucket;
  readonly #now: () => number;
  readonly #output: OutputLines;
  #openCalls = 0;
  #logsDropped = 0;
  #nextStream = 0;
  #pingSentAtMs = 0;
  #pingNumber = 0;
  #endReason: EndReason | null = null;
  #startError: AloftError | null = null;
  #crash: AloftError | null = null;
  #drainUntilMs = Number.POSITIVE_INFINITY;
  #socketTimer: NodeJS.Timeout | null = null;

  constructor(sandbox: SandboxProcess, owner: InstanceOwner, memoryMiB: number, now: () => number) {
    this.id = sandbox.id;
    this.memoryMiB = memoryMiB;
    this.owner = owner;
    this.#sandbox = sandbox;
    this.#socket = sandbox.socket;
    this.#now = now;
    this.startedAtMs = now();
    this.idleSinceMs = this.startedAtMs;
    this.#logBucket = new TokenBucket(limits.logLinesPerSecond, limits.logLinesBurst, this.startedAtMs);
    this.#writer = new FrameWriter((bytes, sent) => {
      this.#socket.write(bytes, sent);
    });
    const reader = new FrameReader(this.#onFrame);
    this.#socket.on("data", (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        this.#violate(`wrote to the platform's socket: ${error.message}`);
      }
    });
    this.#socket.on("error", () => {});
    this.#socket.once("close", () => this.#onSocketClosed());
    this.#output = new OutputLines(sandbox, (stream, message) => {
      const level = stream === "stderr" ? "error" : "info";
      this.#log({ exchange: null, atMs: Date.now(), level, stream, message });
    });
    void this.#watchEnd();
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
    this.#sandbox.setPriority(priority);
  }

  assign(assign: Assign): void {
    this.state = "assigned";
    this.assignedAtMs = this.#now();
    this.#writer.json(FrameType.assign, 0, assign);
    this.#writer.flush();
  }

  // --- invocations

  start(exchange: Exchange, nowMs: number): void {
    const stream = this.#nextStream + 1;
    this.#nextStream = stream;
    exchange.stream = stream;
    exchange.handovers += 1;
    exchange.answerRoomBytes = streamWindowBytes;
    exchange.handedAtMs = nowMs;
    exchange.memoryBytes = this.memoryBytes;
    this.#exchanges.set(stream, exchange);
    if (!exchange.isBodyComplete) this.#uploadRoomBytes.set(stream, streamWindowBytes);
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
    this.#cancel(exchange, CancelReason.callerGone);
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
    const bytes = this.#sandbox.memoryBytes();
    if (bytes === null) return;
    this.memoryBytes = bytes;
    if (bytes > this.memoryMiB * 1024 * 1024) this.kill("memory");
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
    const what = exchange.deadlineFor === "head" ? "answer" : exchange.deadlineFor === "idle" ? "send or take a byte" : "end";
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
    if (this.inFlight === 0) this.kill("retired");
    else this.#writer.empty(FrameType.drain, 0, 0);
  }

  kill(reason: EndReason): void {
    if (this.state === "gone") return;
    this.#endReason ??= reason;
    this.#sandbox.kill();
  }

  // --- frames

  readonly #onFrame = (type: number, flags: number, stream: number, bytes: Buffer, start: number, end: number): void => {
    if (this.#endReason === "violation") return;
    switch (type) {
      case FrameType.head: {
        this.#onHead(flags, stream, bytes, start, end);
        return;
      }
      case FrameType.begun: {
        for (let at = start; at + 4 <= end; at += 4) this.#exchangeOf(bytes.readUInt32LE(at)).hasBegun = true;
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
        const exchange = this.#exchangeOf(stream);
        if (exchange.answer !== "head") throw new WireError("a reset outside an answer's body");
        this.#settle(
          exchange,
          new AloftError("FUNCTION_THREW", `the answer's stream failed: ${bytes.toString("utf8", start, Math.min(end, start + 1000))}`),
        );
        return;
      }
      case FrameType.log: {
        const exchange = stream === 0 ? null : (this.#exchanges.get(stream) ?? null);
        const { level, source, atMs, text } = readLog(bytes, start, end);
        const message = text.length > limits.logLineBytes ? text.slice(0, limits.logLineBytes) : text;
        // The clock inside is the user's: a time that is not near ours is not believed.
        const nowMs = Date.now();
        const at = Math.abs(atMs - nowMs) < 60_000 ? atMs : nowMs;
        this.#log({ exchange, atMs: at, level: levels[level] ?? "info", stream: sources[source] ?? "console", message });
        return;
      }
      case FrameType.pong: {
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
        this.#onCall(flags, stream, bytes, start, end);
        return;
      }
      case FrameType.hello: {
        this.#onHello(bytes, start, end);
        return;
      }
      case FrameType.ready: {
        this.#onReady(flags, bytes, start, end);
        return;
      }
      case FrameType.failed: {
        this.#onFailed(bytes, start, end);
        return;
      }
      default:
        throw new WireError(`a guest does not send frames of type ${type}`);
    }
  };

  #exchangeOf(stream: number): Exchange {
    const exchange = this.#exchanges.get(stream);
    if (exchange === undefined) throw new WireError(`stream ${stream} is not open on this connection`);
    return exchange;
  }

  #onHead(flags: number, stream: number, bytes: Buffer, start: number, end: number): void {
    const exchange = this.#exchangeOf(stream);
    if (exchange.answer !== "none") throw new WireError("a second head for one invocation");
    const { status, text, bodyStart } = readHead(bytes, start, end);
    const isComplete = (flags & Flag.end) !== 0;
    exchange.answer = isComplete ? "complete" : "head";
    exchange.hasBegun = true;
    exchange.answerRoomBytes -= end - bodyStart;
    if (!exchange.isSettled) exchange.head(status, text, bodyStart < end ? bytes.subarray(bodyStart, end) : null, isComplete);
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
    // The process says that it is ending: whoever asks next must not be sent there.
    if (failure.kind === "crashed") this.drain(this.#now(), limits.crashDrainMs);
    this.#settle(exchange, outcomeError(failure));
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

  #close(exchange: Exchange): void {
    this.#exchanges.delete(exchange.stream);
    this.#uploadRoomBytes.delete(exchange.stream);
    this.#calls.delete(exchange.stream);
    this.inFlight -= 1;
    if (this.inFlight === 0) {
      this.idleSinceMs = this.#now();
      this.#pingSentAtMs = 0;
      if (this.state === "draining") this.kill("retired");
    }
    this.owner.instanceFreed(this, exchange);
  }

  #onHello(bytes: Buffer, start: number, end: number): void {
    if (this.state !== "starting") throw new WireError("a second hello");
    const hello = parseJson(bytes, start, end) as { protocol?: unknown };
    if (hello.protocol !== protocolVersion) throw new WireError(`protocol ${String(hello.protocol)} is not ${protocolVersion}`);
    this.state = "zygote";
    this.owner.instanceHello(this);
  }

  #onReady(flags: number, bytes: Buffer, start: number, end: number): void {
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
      this.#startError = new AloftError("FUNCTION_START_FAILED", `${failure.type}: ${failure.message}`, {
        detail: { stack: failure.stack },
        hint: "the error was thrown while the code was imported; run the file on its own to see it",
      });
      this.kill("start");
      return;
    }
    this.#crash = outcomeError({ ...failure, kind: "crashed" });
    this.drain(this.#now(), limits.crashDrainMs);
  }

  #onCall(flags: number, stream: number, bytes: Buffer, start: number, end: number): void {
    const exchange = stream === 0 ? null : this.#exchangeOf(stream);
    let gatherer = this.#calls.get(stream);
    if (gatherer === undefined) {
      gatherer = new Gatherer(limits.payloadBytes + 64 * 1024);
      this.#calls.set(stream, gatherer);
    }
    const whole = gatherer.add(bytes, start, end, (flags & Flag.more) === 0);
    if (whole === null) return;
    if (whole.length < 4) throw new WireError("a call frame is too short");
    if (this.#openCalls >= limits.callsOpenPerInstance) {
      throw new WireError(`more than ${limits.callsOpenPerInstance} calls at once`);
    }
    this.#openCalls += 1;
    const number = whole.readUInt32LE(0);
    const call = parseCall(parseJson(whole, 4, whole.length));
    void this.owner.instanceCalled(this, exchange, call).then((reply) => {
      this.#openCalls -= 1;
      if (this.state === "gone") return;
      const json = Buffer.from(JSON.stringify(reply));
      const payload = Buffer.allocUnsafe(4 + json.length);
      payload.writeUInt32LE(number);
      payload.set(json, 4);
      this.#writer.chunked(FrameType.reply, 0, stream, payload);
    });
  }

  #log(log: InstanceLog): void {
    if (!this.#logBucket.take(this.#now())) {
      this.#logsDropped += 1;
      return;
    }
    this.#reportDroppedLogs();
    this.owner.instanceLogged(this, log);
  }

  #reportDroppedLogs(): void {
    if (this.#logsDropped === 0) return;
    const message = `${this.#logsDropped} log lines were dropped: more than ${limits.logLinesPerSecond} lines/s`;
    this.#logsDropped = 0;
    this.owner.instanceLogged(this, { exchange: null, atMs: Date.now(), level: "warn", stream: "platform", message });
  }

  #violate(message: string): void {
    this.#crash = new AloftError("WIRE_VIOLATION", `the function's process ${message}`);
    this.kill("violation");
  }

  /** Usually the process has ended and says so in a moment; one that lives on without its socket cannot be reached. */
  #onSocketClosed(): void {
    if (this.state === "gone") return;
    this.isBlocked = true;
    this.#socketTimer = setTimeout(() => this.#violate("closed the platform's socket"), socketCloseMs);
  }

  // --- the end

  async #watchEnd(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#socket.once("close", resolve));
    const exit = await this.#sandbox.exited;
    // Frames written before its death are still in the socket, `begun` among them.
    const timer = setTimeout(() => this.#socket.destroy(), socketCloseMs);
    await closed;
    clearTimeout(timer);
    this.#finish(exit);
  }

  #finish(exit: SandboxExit): void {
    this.state = "gone";
    if (this.#socketTimer !== null) clearTimeout(this.#socketTimer);
    this.#writer.close();
    this.#output.end();
    this.#reportDroppedLogs();
    const error = this.#endError(exit);
    const unbegun: Exchange[] = [];
    for (const exchange of this.#exchanges.values()) {
      if (exchange.isSettled) continue;
      if (!exchange.hasBegun && exchange.isBodyComplete && exchange.handovers < handoversMax) unbegun.push(exchange);
      else this.#settle(exchange, error);
    }
    this.#exchanges.clear();
    this.lostInFlight = this.inFlight;
    this.inFlight = 0;
    this.owner.instanceGone(this, error, unbegun);
  }

  #endError(exit: SandboxExit): AloftError {
    if (this.#startError !== null) return this.#startError;
    const tail = this.#output.stderrTail();
    if (this.#endReason === "memory" || tail.includes("heap out of memory")) {
      return new AloftError("FUNCTION_OUT_OF_MEMORY", `the function needed more than its ${this.memoryMiB} MiB of memory`, {
        hint: 'raise "memoryMiB" of the function (range 64 MiB to 16 GiB), or stream what it holds',
      });
    }
    if (this.#crash !== null) return this.#crash;
    if (this.#endReason === "blocked") {
      return new AloftError("FUNCTION_CRASHED", "the process was ended: a handler blocked its event loop past the timeout");
    }
    if (this.#endReason === "stuck") {
      return new AloftError("FUNCTION_CRASHED", "the process was ended: a handler went on after it had been aborted");
    }
    if (this.#endReason !== null) return new AloftError("FUNCTION_CRASHED", `the process was ended (${this.#endReason})`);
    const how = exit.signal === null ? `with exit code ${exit.code}` : `by ${exit.signal}`;
    const detail = tail === "" ? undefined : { stderr: tail };
    return new AloftError("FUNCTION_CRASHED", `the function's process ended ${how}`, { detail });
  }
}

function parseJson(bytes: Buffer, start: number, end: number): unknown {
  try {
    return JSON.parse(bytes.toString("utf8", start, end));
  } catch {
    throw new WireError("a message is not JSON");
  }
}

function parseCall(value: unknown): CallMessage {
  if (typeof value === "object" && value !== null && "op" in value && value.op === "invoke") {
    const { function: name, payload } = value as { function?: unknown; payload?: unknown };
    if (typeof name === "string") return { op: "invoke", function: name, payload };
  }
  throw new WireError("a call is not one of those there are");
}
