/**
 * The Runtime API, 2018-06-01: what one runtime asks, and what it is told. It holds the runtime's state; who starts and
 * ends the process is `environment.ts`.
 *
 * Order of the checks as on AWS: first the request id (400), then the state (403), then the body (400, 413).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { CurrentInvoke } from "./current-invoke.ts";
import { type FunctionError, functionErrorFrom, functionErrorType } from "./error-type.ts";
import { errorResult, type Invoke } from "./invoke.ts";
import { header, readBody, sendAccepted, sendError, sendForbidden, sendInvalidRequestId } from "./reply.ts";
import { askedState, nextRuntimeState, type RuntimeEvent, type RuntimeState } from "./runtime-states.ts";

/** Of an answer that is not streamed: 6 MiB, and 100 bytes for what wraps it. As AWS. */
export const responseBytesMax = 6 * 1024 * 1024 + 100;
/** Of an error's body; AWS has no number of its own for it. */
const errorBytesMax = responseBytesMax;

const causeContentType = "application/vnd.aws.lambda.error.cause+json";

export interface RuntimeEvents {
  /** It has asked for the next event: its start is over, or its last invocation. */
  runtimeReady(): void;
  initFailed(error: FunctionError): void;
  /** The answer has been taken in whole. */
  runtimeAnswered(): void;
}

export class RuntimeSide {
  readonly #events: RuntimeEvents;
  #state: RuntimeState = "Started";
  /** Requests for the next event that wait, oldest first. */
  #waiting: ServerResponse[] = [];
  #current: CurrentInvoke | null = null;

  constructor(events: RuntimeEvents) {
    this.#events = events;
  }

  get state(): RuntimeState {
    return this.#state;
  }

  /** A new process begins: nothing of the former one counts any more. */
  begin(): void {
    this.#dropWaiting();
    this.#state = "Started";
    this.#current = null;
  }

  /** Whoever waits is cut off. */
  close(): void {
    this.#dropWaiting();
  }

  #dropWaiting(): void {
    for (const response of this.#waiting) response.destroy();
    this.#waiting = [];
  }

  /** Hands it to the runtime, which must be Ready. */
  give(invoke: Invoke): CurrentInvoke {
    const current = new CurrentInvoke(invoke);
    this.#current = current;
    this.#hand();
    return current;
  }

  /** The invocation is over: its id is of no use any more. */
  release(): void {
    this.#current = null;
  }

  #hand(): void {
    const current = this.#current;
    if (current === null || current.isHanded || this.#state !== "Ready") return;
    const response = this.#waiting.shift();
    if (response === undefined) return;
    current.isHanded = true;
    this.#state = "Running";
    sendInvoke(response, current.invoke);
  }

  // --- requests

  next(response: ServerResponse): void {
    const state = this.#transit(response, "next");
    if (state === null) return;
    if (state === "Running") {
      if (this.#current !== null) sendInvoke(response, this.#current.invoke);
      return;
    }
    this.#waiting.push(response);
    response.once("close", () => {
      this.#waiting = this.#waiting.filter((one) => one !== response);
    });
    this.#events.runtimeReady();
    this.#hand();
  }

  async response(requestId: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const current = this.#currentOf(requestId, request, response);
    if (current === null || this.#transit(response, "response", request) === null) return;
    const contentType = header(request, "content-type");
    const mode = header(request, "lambda-runtime-function-response-mode");
    current.answeringAtMs = performance.now();
    if (mode === "streaming") {
      const end = await current.stream(request, contentType === "" ? "application/octet-stream" : contentType);
      this.#sent(current);
      if (end === "complete") sendAccepted(response);
      else sendError(response, 400, "TruncatedHTTPRequest", "HTTP request detected as truncated");
      return;
    }
    if (mode !== "") {
      request.resume();
      current.answer(errorResult("Runtime.InvalidResponseModeHeader", `no such response mode: ${mode.slice(0, 100)}`));
      this.#sent(current);
      sendError(response, 400, "InvalidFunctionResponseMode", "Invalid function response mode");
      return;
    }
    await this.#buffered(current, request, response, contentType);
  }

  async #buffered(
    current: CurrentInvoke,
    request: IncomingMessage,
    response: ServerResponse,
    contentType: string,
  ): Promise<void> {
    let body: Buffer | null;
    try {
      body = await readBody(request, responseBytesMax);
    } catch {
      current.answer(errorResult("Runtime.TruncatedResponse", "the runtime broke its answer off"));
      this.#sent(current);
      response.destroy();
      return;
    }
    if (body === null) {
      current.answer(errorResult("Function.ResponseSizeTooLarge", tooLargeMessage));
      this.#sent(current);
      sendError(
        response,
        413,
        "RequestEntityTooLarge",
        `Exceeded maximum allowed payload size (${responseBytesMax} bytes).`,
      );
      return;
    }
    current.answer({ kind: "response", contentType, body });
    this.#sent(current);
    sendAccepted(response);
  }

  async error(requestId: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const current = this.#currentOf(requestId, request, response);
    if (current === null || this.#transit(response, "error", request) === null) return;
    current.answeringAtMs = performance.now();
    const type = functionErrorType(header(request, "lambda-runtime-function-error-type"));
    const body = await readBody(request, errorBytesMax).catch(() => null);
    const payload = errorPayload(body ?? Buffer.alloc(0), header(request, "content-type"));
    current.answer({ kind: "error", error: functionErrorFrom(payload.toString(), type), payload });
    current.errorType = type;
    this.#sent(current);
    sendAccepted(response);
  }

  async initError(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#transit(response, "initError", request) === null) return;
    const type = functionErrorType(header(request, "lambda-runtime-function-error-type"));
    const body = await readBody(request, errorBytesMax).catch(() => null);
    sendAccepted(response);
    this.#events.initFailed(functionErrorFrom(body?.toString() ?? "", type));
  }

  /** There are no snapshots here: a runtime that prepares for one goes on at once, as after it. */
  restoreNext(response: ServerResponse): void {
    if (this.#transit(response, "restoreNext") === null) return;
    this.#state = nextRuntimeState(this.#state, "restore") ?? this.#state;
    response.writeHead(200, { "Content-Length": 0 });
    response.end();
  }

  async restoreError(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#transit(response, "restoreError", request) === null) return;
    const type = functionErrorType(header(request, "lambda-runtime-function-error-type"));
    const body = await readBody(request, errorBytesMax).catch(() => null);
    sendAccepted(response);
    this.#events.initFailed(functionErrorFrom(body?.toString() ?? "", type));
  }

  #currentOf(requestId: string, request: IncomingMessage, response: ServerResponse): CurrentInvoke | null {
    if (this.#current?.invoke.requestId === requestId) return this.#current;
    request.resume();
    sendInvalidRequestId(response);
    return null;
  }

  #sent(current: CurrentInvoke): void {
    // Its process may have been ended while it was answering.
    if (this.#current !== current) return;
    this.#state = nextRuntimeState(this.#state, "sent") ?? this.#state;
    this.#events.runtimeAnswered();
  }

  /** The new state; null when the request was refused. */
  #transit(
    response: ServerResponse,
    event: keyof typeof askedState & RuntimeEvent,
    request?: IncomingMessage,
  ): RuntimeState | null {
    const state = nextRuntimeState(this.#state, event);
    if (state !== null) {
      this.#state = state;
      return state;
    }
    request?.resume();
    sendForbidden(
      response,
      "InvalidStateTransition",
      `State transition from ${this.#state} to ${askedState[event]} failed for runtime. Error: State transition is not allowed`,
    );
    return null;
  }
}

const tooLargeMessage = `Response payload size exceeded maximum allowed payload size (${responseBytesMax} bytes).`;

/** What callers get to read: errors sent with their cause lose it, for it goes to X-Ray alone. */
function errorPayload(body: Buffer, contentType: string): Buffer {
  if (contentType !== causeContentType) return body;
  try {
    const { errorMessage, errorType, stackTrace } = JSON.parse(body.toString()) as Record<string, unknown>;
    return Buffer.from(JSON.stringify({ errorMessage, errorType, stackTrace }));
  } catch {
    return Buffer.from(JSON.stringify("Invalid error body"));
  }
}

function sendInvoke(response: ServerResponse, invoke: Invoke): void {
  const optional: readonly [string, string][] = [
    ["Lambda-Runtime-Trace-Id", invoke.traceId],
    ["Lambda-Runtime-Client-Context", utf8(invoke.clientContext)],
    ["Lambda-Runtime-Cognito-Identity", utf8(invoke.cognitoIdentity)],
  ];
  response.writeHead(200, {
    "Content-Type": invoke.contentType === "" ? "application/json" : invoke.contentType,
    "Lambda-Runtime-Aws-Request-Id": invoke.requestId,
    "Lambda-Runtime-Deadline-Ms": String(invoke.deadlineMs),
    "Lambda-Runtime-Invoked-Function-Arn": invoke.functionArn,
    ...Object.fromEntries(optional.filter(([, value]) => value !== "")),
    "Content-Length": invoke.event.length,
  });
  response.end(invoke.event);
}

/** Headers are written as latin1, a character a byte: so the bytes on the wire are those of UTF-8, as AWS writes them. */
function utf8(text: string): string {
  return Buffer.from(text).toString("latin1");
}
