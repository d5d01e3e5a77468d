/** What becomes of a message that has failed. A pure function of how often, of the error and of chance. */
import type { RetryPolicy } from "../../contract/queue-options.ts";
import type { OutcomeError } from "../../wire/effects.ts";

export type Retry = { readonly kind: "again"; readonly delayMs: number } | { readonly kind: "dead" };

/** Would fail in the same way however often they are tried. */
const hopeless: ReadonlySet<string> = new Set([
  "DEDUPE_MISMATCH",
  "REQUEST_INVALID",
  "PAYLOAD_TOO_LARGE",
  "MESSAGE_EXPIRED",
]);

/** `attempts` counts this one; `chance` is from 0 to below 1. */
export function decideRetry(attempts: number, error: OutcomeError, policy: RetryPolicy, chance: number): Retry {
  if (error.retry === "never" || hopeless.has(error.code ?? "") || attempts >= policy.attempts) return { kind: "dead" };
  if (error.retry !== undefined) return { kind: "again", delayMs: Math.round(error.retry.afterMs) };
  const full = Math.min(policy.maxDelayMs, policy.minDelayMs * policy.factor ** (attempts - 1));
  return { kind: "again", delayMs: Math.round(full * (1 - policy.jitter * chance)) };
}
