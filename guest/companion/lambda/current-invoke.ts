/**
 * The invocation that an environment works on: what it was given, what came of it, and the times that reports are made of.
 * Answered once; whatever comes later is refused by the state of the runtime.
 */
import type { IncomingMessage } from "node:http";
import { functionErrorFrom } from "./error-type.ts";
import { errorResult, type Invoke, type InvokeResult, StreamedError } from "./invoke.ts";

const typeTrailer = "lambda-runtime-function-error-type";
const bodyTrailer = "lambda-runtime-function-error-body";

export class CurrentInvoke {
  readonly invoke: Invoke;
  readonly result: Promise<InvokeResult>;
  readonly startedAtMs = performance.now();
  /** The runtime has it. */
  isHanded = false;
  /** When the runtime began to answer, when it had answered; 0 before. */
  answeringAtMs = 0;
  answeredAtMs = 0;
  producedBytes = 0;
  /** "" when all went well. */
  errorType = "";
  readonly #resolve: (result: InvokeResult) => void;
  #isAnswered = false;
  #breakOff: ((error: Error) => void) | null = null;

  constructor(invoke: Invoke) {
    this.invoke = invoke;
    const { promise, resolve } = Promise.withResolvers<InvokeResult>();
    this.result = promise;
    this.#resolve = resolve;
  }

  /** The result has been given, though a stream may still run. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  answer(result: InvokeResult): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.answeringAtMs ||= performance.now();
    if (result.kind === "response") this.producedBytes = result.body.length;
    if (result.kind === "error") this.errorType = result.error.errorType;
    if (result.kind !== "stream") this.answeredAtMs = performance.now();
    this.#resolve(result);
  }

  /** Answers with the body of `request` as it comes, and resolves when all of it has been taken or nobody wants more. */
  async stream(request: IncomingMessage, contentType: string): Promise<"complete" | "truncated"> {
    const { promise, resolve } = Promise.withResolvers<"complete" | "truncated">();
    this.answer({ kind: "stream", contentType, body: this.#bodyOf(request, resolve) });
    const end = await promise;
    this.answeredAtMs = performance.now();
    return end;
  }

  async *#bodyOf(request: IncomingMessage, ended: (end: "complete" | "truncated") => void): AsyncIterable<Buffer> {
    let end: "complete" | "truncated" = "complete";
    this.#breakOff = (error) => request.destroy(error);
    try {
      // Whoever stops reading does not break the runtime's connection.
      for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        this.producedBytes += chunk.length;
        yield chunk;
      }
      if (!request.complete) throw truncated();
    } catch (error) {
      end = "truncated";
      const thrown = error instanceof StreamedError ? error : truncated();
      this.errorType = thrown.error.errorType;
      throw thrown;
    } finally {
      this.#breakOff = null;
      // Nobody wants the rest: it is let through, so that the runtime comes to its end.
      if (!request.readableEnded && !request.destroyed) request.resume();
      ended(end);
    }
    const failure = trailerError(request);
    if (failure === null) return;
    this.errorType = failure.error.errorType;
    throw failure;
  }

  /** The environment fails: an answer that has begun breaks off, any other is this error. */
  fail(errorType: string, errorMessage: string): void {
    this.errorType = errorType;
    if (!this.#isAnswered) {
      this.answer(errorResult(errorType, errorMessage));
      return;
    }
    this.#breakOff?.(new StreamedError({ errorType, errorMessage, stackTrace: [] }));
  }
}

function truncated(): StreamedError {
  const errorMessage = "the runtime broke its answer off";
  return new StreamedError({ errorType: "Runtime.TruncatedResponse", errorMessage, stackTrace: [] });
}

/** What went wrong in the middle stands behind the body: the type, and the error as JSON in base64. */
function trailerError(request: IncomingMessage): StreamedError | null {
  const type = request.trailers[typeTrailer] ?? "";
  const body = request.trailers[bodyTrailer] ?? "";
  if (type === "" && body === "") return null;
  return new StreamedError(functionErrorFrom(Buffer.from(body, "base64").toString(), type || "Runtime.Unknown"));
}
