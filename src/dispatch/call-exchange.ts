/**
 * An invocation by name: a payload in, the whole answer out. A `fn`, a Lambda handler or an event handler gets the
 * payload as its JSON value; an http function gets a POST to its first route with the payload as the body.
 */
import type { FunctionSpec, HandlerStyle, LiveDeployment } from "../contract/deployment.ts";
import type { AloftError } from "../contract/errors.ts";
import type { CallResult } from "../contract/invoking.ts";
import { limits } from "../contract/limits.ts";
import type { InvocationRecord } from "../contract/observing.ts";
import { routesOf } from "../contract/route.ts";
import type { Clock } from "../lib/clock.ts";
import { traceparent } from "../lib/ids.ts";
import { InvokeKind } from "../wire/frames.ts";
import { clientContextHeader, cognitoIdentityHeader } from "../wire/messages.ts";
import { GatheredExchange } from "./gathered-exchange.ts";
import { recordOf } from "./invocation-record.ts";

export interface CallExchangeOptions {
  readonly live: LiveDeployment;
  readonly spec: FunctionSpec;
  readonly functionNumber: number;
  readonly trigger: "invoke" | "call";
  readonly invocationId: string;
  readonly traceparent: string | null;
  /** JSON on one line, of a Lambda function's context. */
  readonly clientContext: string | null;
  readonly cognitoIdentity: string | null;
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

/** Submit `exchange`; `result` rejects with what the function or the platform failed with. */
export interface PendingCall {
  readonly exchange: GatheredExchange;
  readonly result: Promise<CallResult>;
}

export function createCall(options: CallExchangeOptions): PendingCall {
  const { spec, payload, invocationId } = options;
  const takesRequest = requestStyles.has(spec.style);
  const { promise, resolve, reject } = Promise.withResolvers<CallResult>();
  const exchange = new GatheredExchange({
    invocationId,
    kind: takesRequest ? InvokeKind.http : InvokeKind.call,
    functionNumber: options.functionNumber,
    text: textFor(options, takesRequest),
    payload,
    answerBytesMax: limits.payloadBytes,
    arrivedAtMs: options.arrivedAtMs,
    timeoutMs: spec.limits.timeoutMs,
    clock: options.clock,
    onAnswered(answer) {
      recordCall(options, exchange, answer.status, null);
      resolve({ invocationId, cold: exchange.coldUs > 0, ...answer });
    },
    onFailed(error) {
      recordCall(options, exchange, error.status, error);
      reject(error);
    },
  });
  exchange.checkPayload(limits.payloadBytes);
  return { exchange, result: promise };
}

function recordCall(
  options: CallExchangeOptions,
  exchange: GatheredExchange,
  status: number,
  error: AloftError | null,
): void {
  const { live, spec, trigger, startedAtMs, record } = options;
  record(recordOf({ live, spec, trigger, startedAtMs, exchange, status, error, attempt: 1, subject: "" }));
}

function textFor(options: CallExchangeOptions, takesRequest: boolean): string {
  const { invocationId, spec, payload } = options;
  const trace = traceparent(options.traceparent, invocationId);
  const route = routesOf(spec.triggers)[0];
  const method = takesRequest && route !== undefined && route.method !== "*" ? route.method : "POST";
  const path = takesRequest && route !== undefined ? plainPath(route.path) : "/";
  const lines = [invocationId, trace, "1", method, "http://localhost", path, "127.0.0.1", ""];
  // In base64: the text of a frame is latin1.
  if (!takesRequest && options.clientContext !== null) lines.push(clientContextHeader, base64(options.clientContext));
  if (!takesRequest && options.cognitoIdentity !== null)
    lines.push(cognitoIdentityHeader, base64(options.cognitoIdentity));
  if (takesRequest) lines.push("host", "localhost", "content-length", String(payload.length));
  if (takesRequest && payload.length > 0) lines.push("content-type", contentTypeOf(payload));
  return lines.join("\n");
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** A route's path as one that it matches: `/files/*` -> `/files/`, `/links/:id` stays as it is and gets ":id" as the id. */
function plainPath(path: string): string {
  return path.endsWith("*") ? path.slice(0, -1) : path;
}

function contentTypeOf(payload: Buffer): string {
  const first = payload.toString("latin1", 0, 100).trimStart()[0] ?? "";
  return '{["-0123456789tfn'.includes(first) ? "application/json" : "text/plain; charset=utf-8";
}
