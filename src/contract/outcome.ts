/** How an invocation that failed is counted. */
import type { AloftError } from "./errors.ts";
import type { InvocationRecord } from "./observing.ts";

export function outcomeOf(error: AloftError): InvocationRecord["outcome"] {
  if (error.code === "FUNCTION_TIMEOUT") return "timeout";
  if (error.code === "INVOCATION_CANCELLED") return "cancelled";
  return error.fault === "app" ? "error" : "rejected";
}
