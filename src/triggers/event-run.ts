/**
 * One event from its delivery to its commit: delivers, commits what the handler asked for together with the trigger's own
 * acknowledgement, and runs it again when something that it had read is no longer so (rules 14 and 15 of
 * docs/exactly-once.md).
 */
import type {
  Delivering,
  Environment,
  EventDelivery,
  StateBatch,
  StateOutcome,
  StateService,
} from "../contract/durable.ts";
import { AloftError, asAloftError } from "../contract/errors.ts";
import type { Check, Write } from "../contract/keyspace.ts";
import { limits } from "../contract/limits.ts";
import type { Lines } from "../state/lines.ts";
import type { Effect, OutcomeDocument, OutcomeError } from "../wire/effects.ts";

export interface EventRunner {
  readonly delivering: Delivering;
  readonly state: StateService;
  /** Reruns of events that conflict over the same key wait here, one at a time. */
  readonly lines: Lines;
}

/** The trigger's own part of the commit. Throws an AloftError for an outcome that is not acceptable: the event has failed. */
export interface Acknowledgement {
  readonly checks: readonly Check[];
  readonly writes: readonly Write[];
  /** Beside those of the handler. */
  readonly effects?: readonly Effect[];
}

export interface EventRun {
  readonly environment: Environment;
  /** Made anew for each delivery; null: there is no function to deliver to. */
  readonly delivery: () => EventDelivery | null;
  readonly acknowledge: (outcome: Extract<OutcomeDocument, { ok: true }>) => Acknowledgement;
  /** Must hold for any outcome to count: ownership. */
  readonly checks: readonly Check[];
  readonly signal: AbortSignal;
}

export type EventEnd =
  | { readonly kind: "committed"; readonly version: number; readonly value: unknown }
  /** The handler's fault: costs an attempt. */
  | { readonly kind: "failed"; readonly error: OutcomeError }
  /** Nobody's fault that counts: no instance, disk full. It took no effect. */
  | { readonly kind: "refused"; readonly error: AloftError }
  /** One of the trigger's own checks fails: the shard is lost, or somebody else has changed what was acknowledged. */
  | { readonly kind: "lost" };

export async function runEvent(runner: EventRunner, run: EventRun): Promise<EventEnd> {
  const first = await runOnce(runner, run);
  if (first.kind !== "conflict") return first;
  let where = first.where;
  for (let reruns = 1; reruns <= limits.conflictReruns; reruns++) {
    if (run.signal.aborted) return { kind: "lost" };
    const ticket = await runner.lines.enter(run.environment, where);
    const end = await runOnce(runner, run).finally(() => runner.lines.leave(run.environment, ticket));
    if (end.kind !== "conflict") return end;
    where = end.where;
  }
  const message = `${where} was changed by others every time in ${limits.conflictReruns} reruns`;
  return failure(new AloftError("HOT_KEY", message));
}

async function runOnce(
  { delivering, state }: EventRunner,
  { environment, delivery, acknowledge, checks, signal }: EventRun,
): Promise<EventEnd | { readonly kind: "conflict"; readonly where: string }> {
  // It may have waited in a line since it was asked for.
  if (signal.aborted) return { kind: "lost" };
  const document = delivery();
  if (document === null) {
    return { kind: "refused", error: new AloftError("FUNCTION_NOT_FOUND", "no live function takes this event") };
  }
  const running = delivering.deliver(document);
  const cancel = (): void => running.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  const end = await running.ended;
  signal.removeEventListener("abort", cancel);
  if (signal.aborted) return { kind: "lost" };
  if (end.kind === "refused") return end;
  if (end.kind === "failed") return failure(end.error);
  const { outcome } = end;
  try {
    if (!outcome.ok) {
      // It has failed only if what it has read still holds.
      if (outcome.seen.length === 0) return { kind: "failed", error: outcome.error };
      const judged = await commitSurely(state, environment, { seen: outcome.seen, effects: [], checks, writes: [] });
      if (judged.kind === "committed") return { kind: "failed", error: outcome.error };
      return judged.kind === "conflict" ? judged : { kind: "lost" };
    }
    const own = acknowledge(outcome);
    const judged = await commitSurely(state, environment, {
      seen: outcome.seen,
      effects: own.effects === undefined ? outcome.effects : [...outcome.effects, ...own.effects],
      checks: [...checks, ...own.checks],
      writes: own.writes,
      isEssential: true,
    });
    if (judged.kind === "committed") return { kind: "committed", version: judged.version, value: outcome.value };
    return judged.kind === "conflict" ? judged : { kind: "lost" };
  } catch (error) {
    const wrong = asAloftError(error);
    return wrong.fault === "platform" ? { kind: "refused", error: wrong } : failure(wrong);
  }
}

/**
 * An acknowledgement checks what it acknowledges, so an unknown one is repeated: had it happened, a check would fail now, and
 * whoever is told "lost" looks at what is stored.
 */
export async function commitSurely(
  state: StateService,
  environment: Environment,
  batch: StateBatch,
): Promise<StateOutcome> {
  for (let tries = 1; ; tries++) {
    try {
      return await state.commit(environment, batch);
    } catch (error) {
      if (!(error instanceof AloftError) || error.code !== "COMMIT_UNKNOWN" || tries >= unknownTries) throw error;
    }
  }
}

const unknownTries = 5;

export function failure(error: AloftError): EventEnd {
  const { code, message } = error;
  const never = code === "DEDUPE_MISMATCH" ? ({ retry: "never" } as const) : {};
  return { kind: "failed", error: { type: "AloftError", message, stack: "", code, ...never } };
}

/** Before the attempt after this one. */
export function backoffMs(firstMs: number, attempt: number, error: OutcomeError | null): number {
  if (error !== null && typeof error.retry === "object") return error.retry.afterMs;
  return Math.min(firstMs * 2 ** (attempt - 1), backoffMsMax);
}

const backoffMsMax = 3_600_000;
