/** The port of `dispatch/` towards the doors: where a request goes, and the way to send it there. */
import type { LiveDeployment } from "./deployment.ts";
import type { AloftError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { InvocationRecord } from "./observing.ts";

export type Routed =
  | {
      readonly kind: "function";
      readonly live: LiveDeployment;
      readonly functionNumber: number;
      /** Path parameters as `a=1&b=2`, percent-encoded; "" for none. */
      readonly params: string;
      /** Path and query as the function is to see them. */
      readonly target: string;
      /** The host of an absolute-form target, which then counts instead of the Host header; else null. */
      readonly authority: string | null;
    }
  /** Of the platform's own path below every app (`platformPath`). */
  | { readonly kind: "platform"; readonly live: LiveDeployment; readonly path: string; readonly query: string }
  /** An OPTIONS request that no function answers: 204 with these methods. */
  | { readonly kind: "options"; readonly allow: string }
  | { readonly kind: "failure"; readonly error: AloftError; readonly allow: string; readonly app: string };

export interface Dispatching {
  /**
   * `host` and `aloftApp` are header values as they came, null when absent; `target` is the request target with its
   * query. Never throws; on the path of every request.
   */
  route(host: string | null, aloftApp: string | null, method: string, target: string): Routed;
  newInvocationId(): string;
  /** The exchange is the dispatcher's until it has ended or failed. */
  submit(live: LiveDeployment, exchange: Exchange, nowMs: number): void;
  record(record: InvocationRecord): void;
}
