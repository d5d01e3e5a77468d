/**
 * A function that an environment serves, as the runtime of this guest calls it. Requests become the events of a Function
 * URL and results its answers, as for handlers that this guest's own Node would call; a value goes in and out as it is.
 */
import type { Context } from "../../../sdk/index.ts";
import { BadResponse, Exited } from "../../node/answer.ts";
import { lambdaArn, saidByCaller } from "../../node/lambda-context.ts";
import { amazonTraceId, functionUrlEvent } from "../../node/lambda-event.ts";
import { headFromMetadata, responseFromResult } from "../../node/lambda-response.ts";
import type { LoadedFunction } from "../../node/loaded-function.ts";
import type { Environment } from "./environment.ts";
import type { FunctionError } from "./error-type.ts";
import type { Invoke, InvokeResult } from "./invoke.ts";
import { type Parted, partPrelude, preludeContentType } from "./prelude.ts";
import { responseBytesMax } from "./runtime-side.ts";

export function functionOf(environment: Environment, name: string): LoadedFunction {
  async function run(event: Buffer, context: Context): Promise<InvokeResult> {
    const { signal } = context;
    const invoke: Invoke = {
      requestId: context.invocationId,
      deadlineMs: context.deadline,
      functionArn: lambdaArn(name),
      traceId: amazonTraceId(context.traceparent),
      ...saidByCaller(context),
      contentType: "",
      event,
    };
    const { result, over } = environment.invoke(invoke, () => !signal.aborted);
    context.waitUntil(over);
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => {
      const leftMs =
        signal.reason instanceof DOMException && signal.reason.name === "TimeoutError" ? 0 : timeLeft(context);
      // Whose caller has gone may still run to its end, but no longer.
      const timer = setTimeout(() => environment.timeOut(invoke.requestId), leftMs);
      void over.then(() => clearTimeout(timer));
      void result.then(discard);
      reject(signal.reason);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    return await Promise.race([result, aborted]);
  }

  return {
    name: "",
    style: "lambda",
    triggers: [],
    limits: {},
    fetch: async (request, context) => {
      const event = await functionUrlEvent(request, context, Date.now());
      return await responseOf(await run(Buffer.from(JSON.stringify(event)), context));
    },
    callRaw: async (input, context) => await bytesOf(await run(input.length === 0 ? noValue : input, context)),
    call: async (input, context) => {
      const bytes = await bytesOf(await run(Buffer.from(JSON.stringify(input ?? null)), context));
      const text = bytes.toString();
      // Whoever delivers an event asks for no answer, and many a script gives none.
      return text === "" ? null : isJson(text) ? (JSON.parse(text) as unknown) : text;
    },
  };
}

const noValue = Buffer.from("{}");

function timeLeft(context: Context): number {
  return Math.max(0, context.deadline - Date.now());
}

async function responseOf(result: InvokeResult): Promise<Response> {
  switch (result.kind) {
    case "error":
      throw thrownBy(result.error);
    case "response":
      return responseFromResult(parseResult(result.body));
    case "stream": {
      if (result.contentType !== preludeContentType) {
        const headers = { "content-type": result.contentType };
        return new Response(streamOf(result.body), { headers });
      }
      return await partedResponse(await partPrelude(result.body));
    }
    default:
      return result satisfies never;
  }
}

async function partedResponse({ metadata, body }: Parted): Promise<Response> {
  try {
    const { status, headers } = headFromMetadata(metadata);
    if (!headers.has("content-type")) headers.set("content-type", "application/octet-stream");
    if (status !== 204 && status !== 205 && status !== 304) return new Response(streamOf(body), { status, headers });
    await drain(body);
    return new Response(null, { status, headers });
  } catch (error) {
    await drain(body).catch(() => {});
    throw error;
  }
}

/** Nobody waits for it any more; the runtime still has to come to its end. */
function discard(result: InvokeResult): void {
  if (result.kind === "stream") drain(result.body).catch(() => {});
}

async function drain(body: AsyncIterable<Buffer>): Promise<void> {
  for await (const _ of body);
}

/** The answer of a function that was called by name. */
async function bytesOf(result: InvokeResult): Promise<Buffer> {
  switch (result.kind) {
    case "error":
      throw thrownBy(result.error);
    case "response":
      return result.body;
    case "stream": {
      const isParted = result.contentType === preludeContentType;
      const text = (await collect(isParted ? (await partPrelude(result.body)).body : result.body)).toString();
      return Buffer.from(isJson(text) ? text : JSON.stringify(text));
    }
    default:
      return result satisfies never;
  }
}

async function collect(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > responseBytesMax) throw new BadResponse(`the streamed answer is over ${responseBytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parseResult(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch (error) {
    throw new BadResponse(`what the function answered is not JSON: ${(error as Error).message}`);
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function streamOf(body: AsyncIterable<Buffer>): ReadableStream<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await chunks.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Its answer was no answer, whoever noticed it. */
const badAnswers: ReadonlySet<string> = new Set([
  "Function.ResponseSizeTooLarge",
  "Runtime.InvalidResponseModeHeader",
  "Runtime.TruncatedResponse",
]);
/** What served it is no longer there. */
const exits = /^(?:Sandbox\.|Extension\.|Runtime\.(?:ExitError|InvalidEntrypoint|InvalidWorkingDir)$)/;

/** An error as if it had been thrown here: type, message and stack are the function's own. */
export function thrownBy({ errorType, errorMessage, stackTrace }: FunctionError): Error {
  const error = badAnswers.has(errorType)
    ? new BadResponse(`${errorType}: ${errorMessage}`)
    : exits.test(errorType)
      ? new Exited(errorMessage)
      : new Error(errorMessage);
  const first = `${errorType}: ${errorMessage}`;
  const lines = stackTrace[0] === first ? stackTrace.slice(1) : stackTrace;
  const stack = [first, ...lines.map((line) => `    ${line.trim()}`)].join("\n");
  Object.defineProperty(error, "name", { value: errorType });
  Object.defineProperty(error, "stack", { value: stackTrace.length === 0 ? "" : stack });
  return error;
}
