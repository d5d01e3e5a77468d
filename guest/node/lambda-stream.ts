/**
 * Streamed answers of Lambda handlers: the global `awslambda`, as AWS's Node runtime has it, and how a handler wrapped by
 * it is called.
 *
 *     export const handler = awslambda.streamifyResponse(async (event, responseStream, context) => {
 *       const stream = awslambda.HttpResponseStream.from(responseStream, { statusCode: 200, headers: { ... } });
 *       stream.write("...");
 *       stream.end();
 *     });
 */
import { Transform, type Writable } from "node:stream";
import type { Context } from "../../sdk/index.ts";
import { lambdaError, setTraceId } from "./lambda-call.ts";
import { type LambdaContext, lambdaContext } from "./lambda-context.ts";
import { headFromMetadata } from "./lambda-response.ts";

export type StreamingHandler = (event: unknown, stream: Writable, context: LambdaContext) => unknown;

/** The mark AWS's runtime uses, so that wrappers that know it work. */
const streamingKey = Symbol.for("aws.lambda.runtime.handler.streaming");
const highWaterMarkKey = Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark");

const awslambda = {
  streamifyResponse(handler: StreamingHandler, options?: { highWaterMark?: number }): StreamingHandler {
    return Object.assign(handler, { [streamingKey]: "response", [highWaterMarkKey]: options?.highWaterMark });
  },
  HttpResponseStream: {
    from(stream: Writable, metadata: unknown): Writable {
      if (stream instanceof ResponseStream) stream.setMetadata(metadata);
      return stream;
    },
  },
};

/** Must be there before the code is imported, for it is used while modules are evaluated. */
export function installAwsLambda(): void {
  Object.defineProperty(globalThis, "awslambda", { value: awslambda, writable: true, configurable: true });
}

export function isStreaming(value: unknown): value is StreamingHandler {
  return typeof value === "function" && streamingKey in value;
}

/** Resolves with the head, which leaves with the first byte; the handler goes on while its answer is sent. */
export function answerStreaming(handler: StreamingHandler, event: unknown, context: Context): Promise<Response> {
  return new Promise((resolve, reject) => {
    const stream: ResponseStream = new ResponseStream(highWaterMarkOf(handler), () => {
      try {
        resolve(responseOf(stream));
      } catch (error) {
        reject(error);
        stream.destroy();
      }
    });
    stream.on("error", reject);
    context.signal.addEventListener("abort", () => stream.destroy(lambdaError(context.signal.reason)), { once: true });
    run(handler, event, stream, context);
  });
}

/** All that the handler writes, as a value: JSON where it is JSON, else text. */
export async function callStreaming(handler: StreamingHandler, event: unknown, context: Context): Promise<unknown> {
  const stream = new ResponseStream(highWaterMarkOf(handler), () => {});
  run(handler, event, stream, context);
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function highWaterMarkOf(handler: StreamingHandler): number | undefined {
  return (handler as { [highWaterMarkKey]?: number })[highWaterMarkKey];
}

function run(handler: StreamingHandler, event: unknown, stream: ResponseStream, context: Context): void {
  const finish = (error?: unknown): void => {
    if (error === undefined || error === null) stream.end();
    else stream.destroy(lambdaError(error));
  };
  setTraceId(context);
  const running = (async () => await handler(event, stream, lambdaContext(context, finish)))();
  // The invocation lasts as long as the handler runs, also when it ended its stream before.
  context.waitUntil(running.then(() => finish(), finish));
}

/** What the handler writes to; its other side is the body. */
class ResponseStream extends Transform {
  #onHead: (() => void) | null;
  metadata: unknown = null;
  contentType = "application/octet-stream";

  /** `onHead` is called once, with the first byte or the end. */
  constructor(highWaterMark: number | undefined, onHead: () => void) {
    super(highWaterMark === undefined ? {} : { highWaterMark });
    this.#onHead = onHead;
  }

  /** Part of AWS's interface. */
  setContentType(contentType: string): void {
    this.contentType = contentType;
  }

  setMetadata(metadata: unknown): void {
    this.metadata = metadata;
  }

  override _transform(chunk: Buffer, _encoding: string, callback: (error: null, chunk: Buffer) => void): void {
    this.#begin();
    callback(null, chunk);
  }

  override _flush(callback: () => void): void {
    this.#begin();
    callback();
  }

  #begin(): void {
    const onHead = this.#onHead;
    this.#onHead = null;
    onHead?.();
  }
}

function responseOf(stream: ResponseStream): Response {
  const { status, headers } = headFromMetadata(stream.metadata ?? {});
  if (!headers.has("content-type")) headers.set("content-type", stream.contentType);
  if (status === 204 || status === 205 || status === 304) {
    stream.resume();
    return new Response(null, { status, headers });
  }
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      cancel: () => void stream.destroy(),
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { status, headers });
}
