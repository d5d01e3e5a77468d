/**
 * The Sandbox port with guests that do what a test tells them. A guest is no process, but its socket is a real one: it
 * speaks frames, dies with bytes on the way, or stays silent.
 *
 * Unless told otherwise a guest says hello, imports what it is given and answers pings by itself.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import type { NetworkPolicy } from "../contract/network.ts";
import type { Sandbox, SandboxExit, SandboxProcess, SandboxSpec } from "../contract/sandbox.ts";
import { Flag, FrameType, protocolVersion } from "../wire/frames.ts";
import {
  type Assign,
  type Failure,
  Gatherer,
  readInvoke,
  writeHeadText,
  writeLog,
  writePong,
} from "../wire/messages.ts";
import { FrameReader } from "../wire/reader.ts";
import { FrameWriter } from "../wire/writer.ts";

export interface Received {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export interface GuestHabits {
  greets: boolean;
  imports: boolean;
  answersPings: boolean;
  /** Whether `kill` ends it at once; else the test does, by `die`. */
  diesWhenKilled: boolean;
  memoryBytes: number;
  /** In every pong. */
  utilisation: number;
}

const MiB = 1024 * 1024;

export class ScriptedSandbox implements Sandbox {
  readonly kind = "process";
  /** Of guests started from now on. */
  readonly habits: GuestHabits = {
    greets: true,
    imports: true,
    answersPings: true,
    diesWhenKilled: true,
    memoryBytes: 16 * MiB,
    utilisation: 0,
  };
  /** In the order of their starts. */
  readonly guests: ScriptedGuest[] = [];
  /** Thrown by the next starts. */
  keepsNetwork = true;
  startError: Error | null = null;
  readonly #folder = mkdtempSync(join(tmpdir(), "aloft-scripted-"));
  readonly #path = join(this.#folder, "socket");
  readonly #server: Server;
  readonly #unconnected: ScriptedGuest[] = [];

  private constructor() {
    this.#server = createServer((socket) => this.#unconnected.shift()?.connected(socket));
  }

  static async open(): Promise<ScriptedSandbox> {
    const sandbox = new ScriptedSandbox();
    await new Promise<void>((resolve) => sandbox.#server.listen(sandbox.#path, resolve));
    return sandbox;
  }

  get living(): ScriptedGuest[] {
    return this.guests.filter((guest) => !guest.hasEnded);
  }

  start(spec: SandboxSpec): SandboxProcess {
    if (this.startError !== null) throw this.startError;
    const guest = new ScriptedGuest(spec, { ...this.habits }, connect(this.#path), this.guests.length + 1);
    this.guests.push(guest);
    this.#unconnected.push(guest);
    return guest;
  }

  async close(): Promise<void> {
    for (const guest of this.living) guest.kill();
    await Promise.all(this.guests.map((guest) => guest.exited));
    this.#server.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export class ScriptedGuest implements SandboxProcess {
  readonly id: string;
  readonly pid: number;
  readonly spec: SandboxSpec;
  readonly habits: GuestHabits;
  readonly socket: Socket;
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  readonly folder = "";
  readonly exited: Promise<SandboxExit>;
  readonly received: Received[] = [];
  assigned: Assign | null = null;
  priority: "background" | "normal";
  hasEnded = false;
  wasKilled = false;
  #own: Socket | null = null;
  #resolveExit: (exit: SandboxExit) => void = () => {};
  readonly #assignment = new Gatherer(16 * MiB);
  readonly #writer = new FrameWriter((bytes, sent) => {
    if (this.#own === null || this.#own.destroyed) sent();
    else this.#own.write(bytes, sent);
  });

  constructor(spec: SandboxSpec, habits: GuestHabits, socket: Socket, pid: number) {
    this.id = spec.id;
    this.spec = spec;
    this.priority = spec.priority ?? "normal";
    this.habits = habits;
    this.socket = socket;
    this.pid = pid;
    this.exited = new Promise((resolve) => {
      this.#resolveExit = resolve;
    });
  }

  // --- the port

  memoryBytes(): number | null {
    return this.hasEnded ? null : this.habits.memoryBytes;
  }

  /** What a script sets; null: this guest says it by frames. */
  begunMark: number | null = null;

  hasLackedMemory(): boolean {
    return false;
  }

  readBegun(): number | null {
    return this.begunMark;
  }

  place(root: string): string {
    return root;
  }

  /** The last one it was given. */
  network: NetworkPolicy | null = null;

  setNetwork(policy: NetworkPolicy): void {
    // What it may reach is settled before it learns what it is to run.
    assert.equal(this.assigned, null);
    this.network = policy;
  }

  setPriority(priority: "background" | "normal"): void {
    this.priority = priority;
  }

  kill(): void {
    this.wasKilled = true;
    if (this.habits.diesWhenKilled) this.die({ code: null, signal: "SIGKILL" });
  }

  // --- for the sandbox

  connected(socket: Socket): void {
    this.#own = socket;
    if (this.hasEnded) {
      socket.destroy();
      return;
    }
    const reader = new FrameReader((type, flags, stream, bytes, start, end) => {
      this.#receive({ type, flags, stream, payload: Buffer.from(bytes.subarray(start, end)) });
    });
    socket.on("data", (chunk: Buffer) => reader.push(chunk));
    socket.on("error", () => {});
    if (this.habits.greets) this.hello();
  }

  // --- what it heard

  all(type: number): Received[] {
    return this.received.filter((frame) => frame.type === type);
  }

  /** Streams that were opened, in order. */
  get streams(): number[] {
    return this.all(FrameType.invoke).map((frame) => frame.stream);
  }

  /** Text of the invocation on a stream. */
  textOf(stream: number): string {
    const { payload } = this.all(FrameType.invoke).find((frame) => frame.stream === stream) ?? {
      payload: Buffer.alloc(0),
    };
    return readInvoke(payload, 0, payload.length).text;
  }

  /** Streams that were cancelled, with the reasons. */
  get cancels(): [number, number][] {
    return this.all(FrameType.cancel).map(({ stream, payload }) => [stream, payload[0] ?? 0]);
  }

  // --- what it does

  hello(): void {
    this.#json(FrameType.hello, 0, { protocol: protocolVersion, runtime: "scripted" });
  }

  ready(description: unknown = {}): void {
    this.#writer.chunked(FrameType.ready, 0, 0, Buffer.from(JSON.stringify(description)));
    this.#writer.flush();
  }

  failed(message: string, kind: Failure["kind"] = "load"): void {
    this.#json(FrameType.failed, 0, failure(kind, message));
  }

  begun(...streams: number[]): void {
    this.raw(FrameType.begun, 0, 0, Buffer.from(Uint32Array.from(streams).buffer));
  }

  /** A whole answer in one frame. */
  answer(stream: number, body = "ok"): void {
    this.head(stream, body, Flag.end | Flag.done);
  }

  head(stream: number, body = "", flags = 0): void {
    writeHeadText(this.#writer, stream, flags, 200, "", body);
    this.#writer.flush();
  }

  body(stream: number, bytes: Uint8Array, flags = 0): void {
    this.#writer.body(flags, stream, bytes);
    this.#writer.flush();
  }

  fail(stream: number, message: string, kind: Failure["kind"] = "threw"): void {
    this.#json(FrameType.outcome, stream, failure(kind, message));
  }

  /** Confirms every cancel it has heard of and not confirmed. */
  confirm(stream: number): void {
    this.fail(stream, "cancelled", "cancelled");
  }

  log(text: string, stream = 0): void {
    writeLog(this.#writer, stream, { level: 1, source: 0, atMs: Date.now(), text });
    this.#writer.flush();
  }

  call(stream: number, number: number, name: string): void {
    this.#ask(stream, number, { op: "invoke", function: name, payload: null });
  }

  /** Asks to be told of a change of some key. */
  watch(stream: number, number: number): void {
    this.#ask(stream, number, { op: "read", resource: "kv", name: "s", method: "watch", args: { key: `${number}` } });
  }

  #ask(stream: number, number: number, call: object): void {
    const text = Buffer.from(`....${JSON.stringify(call)}`);
    text.writeUInt32LE(number);
    this.raw(FrameType.call, 0, stream, text);
  }

  /** Answers the last ping. */
  pong(): void {
    const number = this.all(FrameType.ping).at(-1)?.payload.readUInt32LE(0) ?? 0;
    writePong(this.#writer, { number, inFlight: 0, utilisation: this.habits.utilisation, heapBytes: 0 });
    this.#writer.flush();
  }

  raw(type: number, flags: number, stream: number, payload: Uint8Array): void {
    this.#writer.bytes(type, flags, stream, payload);
    this.#writer.flush();
  }

  /** Bytes that are no frame. */
  garbage(bytes: Uint8Array): void {
    this.#own?.write(bytes);
  }

  /** Whether it leaves unread what comes. */
  deaf(isDeaf: boolean): void {
    if (isDeaf) this.#own?.pause();
    else this.#own?.resume();
  }

  closeSocket(): void {
    this.#own?.destroy();
  }

  /** What it wrote before is on its way; nothing comes after. */
  die(how: Partial<SandboxExit> = { code: 1 }): void {
    if (this.hasEnded) return;
    const exit: SandboxExit = { code: null, signal: null, oomKilled: false, ...how };
    this.hasEnded = true;
    this.stdout.end();
    this.stderr.end();
    const own = this.#own;
    if (own === null || own.closed) this.#resolveExit(exit);
    else {
      own.once("close", () => this.#resolveExit(exit));
      own.end(() => own.destroy());
    }
  }

  #receive(frame: Received): void {
    this.received.push(frame);
    if (frame.type === FrameType.ping && this.habits.answersPings) this.pong();
    if (frame.type !== FrameType.assign) return;
    const whole = this.#assignment.add(frame.payload, 0, frame.payload.length, (frame.flags & Flag.more) === 0);
    if (whole === null) return;
    this.assigned = JSON.parse(whole.toString()) as Assign;
    if (this.habits.imports) this.ready();
  }

  #json(type: number, stream: number, value: unknown): void {
    this.#writer.json(type, stream, value);
    this.#writer.flush();
  }
}

function failure(kind: Failure["kind"], message: string): Failure {
  return { type: "Error", message, stack: `Error: ${message}\n    at main.ts:1:1`, kind };
}
