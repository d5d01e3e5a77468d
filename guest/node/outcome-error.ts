/** An error of an event's handler as its outcome tells it, with what the error says of trying again. */
import type { OutcomeError } from "../../src/wire/effects.ts";
import type { Failure } from "../../src/wire/messages.ts";

/** `aloftRetry` is what the SDK's errors carry: "never", or milliseconds to wait. A `code` is the error's own. */
export function outcomeErrorOf(error: unknown, failure: Failure): OutcomeError {
  const { type, message, stack } = failure;
  const plain = { type, message, stack };
  if (typeof error !== "object" || error === null) return plain;
  const { code, aloftRetry } = error as { code?: unknown; aloftRetry?: unknown };
  return {
    ...plain,
    ...(typeof code === "string" ? { code } : {}),
    ...(aloftRetry === "never" ? { retry: "never" as const } : {}),
    ...(typeof aloftRetry === "number" ? { retry: { afterMs: aloftRetry } } : {}),
  };
}
