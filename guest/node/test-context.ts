/** A context for tests of handlers. */
import type { Context } from "../../sdk/index.ts";

export function testContext(given: Partial<Context> = {}): Context {
  return {
    invocationId: "8f2f6d0e-8f5c-4c3a-9d7e-2b1a0c9d8e7f",
    signal: new AbortController().signal,
    deadline: Date.now() + 30_000,
    params: {},
    app: "shop",
    function: "handler",
    deployment: "0123456789",
    traceparent: "",
    attempt: 1,
    idempotencyKey: "8f2f6d0e-8f5c-4c3a-9d7e-2b1a0c9d8e7f",
    remoteAddress: "192.0.2.7",
    waitUntil: () => {},
    ...given,
  };
}
