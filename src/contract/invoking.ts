/** The port of `dispatch/` towards the control API: call one function by name with a payload, wait for its answer. */
import type { Runtime } from "./deployment.ts";

export interface CallRequest {
  readonly app: string;
  readonly alias: string;
  readonly function: string;
  /** The payload's bytes: JSON for `fn`, Lambda and events; the request's body for http functions. At most 6 MiB. */
  readonly payload: Uint8Array;
  /** A JSON object on one line, which a Lambda function finds as the client context of its context. */
  readonly clientContext?: string;
  /** The same of its Cognito identity: `{"cognitoIdentityId", "cognitoIdentityPoolId"}`. */
  readonly cognitoIdentity?: string;
  /** The trace that the call belongs to; a new one where it is absent, or none. */
  readonly traceparent?: string;
  readonly signal?: AbortSignal;
}

export interface CallResult {
  readonly invocationId: string;
  readonly cold: boolean;
  readonly waitUs: number;
  readonly handlerUs: number;
  /** HTTP status of the answer: 200 for calls that are not http. */
  readonly status: number;
  /** `content-type` of the body. */
  readonly contentType: string;
  readonly body: Uint8Array;
}

export interface Caller {
  /** Throws FUNCTION_THREW with the user's error as message and `detail.stack`, and the other FUNCTION_* codes. */
  call(request: CallRequest): Promise<CallResult>;
}

/** A snapshot of what runs, for `aloft status`. */
export interface GroupStatus {
  readonly app: string;
  readonly alias: string;
  readonly deploymentId: string;
  readonly group: string;
  readonly runtime: Runtime;
  readonly instances: number;
  readonly ready: number;
  readonly inFlight: number;
  readonly waiting: number;
  readonly memoryBytes: number;
  /** "" when the last start succeeded. */
  readonly lastError: string;
}

export interface RunningStatus {
  readonly groups: readonly GroupStatus[];
  readonly zygotes: number;
  readonly memoryBytes: number;
  readonly memoryBudgetBytes: number;
}
