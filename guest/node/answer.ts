/** Sends what a handler answered: in one frame where it fits, else as a stream that waits for credit. */
import { Flag, FrameType, payloadBytesMax } from "../../src/wire/frames.ts";
import { type Failure, writeHeadBytes, writeHeadText } from "../../src/wire/messages.ts";
import type { FrameWriter } from "../../src/wire/writer.ts";
import type { Invocation } from "./invocation.ts";
import { pairsOf } from "./headers.ts";
import { isResponse, nativeResponseOf, type PlainBody, plainResponseOf } from "./response.ts";

/** A response that is not one; its message says what came instead. */
export class BadResponse extends Error {
  override readonly name = "BadResponse";
}

/** What serves the function is no longer there. */
export class Crashed extends Error {
  override readonly name = "Crashed";
}

/** The program that served it has ended, and the next invocation gets another. */
export class Exited extends Error {}

/**
 * true when the answer left whole and at once; else a promise of it. `finalFlags` travel on the last frame: with `done`
 * there the invocation needs no outcome of its own.
 */
export function sendResponse(
  writer: FrameWriter,
  invocation: Invocation,
  response: unknown,
  finalFlags: () => number,
): true | Promise<void> {
  const plain = plainResponseOf(response);
  if (plain !== null) {
    const text = plain.headers.join("\n");
    const flags = Flag.end | finalFlags();
    const { body } = plain;
    if (isStream(body)) {
      sendHead(writer, invocation, plain.status, text);
      return pump(writer, invocation, body, finalFlags);
    }
    const isSent =
      typeof body === "string"
        ? writeHeadText(writer, invocation.stream, flags, plain.status, text, body)
        : writeHeadBytes(writer, invocation.stream, flags, plain.status, text, body);
    if (isSent) return true;
    sendHead(writer, invocation, plain.status, text);
    return sendBytes(writer, invocation, typeof body === "string" ? Buffer.from(body) : (body ?? empty), finalFlags);
  }
  if (!isResponse(response))
    throw new BadResponse(`the handler must return a Response, and returned ${nameOf(response)}`);
  const native = nativeResponseOf(response);
  if (native.type === "error") throw new BadResponse("the handler returned Response.error()");
  if (native.bodyUsed) throw new BadResponse("the body of the Response was already read");
  const text = pairsOf(native.headers).join("\n");
  if (native.body === null) {
    if (writeHeadBytes(writer, invocation.stream, Flag.end | finalFlags(), native.status, text, null)) return true;
    throw new BadResponse(`the response's headers are over ${payloadBytesMax} bytes`);
  }
  sendHead(writer, invocation, native.status, text);
  return pump(writer, invocation, native.body as ReadableStream<Uint8Array>, finalFlags);
}

const empty = new Uint8Array(0);

function isStream(body: PlainBody): body is ReadableStream<Uint8Array> {
  return typeof body === "object" && body !== null && "getReader" in body;
}

function sendHead(writer: FrameWriter, invocation: Invocation, status: number, text: string): void {
  if (writeHeadBytes(writer, invocation.stream, 0, status, text, null)) return;
  throw new BadResponse(`the response's headers are over ${payloadBytesMax} bytes`);
}

async function sendBytes(
  writer: FrameWriter,
  invocation: Invocation,
  bytes: Uint8Array,
  finalFlags: () => number,
): Promise<void> {
  let at = 0;
  while (at < bytes.length) {
    const room = Math.min(await roomFor(invocation), bytes.length - at);
    if (invocation.state === "ended" || invocation.isAborted) return;
    invocation.credit -= room;
    writer.body(0, invocation.stream, bytes.subarray(at, at + room));
    at += room;
  }
  writer.empty(FrameType.body, Flag.end | finalFlags(), invocation.stream);
}

async function pump(
  writer: FrameWriter,
  invocation: Invocation,
  body: ReadableStream<Uint8Array>,
  finalFlags: () => number,
): Promise<void> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (!(value instanceof Uint8Array)) {
        throw new TypeError(`a response stream must yield Uint8Array chunks, and yielded ${nameOf(value)}`);
      }
      let at = 0;
      while (at < value.length) {
        const room = Math.min(await roomFor(invocation), value.length - at);
        if (invocation.state === "ended" || invocation.isAborted) {
          await reader.cancel(new Error("the caller is gone")).catch(() => {});
          return;
        }
        invocation.credit -= room;
        writer.body(0, invocation.stream, value.subarray(at, at + room));
        at += room;
      }
    }
  } catch (error) {
    if (invocation.state !== "ended") writer.chunked(FrameType.reset, 0, invocation.stream, resetReason(error));
    throw error;
  }
  if (invocation.state !== "ended") writer.empty(FrameType.body, Flag.end | finalFlags(), invocation.stream);
}

/** Waits until something may be sent; the number of bytes. */
async function roomFor(invocation: Invocation): Promise<number> {
  while (invocation.credit <= 0 && invocation.state !== "ended" && !invocation.isAborted) {
    await new Promise<void>((resolve) => {
      invocation.wakeCredit = resolve;
    });
  }
  return invocation.credit;
}

function resetReason(error: unknown): Buffer {
  return Buffer.from(String((error as Error | null)?.message ?? error).slice(0, 1000));
}

export function failureOf(error: unknown, kind: Failure["kind"]): Failure {
  if (error instanceof Error) {
    let stack = "";
    try {
      stack = String(error.stack ?? "");
    } catch {
      // A getter of the user's own that throws is no reason to lose the message.
    }
    return {
      type: String(error.name).slice(0, 200),
      message: String(error.message).slice(0, 4000),
      stack: stack.slice(0, 16_000),
      kind: kindOf(error) ?? kind,
    };
  }
  return { type: "Error", message: `thrown: ${nameOf(error)}`.slice(0, 4000), stack: "", kind };
}

function kindOf(error: Error): Failure["kind"] | null {
  if (error instanceof BadResponse) return "response";
  if (error instanceof Exited) return "exited";
  return error instanceof Crashed ? "crashed" : null;
}

/** For messages: what a value is, briefly. */
function nameOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "string") return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}...` : value);
  if (typeof value === "object") {
    const name = value.constructor?.name;
    return typeof name === "string" && name !== "Object" ? `an object of class ${name}` : "a plain object";
  }
  return typeof value === "function" ? "a function" : String(value);
}
