/** Calls that are kept before they are acknowledged, and what has become of them: the API's JSON and the port of `state/`. */
import type { RetryPolicy } from "./queue-options.ts";

export type AsyncCallStatus = "pending" | "succeeded" | "failed" | "cancelled";

/** Where the end of a call is told: a queue gets a message, a function a call of its own. */
export type Destination = { readonly queue: string } | { readonly function: string };

export interface AsyncCallOptions {
  readonly delayMs?: number;
  /** A call with a key that was used for the function within 24 h is not made again; with other input it is DEDUPE_MISMATCH. */
  readonly idempotencyKey?: string;
  /** `lambda`: AWS Lambda's, two retries after 1 and 2 minutes. Left out: Lambda's for Lambda handlers, a queue's for others. */
  readonly retry?: "lambda" | "none" | Partial<RetryPolicy>;
  /** Not tried any more when it is older; 6 h when left out. */
  readonly maxAgeMs?: number;
  readonly onSuccess?: Destination;
  readonly onFailure?: Destination;
}

export interface AsyncCallJson {
  readonly id: string;
  readonly function: string;
  readonly status: AsyncCallStatus;
  /** Epoch milliseconds, as all of these. */
  readonly createdAtMs: number;
  readonly endedAtMs?: number;
  /** Tries that have ended in all; told when the call has. */
  readonly attempts?: number;
  /** What the function has answered; absent when it is over limits.callResultBytes (`isResultDropped`). */
  readonly result?: unknown;
  readonly isResultDropped?: boolean;
  readonly error?: { readonly type: string; readonly message: string; readonly code?: string };
}

export interface AsyncCallBegun {
  readonly id: string;
  /** Made before, with the same idempotency key. */
  readonly duplicate: boolean;
}

export interface AsyncCallFilter {
  readonly function?: string;
  readonly status?: AsyncCallStatus;
  /** 1 to 1,000; 100 when left out. */
  readonly limit?: number;
  /** Calls made before this one: the last of an earlier page. */
  readonly before?: string;
}

/** The port towards the control API. */
export interface AsyncCalls {
  /** Durable when it resolves. Throws PAYLOAD_TOO_LARGE, DEDUPE_MISMATCH, REQUEST_INVALID. */
  start(app: string, alias: string, name: string, input: unknown, options: AsyncCallOptions): Promise<AsyncCallBegun>;
  /** Throws CALL_NOT_FOUND. */
  get(app: string, alias: string, id: string): Promise<AsyncCallJson>;
  /** The call once it has ended, or as it is after so long. */
  wait(app: string, alias: string, id: string, waitMs: number, signal: AbortSignal): Promise<AsyncCallJson>;
  /** Newest first. */
  list(app: string, alias: string, filter: AsyncCallFilter): Promise<readonly AsyncCallJson[]>;
  /** Whether it was still pending: then it will not be tried any more, and what runs of it is aborted. */
  cancel(
    app: string,
    alias: string,
    id: string,
  ): Promise<{ readonly cancelled: boolean; readonly status: AsyncCallStatus }>;
}
