/**
 * One invocation on its way through the node: what the dispatcher and the pool need to know of it, and what they tell
 * it. A door makes one for each request, so it is a plain object with fields that are set as it goes, and callbacks
 * instead of promises.
 *
 *     submitted -> [waiting] -> begun by an instance -> head -> body ... -> ended
 *                                                    \-> failed (before the head: an error answer; after: cut)
 */
import type { Overlay } from "../wire/overlay.ts";
import type { AloftError } from "./errors.ts";

export interface Exchange {
  readonly invocationId: string;
  /** `InvokeKind` of the wire: 0 a request, 1 a value. */
  readonly kind: number;
  /** Number of the function in its manifest. */
  readonly functionNumber: number;
  /** The invoke frame's text (`src/wire/messages.ts`). */
  readonly text: string;
  /** First body bytes, at most what fits an invoke frame; null: none yet. */
  readonly body: Buffer | null;
  /** `body` is all there is. */
  readonly isBodyComplete: boolean;
  /** Of an event that a program handles: what it writes through the local API is held here until its outcome. */
  readonly held?: Overlay | null;

  /** Monotonic milliseconds. Set by whoever changes what is waited for; the pool fails an exchange that is past it. */
  deadlineAtMs: number;
  /** Why the deadline would strike: which error it becomes. */
  deadlineFor: "head" | "idle" | "total";

  /** Monotonic milliseconds; 0 until it happened. */
  readonly arrivedAtMs: number;
  handedAtMs: number;
  /** Microseconds of an instance's start that this exchange waited for. */
  coldUs: number;
  memoryBytes: number;

  /** The pool's own. The stream it runs on; 0 while none. */
  stream: number;
  /** How often it was given to an instance. */
  handovers: number;
  /** Its handler may have acted: it must never be run again. */
  hasBegun: boolean;
  /** How far the answer has come; `cut`: it ended without being complete. */
  answer: "none" | "head" | "complete" | "cut";
  /** Bytes of the answer that the instance may still send before it gets credit. */
  answerRoomBytes: number;
  /** Nobody waits for it any more; what the instance still says of it is dropped. */
  isSettled: boolean;
  /** When the instance was told to abort it; 0: it was not. */
  cancelledAtMs: number;

  /** An instance has it now. From here on body bytes may be sent through `link`. */
  started(link: ExchangeLink): void;
  head(status: number, headers: string, body: Buffer | null, isComplete: boolean): void;
  /** The bytes are the receiver's. */
  bodyChunk(chunk: Buffer, isComplete: boolean): void;
  /** The instance has room for more of the request's body. */
  bodyRoom(bytes: number): void;
  /** Ends it, at any point before `ended`. */
  failed(error: AloftError): void;
  /** The invocation is over and went well, `waitUntil` included. Not called after `failed`. */
  ended(): void;
  /** After that or `failed`: its handler runs no more, for the instance has said so or is gone. */
  closed?(): void;
}

/** How a started exchange talks back to its instance. */
export interface ExchangeLink {
  sendBody(exchange: Exchange, chunk: Uint8Array, isComplete: boolean): void;
  /** The request's body ended without being complete. */
  resetBody(exchange: Exchange): void;
  /** The receiver of the answer has room for more. */
  grant(exchange: Exchange, bytes: number): void;
  /** The caller is gone. */
  cancel(exchange: Exchange): void;
}
