import { type Duration, milliseconds } from "./options.ts";
import { readState, writeState } from "./state-host.ts";

/** How a call that is kept until it succeeds is made; see `fn(...).later`. */
export interface LaterOptions {
  /** Not before so long, at most a year. */
  readonly delay?: Duration | undefined;
  /** A key that was used for the function within 24 h makes no second call: the first one's id comes back. */
  readonly idempotencyKey?: string | undefined;
  /**
   * `"lambda"`: two more tries, after 1 and 2 minutes. `"none"`: one try. Or how often and how long after each other; left out,
   * three tries.
   */
  readonly retry?:
    | "lambda"
    | "none"
    | {
        readonly attempts?: number | undefined;
        readonly minDelay?: Duration | undefined;
        readonly maxDelay?: Duration | undefined;
        readonly factor?: number | undefined;
        readonly jitter?: number | undefined;
      }
    | undefined;
  /** Not tried any more when it is older; 6 h when left out. */
  readonly maxAge?: Duration | undefined;
  /** Told of the result, with it, the input and how many tries it took. */
  readonly onSuccess?: CallDestination | undefined;
  /** Told when it has failed for good. */
  readonly onFailure?: CallDestination | undefined;
}

export type CallDestination = { readonly queue: string } | { readonly function: string };

export interface LaterCall {
  readonly id: string;
  /** Made before, with the same idempotency key. */
  readonly duplicate: boolean;
}

export interface CallState {
  readonly id: string;
  readonly function: string;
  readonly status: "pending" | "succeeded" | "failed" | "cancelled";
  readonly createdAtMs: number;
  readonly endedAtMs?: number;
  readonly attempts?: number;
  readonly result?: unknown;
  readonly error?: { readonly type: string; readonly message: string; readonly code?: string };
}

/** The effect, and what it answers: in an event's handler the call is made when the event's outcome commits. */
export function callLater(name: string, input: unknown, options: LaterOptions = {}): Promise<LaterCall> {
  const { delay, idempotencyKey, retry, maxAge, onSuccess, onFailure } = options;
  const args = {
    input: input ?? null,
    ...(delay === undefined ? {} : { delayMs: milliseconds("delay", delay) }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...(retry === undefined ? {} : { retry: retryOf(retry) }),
    ...(maxAge === undefined ? {} : { maxAgeMs: milliseconds("maxAge", maxAge) }),
    ...(onSuccess === undefined ? {} : { onSuccess }),
    ...(onFailure === undefined ? {} : { onFailure }),
  };
  return writeState({ resource: "async", name, method: "start", args }) as Promise<LaterCall>;
}

/** What has become of a call that `later` made, for 24 h after its end. Rejects with `CALL_NOT_FOUND`. */
export async function callState(id: string): Promise<CallState> {
  return (await readState({ resource: "async", name: "call", method: "get", args: { id } })) as CallState;
}

/** Whether the call was still pending: then it is not tried any more. */
export async function cancelCall(id: string): Promise<boolean> {
  const answer = await writeState({ resource: "async", name: "call", method: "cancel", args: { id } });
  return (answer as { cancelled?: boolean } | null)?.cancelled === true;
}

function retryOf(retry: NonNullable<LaterOptions["retry"]>): unknown {
  if (typeof retry === "string") return retry;
  const { minDelay, maxDelay, attempts, factor, jitter } = retry;
  const policy = {
    attempts,
    factor,
    jitter,
    minDelayMs: minDelay === undefined ? undefined : milliseconds("minDelay", minDelay),
    maxDelayMs: maxDelay === undefined ? undefined : milliseconds("maxDelay", maxDelay),
  };
  return Object.fromEntries(Object.entries(policy).filter(([, value]) => value !== undefined));
}
