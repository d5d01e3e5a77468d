/** What a handler is told about the invocation it serves. */
import { findRuntimeHost } from "./runtime-host.ts";

/** The second argument of every handler. It may be taken apart: `(request, { params, waitUntil }) => ...`. */
export interface Context {
  /** Unique to this invocation; the same in logs, records and the answer's `aloft-invocation` header. */
  readonly invocationId: string;
  /** Aborted when the caller goes away (`AbortError`) or the timeout passes (`TimeoutError`). */
  readonly signal: AbortSignal;
  /** When the timeout passes, in epoch milliseconds. */
  readonly deadline: number;
  /** The route's parameters, percent-decoded; empty where there is no route. */
  readonly params: Readonly<Record<string, string>>;
  readonly app: string;
  readonly function: string;
  /** Id of the deployment the code belongs to. */
  readonly deployment: string;
  /** W3C trace context of this invocation, to hand on to what the handler calls. */
  readonly traceparent: string;
  /** 1 for the first time the event is handled. */
  readonly attempt: number;
  /**
   * The same for every attempt at this event, to hand on to the world outside (a payment, an e-mail); the id of the
   * invocation where it is no event.
   */
  readonly idempotencyKey: string;
  /** Address of the client; "" for calls that did not come over the network. */
  readonly remoteAddress: string;
  /**
   * Keeps the invocation open until the promise has settled, after the answer has left. A rejection is logged and
   * changes nothing about the answer.
   */
  readonly waitUntil: (promise: Promise<unknown>) => void;
}

/** The context of an http function: `params` has exactly the names of its route. */
export interface HttpContext<P = Record<string, string>> extends Omit<Context, "params"> {
  readonly params: Readonly<P>;
}

/** A copy of the context of the invocation that is running, or one made up for a call outside Aloft, such as a test. */
export function contextForDirectCall(): Context {
  const current = findRuntimeHost()?.currentContext() ?? null;
  // Field by field, because the runtime's contexts compute theirs when they are asked for, and so do not spread.
  return {
    invocationId: current?.invocationId ?? crypto.randomUUID(),
    signal: current?.signal ?? new AbortController().signal,
    deadline: current?.deadline ?? Date.now() + 60_000,
    params: current?.params ?? {},
    app: current?.app ?? "local",
    function: current?.function ?? "local",
    deployment: current?.deployment ?? "local",
    traceparent: current?.traceparent ?? "",
    attempt: current?.attempt ?? 1,
    idempotencyKey: current?.idempotencyKey ?? crypto.randomUUID(),
    remoteAddress: current?.remoteAddress ?? "",
    waitUntil: current?.waitUntil ?? (() => {}),
  };
}
