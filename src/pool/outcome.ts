/** What a guest says went wrong, read as unknown input and turned into the platform's words. */
import { AloftError } from "../contract/errors.ts";
import type { Failure } from "../wire/messages.ts";
import { WireError } from "../wire/reader.ts";

const kinds: ReadonlySet<string> = new Set(["threw", "response", "cancelled", "load", "crashed", "exited"]);

export function failureFrom(bytes: Buffer, start: number, end: number): Failure {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8", start, end));
  } catch {
    throw new WireError("a failure is not JSON");
  }
  if (typeof value !== "object" || value === null) throw new WireError("a failure is not an object");
  const { type, message, stack, kind } = value as Record<string, unknown>;
  if (typeof kind !== "string" || !kinds.has(kind)) throw new WireError("a failure is of no known kind");
  return {
    type: typeof type === "string" ? type.slice(0, 200) : "Error",
    message: typeof message === "string" ? message.slice(0, 4000) : "",
    stack: typeof stack === "string" ? stack.slice(0, 16_000) : "",
    kind: kind as Failure["kind"],
  };
}

export function outcomeError(failure: Failure): AloftError {
  const { type, message, stack, kind } = failure;
  const detail = { error: type, stack };
  switch (kind) {
    case "threw":
      return new AloftError("FUNCTION_THREW", `${type}: ${message}`, { detail });
    case "response":
      return new AloftError("FUNCTION_BAD_RESPONSE", message, { detail });
    case "cancelled":
      return new AloftError("INVOCATION_CANCELLED", "the invocation was cancelled");
    case "load":
      return new AloftError("FUNCTION_START_FAILED", `${type}: ${message}`, { detail });
    case "crashed":
      return new AloftError("FUNCTION_CRASHED", `${type}: ${message}`, {
        detail,
        hint: "an exception that nobody caught ends the process; catch it where it is thrown",
      });
    case "exited":
      return new AloftError("FUNCTION_CRASHED", `${type}: ${message}`, {
        detail,
        hint: "the function's log has what its program said last",
      });
    default:
      return kind satisfies never;
  }
}
