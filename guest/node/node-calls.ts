/** What a handler asks of the node while it runs: a call goes out under a number, its reply comes back under the same. */
import { Flag, FrameType } from "../../src/wire/frames.ts";
import type { ReadReply } from "../../src/wire/effects.ts";
import {
  type CallMessage,
  Gatherer,
  isWaitingCall,
  packNumbered,
  type ReplyMessage,
  unpackNumbered,
  withoutBytes,
} from "../../src/wire/messages.ts";
import type { FrameWriter } from "../../src/wire/writer.ts";

const replyBytesMax = 16 * 1024 * 1024;

interface OpenCall {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  /** Made where the call was made, so that its stack leads there. */
  readonly error: Error;
  readonly turns: Turns;
}

/** As many as the node lets be open (`docs/wire.md`); more wait here for their turn. */
class Turns {
  readonly #most: number;
  readonly #queue: (() => void)[] = [];
  #open = 0;

  constructor(most: number) {
    this.#most = most;
  }

  begin(send: () => void): void {
    if (this.#open === this.#most) {
      this.#queue.push(send);
      return;
    }
    this.#open += 1;
    send();
  }

  end(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#open -= 1;
    else next();
  }
}

export class NodeCalls {
  readonly #writer: FrameWriter;
  readonly #turns = new Turns(256);
  /** Of calls that wait for somebody else: they take no turn from those by which that comes about. */
  readonly #waitingTurns = new Turns(2000);
  readonly #open = new Map<number, OpenCall>();
  readonly #replies = new Map<number, Gatherer>();
  #number = 0;

  constructor(writer: FrameWriter) {
    this.#writer = writer;
  }

  /** Calls a function of the same deployment in the name of the invocation on `stream`, or of none (0). */
  invoke(functionName: string, payload: unknown, stream: number): Promise<unknown> {
    return this.ask({ op: "invoke", function: functionName, payload: payload ?? null }, stream);
  }

  /** Rejects with an error that has the `code` and the message of the node's. */
  ask(call: CallMessage, stream: number): Promise<unknown> {
    const { rest, bytes } = withoutBytes(call.op === "read" ? call.args : {});
    const json = JSON.stringify(bytes === null ? call : { ...call, args: rest });
    const error = new Error();
    return new Promise((resolve, reject) => {
      const turns = isWaitingCall(call) ? this.#waitingTurns : this.#turns;
      turns.begin(() => this.#send(json, bytes, stream, { resolve, reject, error, turns }));
    });
  }

  #send(json: string, bytes: Uint8Array | null, stream: number, call: OpenCall): void {
    this.#number += 1;
    this.#open.set(this.#number, call);
    this.#writer.chunked(FrameType.call, 0, stream, packNumbered(this.#number, json, bytes));
  }

  onReply(flags: number, stream: number, bytes: Buffer, start: number, end: number): void {
    let gatherer = this.#replies.get(stream);
    if (gatherer === undefined) {
      gatherer = new Gatherer(replyBytesMax);
      this.#replies.set(stream, gatherer);
    }
    const whole = gatherer.add(bytes, start, end, (flags & Flag.more) === 0);
    if (whole === null) return;
    this.#replies.delete(stream);
    const { number, json, bytes: ownBytes } = unpackNumbered(whole);
    const call = this.#open.get(number);
    if (call === undefined) return;
    this.#open.delete(number);
    call.turns.end();
    const reply = JSON.parse(json) as ReplyMessage;
    if (reply.ok) {
      if (ownBytes !== null) Object.assign((reply.value as ReadReply).value as object, { bytes: ownBytes });
      call.resolve(reply.value);
      return;
    }
    const { code, type, message, stack } = reply;
    const cause = stack === "" ? {} : { cause: Object.assign(new Error(message), { name: type, stack }) };
    call.reject(Object.assign(call.error, { name: type, message, code, ...cause }));
  }
}
