/**
 * The payloads that are more than bytes: JSON for what is rare, fixed layouts for what is hot.
 *
 * invoke   u8 kind, u8 0, u16 function number, u32 milliseconds to the deadline, u32 text bytes, text, body bytes
 *          text is latin1, lines joined by \n: invocation id, traceparent, attempt, method, origin ("http://host"),
 *          target ("/path?query"), remote address, parameters ("a=1&b=2", percent-encoded), then header names and
 *          values in turn
 * head     u16 status, u32 text bytes, text, body bytes; text is latin1, header names and values in turn
 * outcome  empty with flag `done`: ended well. Else JSON Failure
 * call     u32 call number, then JSON CallMessage; reply: u32 call number, then JSON ReplyMessage. Behind the JSON a zero byte
 *          may stand, which no JSON holds, and then bytes that belong to it (`args.bytes` of a read, `bytes` of its value)
 * log      u8 level (0 debug to 3 error), u8 source (0 console, 1 stdout, 2 stderr), f64 epoch ms, UTF-8 text
 */
import type { StateCommit, StateRead } from "./effects.ts";
import { FrameType, payloadBytesMax } from "./frames.ts";
import { WireError } from "./reader.ts";
import type { FrameWriter } from "./writer.ts";

/** Headers of a call by name (kind 1): what its caller said beside the payload, JSON in base64. */
export const clientContextHeader = "x-amz-client-context";
export const cognitoIdentityHeader = "x-amz-cognito-identity";

/** Where a deployment's folder holds what its layers hold; functions find it as /opt. */
export const layersFolder = ".opt";

export interface Hello {
  readonly protocol: number;
  readonly runtime: string;
}

export interface AssignFunction {
  readonly name: string;
  readonly timeoutMs: number;
  /** As `aloft.json` names it; "" where it names none. Absent for exports of Node code. */
  readonly handler?: string;
}

/** How the only function of an instance is run, where that is no export of Node code. */
export interface AssignProgram {
  readonly runtime: string;
  readonly handler: string;
  /** Program and arguments; empty for runtimes that know what to start. */
  readonly command: readonly string[];
  /** Path that answers once the program is ready; null: it takes connections then. */
  readonly ready: string | null;
  readonly concurrency: number;
  /** Of an image, whose program the node starts beside the guest. */
  readonly image?: AssignImage;
}

/** Where guest and image meet, on the loopback that they share. */
export interface AssignImage {
  /** Where the program listens or, for `provided`, finds the Lambda Runtime API. */
  readonly port: number;
  /** Where it finds the local API of state. */
  readonly statePort: number;
  /** The first part of every path there: whoever makes the program fetch a URL of its own choice does not know it. */
  readonly stateToken: string;
}

export interface Assign {
  /** `describe`: import, say what is there, be ended. `serve`: import and serve. */
  readonly mode: "describe" | "serve";
  readonly app: string;
  readonly alias: string;
  readonly deployment: string;
  /** Folder that holds the deployment's files, as the guest sees it. */
  readonly root: string;
  /** The Node module to import; "" when there is none. */
  readonly entry: string;
  readonly program?: AssignProgram;
  /** By function number; the guest binds its exports to them. When Python is described, those asked for; else empty then. */
  readonly functions: readonly AssignFunction[];
  /** The Lambda function this instance serves: it finds AWS's variables in its environment. null for any other. */
  readonly lambda: string | null;
  readonly variables: Readonly<Record<string, string>>;
  readonly memoryMiB: number;
}

export interface Failure {
  /** The error's name, e.g. "TypeError". */
  readonly type: string;
  readonly message: string;
  /** With positions in the user's own files. */
  readonly stack: string;
  /**
   * `threw`: the handler; `response`: what it returned is no response; `cancelled`: confirms a cancel; `load`; `crashed`:
   * the instance will end; `exited`: the program that served it has ended, the instance starts another.
   */
  readonly kind: "threw" | "response" | "cancelled" | "load" | "crashed" | "exited";
}

/** What a guest may ask of the node. */
export type CallMessage =
  /** Call a function of the same deployment. */
  | { readonly op: "invoke"; readonly function: string; readonly payload: unknown }
  /** Answered with a ReadReply. */
  | ({ readonly op: "read" } & StateRead)
  /** Answered with a CommitReply. `ticket`: of the line that it waited in. */
  | ({ readonly op: "commit"; readonly ticket?: number } & StateCommit)
  /** After a conflict: answered with a ticket once nobody else reruns for the same reason. */
  | { readonly op: "enter"; readonly where: string };

/**
 * Whether the call may be open for long because it waits for somebody else: a change, or the turn of whoever stands before it. Such
 * calls are counted by themselves, so that what they wait for can still be done.
 */
export function isWaitingCall(call: CallMessage): boolean {
  return call.op === "enter" || (call.op === "read" && call.method === "watch");
}

/** All of it was written, or, because something that was read is no longer so, nothing. */
export type CommitReply =
  | { readonly kind: "committed"; readonly version: number; readonly results: readonly unknown[] }
  | { readonly kind: "conflict"; readonly where: string };

export type ReplyMessage =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false;
      readonly code: string;
      /** The error's name, e.g. "RangeError". */
      readonly type: string;
      readonly message: string;
      readonly stack: string;
    };

/** A numbered message as it travels. */
export function packNumbered(number: number, json: string, bytes: Uint8Array | null): Buffer {
  const jsonBytes = Buffer.byteLength(json);
  const whole = Buffer.allocUnsafe(4 + jsonBytes + (bytes === null ? 0 : 1 + bytes.length));
  whole.writeUInt32LE(number);
  whole.write(json, 4);
  if (bytes === null) return whole;
  whole[4 + jsonBytes] = 0;
  whole.set(bytes, 5 + jsonBytes);
  return whole;
}

export interface NumberedMessage {
  readonly number: number;
  readonly json: string;
  /** A view of what was read; null: none came with it. */
  readonly bytes: Buffer | null;
}

/** Throws WireError where there is not even a number. */
export function unpackNumbered(whole: Buffer): NumberedMessage {
  if (whole.length < 4) throw new WireError("a numbered message is too short");
  const zeroAt = whole.indexOf(0, 4);
  return {
    number: whole.readUInt32LE(0),
    json: whole.toString("utf8", 4, zeroAt === -1 ? whole.length : zeroAt),
    bytes: zeroAt === -1 ? null : whole.subarray(zeroAt + 1),
  };
}

/** The bytes of a read's arguments or of what it has found, and the same without them: what can be written as JSON. */
export function withoutBytes<T extends object>(holder: T): { rest: T; bytes: Uint8Array | null } {
  if (!((holder as { bytes?: unknown }).bytes instanceof Uint8Array)) return { rest: holder, bytes: null };
  const { bytes, ...rest } = holder as { bytes: Uint8Array };
  return { rest: rest as T, bytes };
}

const invokeFixedBytes = 12;
const headFixedBytes = 6;

export function writeInvoke(
  writer: FrameWriter,
  stream: number,
  flags: number,
  kind: number,
  functionNumber: number,
  timeoutMs: number,
  text: string,
  body: Uint8Array | null,
): void {
  const bodyBytes = body === null ? 0 : body.length;
  const payloadBytes = invokeFixedBytes + text.length + bodyBytes;
  const at = writer.begin(FrameType.invoke, flags, stream, payloadBytes);
  if (at < 0) return;
  const buffer = writer.buffer;
  buffer[at] = kind;
  buffer[at + 1] = 0;
  buffer.writeUInt16LE(functionNumber, at + 2);
  buffer.writeUInt32LE(timeoutMs, at + 4);
  buffer.writeUInt32LE(text.length, at + 8);
  buffer.write(text, at + invokeFixedBytes, "latin1");
  if (body !== null) buffer.set(body, at + invokeFixedBytes + text.length);
  writer.finish(payloadBytes);
}

export interface InvokeMessage {
  kind: number;
  functionNumber: number;
  timeoutMs: number;
  text: string;
  /** Where the body bytes begin in the frame's buffer. */
  bodyStart: number;
}

export function readInvoke(bytes: Buffer, start: number, end: number): InvokeMessage {
  if (end - start < invokeFixedBytes) throw new WireError("an invoke frame is too short");
  const textBytes = bytes.readUInt32LE(start + 8);
  const bodyStart = start + invokeFixedBytes + textBytes;
  if (bodyStart > end) throw new WireError("an invoke frame's text is longer than the frame");
  return {
    kind: bytes[start] as number,
    functionNumber: bytes.readUInt16LE(start + 2),
    timeoutMs: bytes.readUInt32LE(start + 4),
    text: bytes.toString("latin1", start + invokeFixedBytes, bodyStart),
    bodyStart,
  };
}

/** A head whose body is text, written in place without a buffer of its own; false when it does not fit one frame. */
export function writeHeadText(
  writer: FrameWriter,
  stream: number,
  flags: number,
  status: number,
  text: string,
  body: string,
): boolean {
  // A UTF-16 unit becomes at most 3 bytes of UTF-8.
  const roomBytes = headFixedBytes + text.length + body.length * 3;
  if (roomBytes > payloadBytesMax) return false;
  const at = writer.begin(FrameType.head, flags, stream, roomBytes);
  if (at < 0) return true;
  const buffer = writer.buffer;
  buffer.writeUInt16LE(status, at);
  buffer.writeUInt32LE(text.length, at + 2);
  buffer.write(text, at + headFixedBytes, "latin1");
  const bodyBytes = body.length === 0 ? 0 : buffer.write(body, at + headFixedBytes + text.length, "utf8");
  writer.finish(headFixedBytes + text.length + bodyBytes);
  return true;
}

export function writeHeadBytes(
  writer: FrameWriter,
  stream: number,
  flags: number,
  status: number,
  text: string,
  body: Uint8Array | null,
): boolean {
  const payloadBytes = headFixedBytes + text.length + (body === null ? 0 : body.length);
  if (payloadBytes > payloadBytesMax) return false;
  const at = writer.begin(FrameType.head, flags, stream, payloadBytes);
  if (at < 0) return true;
  const buffer = writer.buffer;
  buffer.writeUInt16LE(status, at);
  buffer.writeUInt32LE(text.length, at + 2);
  buffer.write(text, at + headFixedBytes, "latin1");
  if (body !== null) buffer.set(body, at + headFixedBytes + text.length);
  writer.finish(payloadBytes);
  return true;
}

export interface HeadMessage {
  status: number;
  text: string;
  bodyStart: number;
}

export function readHead(bytes: Buffer, start: number, end: number): HeadMessage {
  if (end - start < headFixedBytes) throw new WireError("a head frame is too short");
  const status = bytes.readUInt16LE(start);
  const textBytes = bytes.readUInt32LE(start + 2);
  const bodyStart = start + headFixedBytes + textBytes;
  if (bodyStart > end) throw new WireError("a head frame's text is longer than the frame");
  return { status, text: bytes.toString("latin1", start + headFixedBytes, bodyStart), bodyStart };
}

export interface LogMessage {
  level: number;
  source: number;
  atMs: number;
  text: string;
}

export function writeLog(writer: FrameWriter, stream: number, message: LogMessage): void {
  const text = Buffer.from(message.text);
  const room = Math.min(text.length, payloadBytesMax - 10);
  const at = writer.begin(FrameType.log, 0, stream, 10 + room);
  if (at < 0) return;
  const buffer = writer.buffer;
  buffer[at] = message.level;
  buffer[at + 1] = message.source;
  buffer.writeDoubleLE(message.atMs, at + 2);
  buffer.set(text.subarray(0, room), at + 10);
  writer.finish(10 + room);
}

export function readLog(bytes: Buffer, start: number, end: number): LogMessage {
  if (end - start < 10) throw new WireError("a log frame is too short");
  return {
    level: bytes[start] as number,
    source: bytes[start + 1] as number,
    atMs: bytes.readDoubleLE(start + 2),
    text: bytes.toString("utf8", start + 10, end),
  };
}

export interface PongMessage {
  number: number;
  inFlight: number;
  utilisation: number;
  heapBytes: number;
}

export function writePong(writer: FrameWriter, message: PongMessage): void {
  const at = writer.begin(FrameType.pong, 0, 0, 24);
  if (at < 0) return;
  const buffer = writer.buffer;
  buffer.writeUInt32LE(message.number, at);
  buffer.writeUInt32LE(message.inFlight, at + 4);
  buffer.writeDoubleLE(message.utilisation, at + 8);
  buffer.writeDoubleLE(message.heapBytes, at + 16);
  writer.finish(24);
}

export function readPong(bytes: Buffer, start: number, end: number): PongMessage {
  if (end - start !== 24) throw new WireError("a pong frame has 24 bytes");
  return {
    number: bytes.readUInt32LE(start),
    inFlight: bytes.readUInt32LE(start + 4),
    utilisation: bytes.readDoubleLE(start + 8),
    heapBytes: bytes.readDoubleLE(start + 16),
  };
}

/** Puts the frames of one chunked message together again; bounded. */
export class Gatherer {
  readonly #bytesMax: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The whole message when this was its last frame, else null. */
  add(bytes: Buffer, start: number, end: number, isLast: boolean): Buffer | null {
    this.#bytes += end - start;
    if (this.#bytes > this.#bytesMax) throw new WireError(`a message is over the limit of ${this.#bytesMax} bytes`);
    this.#parts.push(Buffer.from(bytes.subarray(start, end)));
    if (!isLast) return null;
    const whole = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    return whole;
  }
}
