/**
 * An invocation by name: a payload in, the whole answer out. A `fn`, a Lambda handler or an event handler gets the
 * payload as its JSON value; an http function gets a POST to its first route with the payload as the body.
 */
import type { FunctionSpec, HandlerStyle, LiveDeployment } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import type { Exchange, ExchangeLink } from "../contract/exchange.ts";
import type { CallResult } from "../contract/invoking.ts";
import { limits } from "../contract/limits.ts";
import type { InvocationRecord } from "../contract/observing.ts";
import type { Clock } from "../lib/clock.ts";
import { traceparent } from "../lib/ids.ts";
import { outcomeOf } from "../contract/outcome.ts";

export interface CallExchangeOptions {
  readonly live: LiveDeployment;
  readonly spec: FunctionSpec;
  readonly functionNumber: number;
  readonly trigger: "invoke" | "call";
  readonly invocationId: string;
  readonly traceparent: string | null;
  readonly payload: Buffer;
  /** Monotonic. */
  readonly arrivedAtMs: number;
  /** Epoch. */
  readonly startedAtMs: number;
  readonly clock: Clock;
  readonly record: (record: InvocationRecord) => void;
}

/** Handlers that take a request; the others take a value. */
const requestStyles: ReadonlySet<HandlerStyle> = new Set<HandlerStyle>([
  "http",
  "fetch",
  "ff-http",
  "asgi",
  "wsgi",
  "server",
]);

export class CallExchange implements Exchange {
  readonly result: Promise<CallResult>;
  readonly invocationId: string;
  readonly kind: number;
  readonly functionNumber: number;
  readonly text: string;
  readonly body: Buffer | null;
  readonly isBodyComplete: boolean;
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

  readonly #options: CallExchangeOptions;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #status = 200;
  #contentType = "";
  #link: ExchangeLink | null = null;
  #unsent: Buffer | null = null;
  #roomBytes = limits.streamWindowBytes;
  #answeredAtMs = 0;
  #resolve: (result: CallResult) => void = () => {};
  #reject: (error: AloftError) => void = () => {};

  constructor(options: CallExchangeOptions) {
    this.#options = options;
    const { spec, payload } = options;
    const takesRequest = requestStyles.has(spec.style);
    this.invocationId = options.invocationId;
    this.kind = takesRequest ? 0 : 1;
    this.functionNumber = options.functionNumber;
    this.arrivedAtMs = options.arrivedAtMs;
    this.deadlineAtMs = options.arrivedAtMs + spec.limits.timeoutMs;
    this.text = textFor(options, takesRequest);
    const fits = payload.length <= limits.requestInlineBytes;
    this.body = fits ? payload : null;
    this.isBodyComplete = fits;
    this.#unsent = fits ? null : payload;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (payload.length > limits.payloadBytes) {
      this.isSettled = true;
      this.failed(
        new AloftError(
          "BODY_TOO_LARGE",
          `the payload of ${payload.length} bytes is over the limit of ${limits.payloadBytes}`,
        ),
      );
    }
  }

  /** The caller does not wait any longer. */
  abandon(): void {
    if (this.#answeredAtMs > 0 || this.isSettled) return;
    if (this.#link === null) this.isSettled = true;
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
    if (this.#bytes > limits.payloadBytes) {
      this.isSettled = true;
      this.#link?.cancel(this);
      this.failed(
        new AloftError("FUNCTION_BAD_RESPONSE", `the answer is over the limit of ${limits.payloadBytes} bytes`),
      );
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
    this.#record(error);
    this.#reject(error);
  }

  /** The record was written with the answer; what `waitUntil` did after it is in the logs. */
  ended(): void {}

  #answered(): void {
    this.#answeredAtMs = this.#options.clock.monotonicMs();
    this.#record(null);
    this.#resolve({
      invocationId: this.invocationId,
      cold: this.coldUs > 0,
      waitUs: this.#waitUs(),
      handlerUs: this.#handlerUs(),
      status: this.#status,
      contentType: this.#contentType,
      body: Buffer.concat(this.#chunks),
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

  #waitUs(): number {
    const untilMs = this.handedAtMs === 0 ? this.#answeredAtMs : this.handedAtMs;
    return Math.round((untilMs - this.arrivedAtMs) * 1000);
  }

  #handlerUs(): number {
    return this.handedAtMs === 0 ? 0 : Math.round((this.#answeredAtMs - this.handedAtMs) * 1000);
  }

  #record(error: AloftError | null): void {
    const { live, spec, trigger, startedAtMs, record } = this.#options;
    record({
      id: this.invocationId,
      app: live.app,
      alias: live.alias,
      function: spec.name,
      deployment: live.deploymentId,
      trigger,
      startedAtMs,
      waitUs: this.#waitUs(),
      coldUs: this.coldUs,
      handlerUs: this.#handlerUs(),
      status: error === null ? this.#status : error.status,
      outcome: error === null ? "ok" : outcomeOf(error),
      attempt: 1,
      memoryBytes: this.memoryBytes,
      errorCode: error === null ? "" : error.code,
      errorMessage: error === null ? "" : error.message.slice(0, 1000),
      subject: "",
    });
  }
}

const noBytes = Buffer.alloc(0);

function textFor(options: CallExchangeOptions, takesRequest: boolean): string {
  const { invocationId, spec, payload } = options;
  const trace = traceparent(options.traceparent, invocationId);
  const route = spec.triggers.find((one) => one.kind === "http");
  const method = takesRequest && route !== undefined && route.method !== "*" ? route.method : "POST";
  const path = takesRequest && route !== undefined ? plainPath(route.path) : "/";
  const lines = [invocationId, trace, "1", method, "http://localhost", path, "127.0.0.1", ""];
  if (takesRequest) lines.push("host", "localhost", "content-length", String(payload.length));
  if (takesRequest && payload.length > 0) lines.push("content-type", contentTypeOf(payload));
  return lines.join("\n");
}

/** A route's path as one that it matches: `/files/*` -> `/files/`, `/links/:id` stays as it is and gets ":id" as the id. */
function plainPath(path: string): string {
  return path.endsWith("*") ? path.slice(0, -1) : path;
}

function contentTypeOf(payload: Buffer): string {
  const first = payload.toString("latin1", 0, 100).trimStart()[0] ?? "";
  return '{["-0123456789tfn'.includes(first) ? "application/json" : "text/plain; charset=utf-8";
}

function contentTypeIn(headers: string): string {
  const pairs = headers.split("\n");
  for (let at = 0; at < pairs.length; at += 2) if (pairs[at] === "content-type") return pairs[at + 1] ?? "";
  return "";
}
