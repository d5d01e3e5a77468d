/**
 * What the end of a delivery says about each of its messages (rule 11 of docs/exactly-once.md). A pure function.
 *
 *   acked    handled: it goes, and what was written in its name commits
 *   failed   it alone has failed: an attempt
 *   back     it was not handled, or nobody can say: it waits again and costs nothing
 */
import type { Effect, OutcomeDocument, OutcomeError, Seen } from "../../wire/effects.ts";
import type { Held } from "./message-window.ts";

export interface Failure {
  readonly held: Held;
  readonly error: OutcomeError;
}

export interface Verdict {
  readonly acked: readonly Held[];
  readonly failed: readonly Failure[];
  readonly back: readonly Held[];
  readonly seen: readonly Seen[];
  readonly effects: readonly Effect[];
  /** What the handler has answered. */
  readonly value?: unknown;
  /** The batch has failed as one and is to be cut in halves. */
  readonly hasBroken: boolean;
  /** The handler has said when the batch that has failed as one is to be tried again. */
  readonly waitMs?: number;
}

export function verdictOf(outcome: OutcomeDocument, messages: readonly Held[]): Verdict {
  if (!outcome.ok) return allFailed(messages, outcome.error, outcome.seen);
  const named = namedFailures(outcome);
  if (named.size === 0) {
    const { seen, effects, value } = outcome;
    return { acked: messages, failed: [], back: [], seen, effects, value, hasBroken: false };
  }
  if (outcome.failed === undefined && outcome.effects.length > 0) {
    const message = `the handler named ${named.size} failed messages and has written ${outcome.effects.length} times; use messages.each`;
    return allFailed(messages, errorOf("PARTIAL_FAILURE_WITH_WRITES", message), outcome.seen);
  }
  const known = new Set(messages.map(({ message }) => message?.id));
  const stranger = [...named.keys()].find((id) => !known.has(id));
  if (stranger !== undefined) {
    const message = `the handler named ${JSON.stringify(stranger.slice(0, 100))} as failed, which it was not given`;
    return allFailed(messages, errorOf("PARTIAL_FAILURE_INVALID", message), outcome.seen);
  }
  const acked: Held[] = [];
  const failed: Failure[] = [];
  const back: Held[] = [];
  const brokenGroups = new Set<string>();
  for (const held of messages) {
    if (held.group !== null && brokenGroups.has(held.group)) {
      back.push(held);
      continue;
    }
    const error = named.get(held.message?.id ?? "");
    if (error === undefined) acked.push(held);
    else {
      failed.push({ held, error });
      if (held.group !== null) brokenGroups.add(held.group);
    }
  }
  return { acked, failed, back, seen: outcome.seen, effects: outcome.effects, hasBroken: false };
}

/** One message pays with an attempt; of several nobody knows which it was. */
export function allFailed(messages: readonly Held[], error: OutcomeError, seen: readonly Seen[]): Verdict {
  const [only] = messages;
  if (messages.length === 1 && only !== undefined) {
    return { acked: [], failed: [{ held: only, error }], back: [], seen, effects: [], hasBroken: false };
  }
  const wait = typeof error.retry === "object" ? { waitMs: Math.round(error.retry.afterMs) } : {};
  return { acked: [], failed: [], back: messages, seen, effects: [], hasBroken: true, ...wait };
}

export function errorOf(code: string, message: string): OutcomeError {
  return { type: code, message, stack: "", code };
}

/** Of `messages.each`, or what a Lambda handler answers: `{ batchItemFailures: [{ itemIdentifier }] }`. */
function namedFailures(outcome: Extract<OutcomeDocument, { ok: true }>): Map<string, OutcomeError> {
  if (outcome.failed !== undefined) return new Map(outcome.failed.map(({ id, error }) => [id, error]));
  const named = new Map<string, OutcomeError>();
  const { value } = outcome;
  const list =
    typeof value === "object" && value !== null ? (value as Record<string, unknown>)["batchItemFailures"] : null;
  if (!Array.isArray(list)) return named;
  for (const item of list as unknown[]) {
    const id = typeof item === "object" && item !== null ? (item as Record<string, unknown>)["itemIdentifier"] : null;
    named.set(typeof id === "string" ? id : "", errorOf("BATCH_ITEM_FAILURE", "the handler named it as failed"));
  }
  return named;
}
