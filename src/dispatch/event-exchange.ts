/**
 * One delivery of an event to a function. It ends only when no handler of it runs any more: with its outcome, or with the
 * death of its sandbox (rule 10 of docs/exactly-once.md).
 */
import type { FunctionSpec } from "../contract/deployment.ts";
import type { DeliveryEnd, EventDelivery } from "../contract/durable.ts";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import type { InvocationRecord } from "../contract/observing.ts";
import type { Clock } from "../lib/clock.ts";
import { traceparent } from "../lib/ids.ts";
import type { OutcomeDocument, ReadReply, StateRead } from "../wire/effects.ts";
import { InvokeKind } from "../wire/frames.ts";
import { Overlay } from "../wire/overlay.ts";
import { GatheredExchange } from "./gathered-exchange.ts";
import { recordOf } from "./invocation-record.ts";
import { parseOutcome } from "./outcome-document.ts";
import { thrownIn } from "./thrown.ts";

export interface EventExchangeOptions {
  readonly delivery: EventDelivery;
  readonly spec: FunctionSpec;
  readonly invocationId: string;
  /** Monotonic. */
  readonly arrivedAtMs: number;
  /** Epoch. */
  readonly startedAtMs: number;
  readonly clock: Clock;
  readonly record: (record: InvocationRecord) => void;
  /** Reads state for a program's local API, whose writes are held here. */
  readonly readState: (read: StateRead) => Promise<ReadReply>;
}

export interface PendingEvent {
  readonly exchange: GatheredExchange;
  readonly ended: Promise<DeliveryEnd>;
}

export function createEvent(options: EventExchangeOptions): PendingEvent {
  const { delivery, spec, invocationId } = options;
  const { promise, resolve } = Promise.withResolvers<DeliveryEnd>();
  // Programs know nothing of effects: they get the payload alone, and what they answer is the outcome's value. What they
  // write through the local API is held on this side.
  const isHeld = spec.program === undefined;
  const held = isHeld ? null : new Overlay(options.readState);
  let failure: AloftError | null = null;
  const exchange = new GatheredExchange({
    invocationId,
    kind: isHeld ? InvokeKind.event : InvokeKind.call,
    functionNumber: delivery.functionNumber,
    held,
    text: textFor(options),
    payload: Buffer.from(JSON.stringify(isHeld ? delivery.document : (delivery.document.payload ?? null))),
    answerBytesMax: limits.outcomeBytes,
    arrivedAtMs: options.arrivedAtMs,
    timeoutMs: spec.limits.timeoutMs,
    clock: options.clock,
    onAnswered({ body }) {
      try {
        const outcome = held === null ? parseOutcome(body) : plainOutcome(body, held);
        record(outcome.ok ? null : thrownError(outcome));
        resolve({ kind: "answered", invocationId, outcome });
      } catch (error) {
        const wrong = new AloftError("FUNCTION_BAD_RESPONSE", (error as Error).message);
        record(wrong);
        resolve({ kind: "failed", invocationId, error: wrong });
      }
    },
    onFailed(error) {
      failure = error;
      record(error);
    },
    onClosed() {
      if (failure === null) return;
      // A program's own error is an outcome like that of any handler.
      if (failure.code === "FUNCTION_THREW")
        resolve({
          kind: "answered",
          invocationId,
          outcome: { ok: false, error: thrownIn(failure), seen: held?.seen() ?? [] },
        });
      else resolve({ kind: wasCalled(exchange) ? "failed" : "refused", invocationId, error: failure });
    },
  });

  function record(error: AloftError | null): void {
    const { trigger, subject, attempt, live } = delivery;
    const status = error === null ? 200 : error.status;
    const { startedAtMs } = options;
    options.record(recordOf({ live, spec, trigger, startedAtMs, exchange, status, error, attempt, subject }));
  }

  exchange.checkPayload(limits.payloadBytes);
  return { exchange, ended: promise };
}

/** Whether its handler may have been called at all. */
function wasCalled(exchange: GatheredExchange): boolean {
  return exchange.stream !== 0 && exchange.hasBegun;
}

function textFor({ delivery, invocationId }: EventExchangeOptions): string {
  const trace = traceparent(delivery.traceparent, invocationId);
  return [invocationId, trace, String(delivery.attempt), "POST", "http://localhost", "/", "127.0.0.1", ""].join("\n");
}

function plainOutcome(body: Buffer, held: Overlay): OutcomeDocument {
  const text = body.toString();
  let value: unknown = text;
  try {
    value = text === "" ? null : JSON.parse(text);
  } catch {
    // A program may answer with plain text.
  }
  return { ok: true, value, seen: held.seen(), effects: held.effects() };
}

function thrownError({ error }: Extract<OutcomeDocument, { ok: false }>): AloftError {
  return new AloftError("FUNCTION_THREW", `${error.type}: ${error.message}`, {
    detail: { error: error.type, stack: error.stack },
  });
}
