/**
 * An invocation whose payload is at hand and whose whole answer is gathered: calls by name, and deliveries of events. What
 * becomes of the answer is the caller's own.
 */
import { AloftError } from "../contract/errors.ts";
import type { Exchange, ExchangeLink } from "../contract/exchange.ts";
import { limits } from "../contract/limits.ts";
import type { Clock } from "../lib/clock.ts";
import type { Overlay } from "../wire/overlay.ts";

export interface GatheredAnswer {
  /** HTTP status of the answer: 200 for calls that are not http. */
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
  readonly waitUs: number;
  readonly handlerUs: number;
}

export interface GatheredExchangeOptions {
  /** Of an event that a program handles. */
  readonly held?: Overlay | null;
  readonly invocationId: string;
  /** `InvokeKind` of the wire. */
  readonly kind: number;
  readonly functionNumber: number;
  readonly text: string;
  readonly payload: Buffer;
  readonly answerBytesMax: number;
  /** Monotonic. */
  readonly arrivedAtMs: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly onAnswered: (answer: GatheredAnswer) => void;
  /** Instead of onAnswered. The handler may still run: `onClosed` says when it certainly does not. */
  readonly onFailed: (error: AloftError) => void;
  /** No handler of this invocation runs any more, or ever will. Comes once, after the other two. */
  readonly onClosed?: () => void;
}

export class GatheredExchange implements Exchange {
  readonly invocationId: string;
  readonly kind: number;
  readonly functionNumber: number;
  readonly text: string;
  readonly body: Buffer | null;
  readonly isBodyComplete: boolean;
  readonly held: Overlay | null;
  readonly arrivedAtMs: number;
  deadlineAtMs: number;
  deadlineFor: "head" | "idle" | "total" = "head";
  handedAtMs = 0;
  coldUs = 0;
  memoryBytes = 0;
  stream = 0;
  handovers = 0;
  hasBegun = false;
  answer: "none" | "head" | "complete" = "none";
  answerRoomBytes = 0;
  isSettled = false;
  cancelledAtMs = 0;

  readonly #options: GatheredExchangeOptions;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #status = 200;
  #contentType = "";
  #link: ExchangeLink | null = null;
  #unsent: Buffer | null = null;
  #roomBytes = limits.streamWindowBytes;
  #answeredAtMs = 0;
  #isClosed = false;

  constructor(options: GatheredExchangeOptions) {
    const { payload } = options;
    this.#options = options;
    this.invocationId = options.invocationId;
    this.kind = options.kind;
    this.functionNumber = options.functionNumber;
    this.text = options.text;
    this.held = options.held ?? null;
    this.arrivedAtMs = options.arrivedAtMs;
    this.deadlineAtMs = options.arrivedAtMs + options.timeoutMs;
    const fits = payload.length <= limits.requestInlineBytes;
    this.body = fits ? payload : null;
    this.isBodyComplete = fits;
    this.#unsent = fits ? null : payload;
  }

  /** Refuses a payload over the limit; to be called before it is submitted. false: it has failed. */
  checkPayload(bytesMax: number): boolean {
    const { length } = this.#options.payload;
    if (length <= bytesMax) return true;
    this.isSettled = true;
    this.failed(new AloftError("BODY_TOO_LARGE", `the payload of ${length} bytes is over the limit of ${bytesMax}`));
    return false;
  }

  /** The caller does not wait any longer. */
  abandon(): void {
    if (this.#answeredAtMs > 0 || this.isSettled) return;
    if (this.#link === null || this.stream === 0) this.isSettled = true;
    else this.#link.cancel(this);
    this.failed(new AloftError("INVOCATION_CANCELLED", "the caller went away before the answer was complete"));
  }

  started(link: ExchangeLink): void {
    this.#link = link;
    this.#sendMore();
  }

  bodyRoom(bytes: number): void {
    this.#roomBytes += bytes;
    this.#sendMore();
  }

  head(status: number, headers: string, body: Buffer | null, isComplete: boolean): void {
    this.#status = status;
    this.#contentType = contentTypeIn(headers);
    this.bodyChunk(body ?? noBytes, isComplete);
  }

  bodyChunk(chunk: Buffer, isComplete: boolean): void {
    this.#bytes += chunk.length;
    const { answerBytesMax } = this.#options;
    if (this.#bytes > answerBytesMax) {
      this.isSettled = true;
      this.#link?.cancel(this);
      this.failed(new AloftError("FUNCTION_BAD_RESPONSE", `the answer is over the limit of ${answerBytesMax} bytes`));
      return;
    }
    if (chunk.length > 0) {
      this.#chunks.push(Buffer.from(chunk));
      if (!isComplete) this.#link?.grant(this, chunk.length);
    }
    if (isComplete) this.#answered();
  }

  failed(error: AloftError): void {
    if (this.#answeredAtMs > 0) return;
    this.#answeredAtMs = this.#options.clock.monotonicMs();
    this.#options.onFailed(error);
    // In no instance, so nothing runs.
    if (this.stream === 0) this.closed();
  }

  /** All was told with the answer; what `waitUntil` did after it is in the logs. */
  ended(): void {}

  closed(): void {
    if (this.#isClosed || this.#answeredAtMs === 0) return;
    this.#isClosed = true;
    this.#options.onClosed?.();
  }

  /** Microseconds until an instance had it. */
  get waitUs(): number {
    const untilMs = this.handedAtMs === 0 ? this.#answeredAtMs : this.handedAtMs;
    return Math.round((untilMs - this.arrivedAtMs) * 1000);
  }

  get handlerUs(): number {
    return this.handedAtMs === 0 ? 0 : Math.round((this.#answeredAtMs - this.handedAtMs) * 1000);
  }

  #answered(): void {
    this.#answeredAtMs = this.#options.clock.monotonicMs();
    const [first] = this.#chunks;
    this.#options.onAnswered({
      status: this.#status,
      contentType: this.#contentType,
      body: this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks),
      waitUs: this.waitUs,
      handlerUs: this.handlerUs,
    });
  }

  #sendMore(): void {
    while (this.#unsent !== null && this.#roomBytes > 0 && this.#link !== null) {
      const part = this.#unsent.subarray(0, this.#roomBytes);
      this.#roomBytes -= part.length;
      const rest = this.#unsent.subarray(part.length);
      this.#unsent = rest.length === 0 ? null : rest;
      this.#link.sendBody(this, part, this.#unsent === null);
    }
  }
}

const noBytes = Buffer.alloc(0);

function contentTypeIn(headers: string): string {
  const pairs = headers.split("\n");
  for (let at = 0; at < pairs.length; at += 2) if (pairs[at] === "content-type") return pairs[at + 1] ?? "";
  return "";
}
