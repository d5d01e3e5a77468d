/**
 * One HTTP request on its way through the node, and its answer on the way back. Bodies flow both ways with back pressure:
 * what the client sends is read no faster than the instance gives credit, and the instance gets credit no faster than
 * the client reads.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { LiveDeployment } from "../../contract/deployment.ts";
import type { Dispatching } from "../../contract/dispatching.ts";
import { AloftError } from "../../contract/errors.ts";
import type { Exchange, ExchangeLink } from "../../contract/exchange.ts";
import { limits } from "../../contract/limits.ts";
import { outcomeOf } from "../../contract/outcome.ts";
import { answerHeaders } from "./answer-headers.ts";
import { sendProblem } from "./problems.ts";

export interface ExchangeRequest {
  readonly live: LiveDeployment;
  readonly functionNumber: number;
  readonly invocationId: string;
  readonly requestId: string;
  readonly text: string;
  readonly arrivedAtMs: number;
  readonly startedAtMs: number;
  /** The door's own view of what it may say about the user's errors. */
  readonly showsDetail: boolean;
  readonly bodyBytesMax: number;
}

/** A body up to this is sent with the head as one string: one write instead of two. */
const inlineBodyBytes = 16 * 1024;

export class HttpExchange implements Exchange {
  readonly kind = 0;
  readonly invocationId: string;
  readonly functionNumber: number;
  readonly text: string;
  readonly arrivedAtMs: number;
  body: Buffer | null = null;
  isBodyComplete = true;
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

  readonly #request: ExchangeRequest;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #dispatching: Dispatching;
  #link: ExchangeLink | null = null;
  /** Body bytes that may be sent to the instance now. */
  #bodyRoomBytes = limits.streamWindowBytes;
  #bodyBytes = 0;
  #isUploading = false;
  #ungrantedBytes = 0;
  /** What is left of the length that a streamed answer has promised; -1: it promised none. */
  #promisedBytes = -1;
  #isWaitingForClient = false;
  #status = 0;
  #isRecorded = false;

  constructor(request: ExchangeRequest, req: IncomingMessage, res: ServerResponse, dispatching: Dispatching) {
    this.#request = request;
    this.#req = req;
    this.#res = res;
    this.#dispatching = dispatching;
    this.invocationId = request.invocationId;
    this.functionNumber = request.functionNumber;
    this.text = request.text;
    this.arrivedAtMs = request.arrivedAtMs;
    this.deadlineAtMs = request.arrivedAtMs + this.#function.limits.timeoutMs;
  }

  get #function(): LiveDeployment["manifest"]["functions"][number] {
    const found = this.#request.live.manifest.functions[this.functionNumber];
    if (found === undefined) throw new Error(`no function number ${this.functionNumber}`);
    return found;
  }

  // --- from the pool

  started(link: ExchangeLink): void {
    this.#link = link;
    if (!this.isBodyComplete) this.#upload();
  }

  head(status: number, text: string, body: Buffer | null, isComplete: boolean): void {
    const bytes = isComplete ? (body === null ? 0 : body.length) : -1;
    const headers = answerHeaders(text, bytes, this.#request.requestId, this.#res);
    if (headers === null || status < 200 || status > 599) {
      this.#refuseAnswer(headers === null ? "a header is not valid" : `${status} is not a status from 200 to 599`);
      return;
    }
    try {
      this.#res.writeHead(status, headers);
    } catch (error) {
      this.#refuseAnswer((error as Error).message);
      return;
    }
    this.#status = status;
    if (isComplete) {
      this.#finish(body);
      return;
    }
    this.#promisedBytes = this.#req.method === "HEAD" || status === 204 || status === 304 ? -1 : lengthIn(headers);
    this.#touch("idle");
    // The head goes out now: a stream's first byte may be a long way off.
    this.#res.flushHeaders();
    if (body !== null) this.bodyChunk(body, false);
  }

  bodyChunk(chunk: Buffer, isComplete: boolean): void {
    this.#touch("idle");
    if (this.#promisedBytes >= 0) {
      this.#promisedBytes -= chunk.length;
      if (this.#promisedBytes < 0 || (isComplete && this.#promisedBytes > 0)) {
        this.#breakOff(isComplete);
        return;
      }
    }
    if (isComplete) {
      this.#finish(chunk.length === 0 ? null : chunk);
      return;
    }
    if (chunk.length === 0) return;
    this.#ungrantedBytes += chunk.length;
    if (this.#res.write(chunk)) this.#grant();
    else if (!this.#isWaitingForClient) {
      this.#isWaitingForClient = true;
      this.#res.once("drain", () => {
        this.#isWaitingForClient = false;
        this.#touch("idle");
        this.#grant();
      });
    }
  }

  bodyRoom(bytes: number): void {
    this.#bodyRoomBytes += bytes;
    this.#touch(this.answer === "none" ? "head" : "idle");
    if (this.#isUploading && this.#bodyRoomBytes > 0) this.#req.resume();
  }

  failed(error: AloftError): void {
    if (this.answer === "none" || !this.#res.headersSent) {
      this.#status = error.status;
      sendProblem(this.#res, this.#shown(error), { requestId: this.#request.requestId, isClosing: this.#isUploading });
      this.#endUpload();
    } else {
      this.#cut();
    }
    this.#record(error);
  }

  ended(): void {
    this.#endUpload();
    this.#record(null);
  }

  /** An end that the door itself decides, before an instance had it. */
  refuse(error: AloftError): void {
    this.#status = error.status;
    sendProblem(this.#res, error, { requestId: this.#request.requestId, isClosing: true });
    this.#record(error);
  }

  // --- from the client

  /** The client went away. What was complete by then is not affected. */
  abandoned(): void {
    if (this.#isRecorded || this.answer === "complete") return;
    const error = new AloftError("INVOCATION_CANCELLED", "the caller went away before the answer was complete");
    if (this.#link === null) this.isSettled = true;
    else this.#link.cancel(this);
    this.#record(error);
  }

  // ---

  #upload(): void {
    this.#isUploading = true;
    this.#req.on("data", (chunk: Buffer) => {
      this.#bodyBytes += chunk.length;
      if (this.#bodyBytes > this.#request.bodyBytesMax) {
        this.#tooLarge();
        return;
      }
      if (!this.#isUploading) return;
      if (this.answer !== "none") this.#touch("idle");
      this.#link?.sendBody(this, chunk, false);
      this.#bodyRoomBytes -= chunk.length;
      if (this.#bodyRoomBytes <= 0) this.#req.pause();
    });
    this.#req.on("end", () => {
      if (!this.#isUploading) return;
      this.#isUploading = false;
      this.#link?.sendBody(this, noBytes, true);
    });
    // The door paused it until there was an instance; a listener alone does not undo that.
    this.#req.resume();
  }

  #tooLarge(): void {
    if (!this.#isUploading) {
      this.#res.destroy();
      this.#req.destroy();
      return;
    }
    this.#link?.resetBody(this);
    this.#link?.cancel(this);
    const message = `the request body is over the limit of ${this.#request.bodyBytesMax} bytes`;
    this.failed(new AloftError("BODY_TOO_LARGE", message));
  }

  /** Nobody wants the rest. It is let through all the same: a connection that is not read does not even see its end. */
  #endUpload(): void {
    if (!this.#isUploading) return;
    this.#isUploading = false;
    this.#req.resume();
  }

  /** A body that is not as long as its head says would be read as the next answer, or the next answer as its rest. */
  #breakOff(isComplete: boolean): void {
    const error = new AloftError(
      "FUNCTION_BAD_RESPONSE",
      "the answer's body is not as long as its content-length says",
    );
    this.isSettled = true;
    if (!isComplete) this.#link?.cancel(this);
    this.#cut();
    this.#record(error);
  }

  /**
   * An answer that is cut must not look complete. The end of the connection says so where chunks or a length were
   * promised; to a client of HTTP/1.0 it is the end of the body, and only a reset is not.
   */
  #cut(): void {
    if (this.#req.httpVersionMinor === 0) this.#req.socket.resetAndDestroy();
    // What was written in this turn is still held together for one write.
    else setImmediate(() => this.#res.destroy());
  }

  #finish(body: Buffer | null): void {
    const res = this.#res;
    if (body === null || this.#req.method === "HEAD") res.end();
    else if (body.length <= inlineBodyBytes) res.end(body.toString("latin1"), "latin1");
    else res.end(body);
  }

  #grant(): void {
    const bytes = this.#ungrantedBytes;
    this.#ungrantedBytes = 0;
    if (bytes > 0) this.#link?.grant(this, bytes);
  }

  #refuseAnswer(why: string): void {
    const error = new AloftError("FUNCTION_BAD_RESPONSE", `the function's answer cannot be sent: ${why}`);
    this.isSettled = true;
    if (this.answer === "head") this.#link?.cancel(this);
    this.#status = error.status;
    sendProblem(this.#res, this.#shown(error), { requestId: this.#request.requestId, isClosing: this.#isUploading });
    this.#endUpload();
    this.#record(error);
  }

  /** Moves the deadline on: from the head on it is the silence that is bounded, and the whole. */
  #touch(what: "head" | "idle"): void {
    if (what === "head") return;
    const totalAtMs = this.arrivedAtMs + limits.responseTotalMs;
    const idleAtMs = performance.now() + limits.responseIdleMs;
    this.deadlineFor = totalAtMs < idleAtMs ? "total" : "idle";
    this.deadlineAtMs = Math.min(totalAtMs, idleAtMs);
  }

  /** What a stranger may see: that it failed and under which number, not the user's own words and files. */
  #shown(error: AloftError): AloftError {
    if (this.#request.showsDetail || error.fault !== "app" || error.code === "FUNCTION_TIMEOUT") return error;
    return new AloftError(error.code, `the function failed; its logs hold invocation ${this.invocationId}`, {
      detail:
        error.detail?.["retryAfterSeconds"] === undefined
          ? undefined
          : { retryAfterSeconds: error.detail["retryAfterSeconds"] },
    });
  }

  #record(error: AloftError | null): void {
    if (this.#isRecorded) return;
    this.#isRecorded = true;
    const nowMs = performance.now();
    const { live, startedAtMs } = this.#request;
    const handedAtMs = this.handedAtMs === 0 ? nowMs : this.handedAtMs;
    const url = this.#req.url ?? "";
    const query = url.indexOf("?");
    this.#dispatching.record({
      id: this.invocationId,
      app: live.app,
      alias: live.alias,
      function: this.#function.name,
      deployment: live.deploymentId,
      trigger: "http",
      startedAtMs,
      waitUs: Math.round((handedAtMs - this.arrivedAtMs) * 1000),
      coldUs: this.coldUs,
      handlerUs: Math.round((nowMs - handedAtMs) * 1000),
      status: error === null ? this.#status : error.status,
      outcome: error === null ? "ok" : outcomeOf(error),
      attempt: 1,
      memoryBytes: this.memoryBytes,
      errorCode: error === null ? "" : error.code,
      errorMessage: error === null ? "" : error.message.slice(0, 1000),
      subject: `${this.#req.method} ${query < 0 ? url : url.slice(0, query)}`,
    });
  }
}

const noBytes = Buffer.alloc(0);

/** Of a list of names and values in turn, which `answerHeaders` has checked; -1 when it is not there. */
function lengthIn(headers: readonly string[]): number {
  const at = headers.lastIndexOf("content-length");
  return at < 0 || at % 2 !== 0 ? -1 : Number(headers[at + 1]);
}
