/** One invocation as the runtime gets it, and what it answers. */
import type { FunctionError } from "./error-type.ts";

export interface Invoke {
  readonly requestId: string;
  /** Epoch milliseconds. */
  readonly deadlineMs: number;
  readonly functionArn: string;
  /** In the form of AWS X-Ray; "" for none, here and below. */
  readonly traceId: string;
  /** JSON. */
  readonly clientContext: string;
  /** JSON. */
  readonly cognitoIdentity: string;
  /** "" means JSON. */
  readonly contentType: string;
  readonly event: Buffer;
}

export type InvokeResult =
  | { readonly kind: "response"; readonly contentType: string; readonly body: Buffer }
  /** `body` throws a StreamedError when the runtime says so in its trailers, or when it breaks off. */
  | { readonly kind: "stream"; readonly contentType: string; readonly body: AsyncIterable<Buffer> }
  /** `payload` is what the runtime sent; made of `error` when nobody sent anything. */
  | { readonly kind: "error"; readonly error: FunctionError; readonly payload: Buffer };

export function errorResult(errorType: string, errorMessage: string): InvokeResult {
  const error: FunctionError = { errorType, errorMessage, stackTrace: [] };
  return { kind: "error", error, payload: Buffer.from(JSON.stringify({ errorType, errorMessage })) };
}

/** An error after the answer had begun. */
export class StreamedError extends Error {
  readonly error: FunctionError;

  constructor(error: FunctionError) {
    super(error.errorMessage);
    this.name = error.errorType;
    this.error = error;
  }
}
