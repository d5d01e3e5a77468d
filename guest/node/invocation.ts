/**
 * One invocation inside the guest.
 *
 *     fresh -> begun -> answered -> ended
 *
 * fresh: received, no handler called, may be taken back. begun: the handler may act. answered: the answer has left,
 * `waitUntil` promises are still open. ended: the node knows the outcome; whatever comes later is ignored.
 */
import type { Context } from "../../sdk/index.ts";
import { InvokeKind } from "../../src/wire/frames.ts";
import type { BodySource } from "./body.ts";

export interface Identity {
  readonly app: string;
  readonly alias: string;
  readonly deployment: string;
}

/** Lines of the invoke text before the headers; `src/wire/messages.ts` names them. */
const textLines = 8;

export class Invocation {
  readonly stream: number;
  readonly kind: number;
  readonly functionNumber: number;
  readonly source: BodySource | null;
  readonly deadlineMs: number;
  state: "fresh" | "begun" | "answered" | "ended" = "fresh";
  /** Of an event; null for others. */
  idempotencyKey: string | null = null;
  /** Promises given to `waitUntil` that have not settled. */
  openWaits = 0;
  /** Body bytes that may be sent before the node must give credit. */
  credit: number;
  wakeCredit: (() => void) | null = null;
  /** Writes to state that have begun and not settled; null: none ever has. */
  #openWrites: Set<Promise<unknown>> | null = null;
  readonly #lines: readonly string[];
  #controller: AbortController | null = null;
  #abortReason: Error | null = null;

  constructor(
    stream: number,
    kind: number,
    functionNumber: number,
    text: string,
    timeoutMs: number,
    source: BodySource | null,
    windowBytes: number,
  ) {
    this.stream = stream;
    this.kind = kind;
    this.functionNumber = functionNumber;
    this.source = source;
    this.deadlineMs = Date.now() + timeoutMs;
    this.credit = windowBytes;
    this.#lines = text.split("\n");
  }

  get id(): string {
    return this.#lines[0] ?? "";
  }

  get traceparent(): string {
    return this.#lines[1] ?? "";
  }

  get attempt(): number {
    return Number(this.#lines[2] ?? "1");
  }

  get method(): string {
    return this.#lines[3] ?? "GET";
  }

  get url(): string {
    return `${this.#lines[4] ?? ""}${this.#lines[5] ?? ""}`;
  }

  get remoteAddress(): string {
    return this.#lines[6] ?? "";
  }

  /** Name, value, name, value, ...; names in lower case. */
  get headers(): readonly string[] {
    return this.#lines.slice(textLines);
  }

  get params(): Record<string, string> {
    const text = this.#lines[7] ?? "";
    const params: Record<string, string> = {};
    if (text === "") return params;
    for (const pair of text.split("&")) {
      const at = pair.indexOf("=");
      params[decodeURIComponent(pair.slice(0, at))] = decodeURIComponent(pair.slice(at + 1));
    }
    return params;
  }

  addWrite(write: Promise<unknown>): void {
    this.#openWrites ??= new Set();
    const open = this.#openWrites;
    const settled: Promise<unknown> = write.then(
      () => open.delete(settled),
      () => open.delete(settled),
    );
    open.add(settled);
  }

  get hasOpenWrites(): boolean {
    return this.#openWrites !== null && this.#openWrites.size > 0;
  }

  /** Resolves when no write that has begun is open, and rejections of these that nobody awaits have been reported. */
  async settleWrites(): Promise<void> {
    if (!this.hasOpenWrites) return;
    while (this.hasOpenWrites) await Promise.all([...(this.#openWrites ?? [])]);
    await new Promise((resolve) => setImmediate(resolve));
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#abortReason !== null) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  abort(reason: Error): void {
    this.#abortReason ??= reason;
    this.#controller?.abort(reason);
    this.source?.fail(reason);
    this.wake();
  }

  get isAborted(): boolean {
    return this.#abortReason !== null;
  }

  wake(): void {
    const wake = this.wakeCredit;
    this.wakeCredit = null;
    wake?.();
  }
}

/** What handlers get as their context; nothing is computed before it is asked for. */
export class InvocationContext implements Context {
  readonly #invocation: Invocation;
  readonly #identity: Identity;
  readonly #functionName: string;
  readonly #onWait: (invocation: Invocation, promise: Promise<unknown>) => void;
  #params: Record<string, string> | null = null;

  constructor(
    invocation: Invocation,
    identity: Identity,
    functionName: string,
    onWait: (invocation: Invocation, promise: Promise<unknown>) => void,
  ) {
    this.#invocation = invocation;
    this.#identity = identity;
    this.#functionName = functionName;
    this.#onWait = onWait;
    // Handlers take their context apart: `{ waitUntil }` must work without `this`.
    this.waitUntil = (promise) => this.#onWait(this.#invocation, Promise.resolve(promise));
  }

  readonly waitUntil: (promise: Promise<unknown>) => void;

  get params(): Record<string, string> {
    this.#params ??= this.#invocation.params;
    return this.#params;
  }

  get signal(): AbortSignal {
    return this.#invocation.signal;
  }

  get invocationId(): string {
    return this.#invocation.id;
  }

  get traceparent(): string {
    return this.#invocation.traceparent;
  }

  get attempt(): number {
    return this.#invocation.attempt;
  }

  get idempotencyKey(): string {
    return this.#invocation.idempotencyKey ?? this.#invocation.id;
  }

  get deadline(): number {
    return this.#invocation.deadlineMs;
  }

  get remoteAddress(): string {
    return this.#invocation.remoteAddress;
  }

  get app(): string {
    return this.#identity.app;
  }

  get deployment(): string {
    return this.#identity.deployment;
  }

  get function(): string {
    return this.#functionName;
  }

  /** JSON that the caller of a call by name said beside the payload; "" for none. Requests have headers of their own. */
  saidByCaller(header: string): string {
    if (this.#invocation.kind !== InvokeKind.call) return "";
    const { headers } = this.#invocation;
    const at = headers.indexOf(header);
    return at < 0 || at % 2 !== 0 ? "" : Buffer.from(headers[at + 1] ?? "", "base64").toString();
  }
}
