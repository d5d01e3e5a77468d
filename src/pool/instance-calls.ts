/**
 * What an instance asks of the node: calls put together from their frames, handed on, and replied to. Bounded, because
 * user code can write any of it: one unfinished call, so many open ones.
 */
import { asAloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import { Flag, FrameType } from "../wire/frames.ts";
import {
  type CallMessage,
  Gatherer,
  isWaitingCall,
  packNumbered,
  type ReplyMessage,
  unpackNumbered,
  withoutBytes,
} from "../wire/messages.ts";
import type { ReadReply } from "../wire/effects.ts";
import { parseRead, parseStateCommit } from "../wire/parse-effects.ts";
import { WireError } from "../wire/reader.ts";
import type { FrameWriter } from "../wire/writer.ts";

/** Beside the payload: the name of the function and what JSON adds. */
const callBytesMax = limits.payloadBytes + 64 * 1024;

export class InstanceCalls {
  readonly #writer: FrameWriter;
  readonly #ask: (stream: number, call: CallMessage) => Promise<ReplyMessage>;
  readonly #gatherer = new Gatherer(callBytesMax);
  /** Whose call has begun and is not complete; -1: nobody's. */
  #unfinished = -1;
  #open = 0;
  /** Open ones that wait for somebody else. */
  #waiting = 0;

  constructor(writer: FrameWriter, ask: (stream: number, call: CallMessage) => Promise<ReplyMessage>) {
    this.#writer = writer;
    this.#ask = ask;
  }

  /** Throws WireError. */
  receive(flags: number, stream: number, bytes: Buffer, start: number, end: number): void {
    if (this.#unfinished !== -1 && this.#unfinished !== stream)
      throw new WireError("a call inside another call's frames");
    const whole = this.#gatherer.add(bytes, start, end, (flags & Flag.more) === 0);
    this.#unfinished = whole === null ? stream : -1;
    if (whole === null) return;
    const { number, json, bytes: ownBytes } = unpackNumbered(whole);
    const call = parseCall(json, ownBytes);
    const isWaiting = isWaitingCall(call);
    const most = isWaiting ? limits.callsWaitingPerInstance : limits.callsOpenPerInstance;
    if ((isWaiting ? this.#waiting : this.#open) >= most) {
      throw new WireError(`more than ${most} ${isWaiting ? "waiting calls" : "calls"} at once`);
    }
    this.#count(isWaiting, 1);
    void this.#reply(stream, number, call).then(() => this.#count(isWaiting, -1));
  }

  #count(isWaiting: boolean, by: 1 | -1): void {
    if (isWaiting) this.#waiting += by;
    else this.#open += by;
  }

  async #reply(stream: number, number: number, call: CallMessage): Promise<void> {
    let reply: ReplyMessage;
    try {
      reply = await this.#ask(stream, call);
    } catch (error) {
      const { code, message } = asAloftError(error);
      reply = { ok: false, code, type: "Error", message, stack: "" };
    }
    const found = call.op === "read" && reply.ok ? ((reply.value as ReadReply).value as object | null) : null;
    const { rest, bytes } = withoutBytes(found ?? {});
    if (bytes !== null) reply = { ok: true, value: { ...(reply as { value: ReadReply }).value, value: rest } };
    this.#writer.chunked(FrameType.reply, 0, stream, packNumbered(number, JSON.stringify(reply), bytes));
  }
}

function parseCall(text: string, bytes: Buffer | null): CallMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new WireError("a call is not JSON");
  }
  const message = value as Readonly<Record<string, unknown>> | null;
  try {
    switch (message?.["op"]) {
      case "invoke": {
        const { function: name, payload } = message as { readonly function?: unknown; readonly payload?: unknown };
        if (typeof name === "string") return { op: "invoke", function: name, payload };
        break;
      }
      case "read": {
        const read = parseRead(value);
        return { op: "read", ...read, ...(bytes === null ? {} : { args: { ...read.args, bytes } }) };
      }
      case "commit":
        return { op: "commit", ...parseStateCommit(value), ...ticketOf(message) };
      case "enter": {
        const { where } = message as { readonly where?: unknown };
        if (typeof where === "string") return { op: "enter", where };
        break;
      }
      default:
    }
  } catch (error) {
    throw new WireError((error as Error).message);
  }
  throw new WireError("a call is not one of those there are");
}

function ticketOf(message: Readonly<Record<string, unknown>>): { ticket?: number } {
  return typeof message["ticket"] === "number" ? { ticket: message["ticket"] } : {};
}
