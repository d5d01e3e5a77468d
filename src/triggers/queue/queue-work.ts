/** What differs between the kinds of queues that one consumer serves: those of apps, and the calls that wait in an environment. */
import type { FunctionSpec } from "../../contract/deployment.ts";
import type { Check, Write } from "../../contract/keyspace.ts";
import type { QueueOptions, RetryPolicy } from "../../contract/queue-options.ts";
import { putEffect } from "../../state/queue/queue.ts";
import type { StoredMessage } from "../../state/queue/stored-message.ts";
import type { Effect, EventDocument, OutcomeError } from "../../wire/effects.ts";
import type { Consumer, FindTarget, Target } from "../consumer.ts";
import { queuePayload } from "./queue-payload.ts";

/** What goes into the commit along with the acknowledgement of a message. */
export interface Along {
  /** One that fails has the messages of the delivery read and delivered anew. */
  readonly checks?: readonly Check[];
  readonly writes: readonly Write[];
  readonly effects: readonly Effect[];
  /** What its handler has written is not wanted any more. */
  readonly isUnwanted?: boolean;
}

/** `gone`: there is nothing that could ever handle it. */
export type Destination = Target | "gone" | null;

export interface QueueWork {
  readonly trigger: EventDocument["trigger"];
  readonly options: QueueOptions;
  /** null: they wait. */
  target(messages: readonly StoredMessage[]): Destination;
  /** Whether anything could be handled now. */
  isLive(): boolean;
  payload(spec: FunctionSpec, messages: readonly StoredMessage[]): unknown;
  subject(messages: readonly StoredMessage[]): string;
  retryOf(message: StoredMessage): RetryPolicy;
  maxAgeMsOf(message: StoredMessage): number | null;
  alongAcked(message: StoredMessage, value: unknown, nowMs: number): Along;
  alongDead(message: StoredMessage, error: OutcomeError, nowMs: number): Along;
}

const nothing: Along = { writes: [], effects: [] };

export function workOfQueue(consumer: Consumer, options: QueueOptions, find: FindTarget): QueueWork {
  const { name } = consumer;
  return {
    trigger: "queue",
    options,
    target: () => find(consumer),
    isLive: () => find(consumer) !== null,
    payload: (spec, messages) => queuePayload(spec, name, messages),
    subject: ([first, ...more]) => `${name} ${first?.id ?? ""}${more.length === 0 ? "" : ` and ${more.length} more`}`,
    retryOf: () => options.retry,
    maxAgeMsOf: () => options.maxAgeMs,
    alongAcked: () => nothing,
    alongDead({ id, body, attempts, sentAtMs, group, priority }, { type, message, code }, nowMs) {
      const dead = {
        queue: name,
        error: { type, message, ...(code === undefined ? {} : { code }) },
        attempts: attempts + 1,
        id,
        sentAtMs,
        atMs: nowMs,
        ...(group === undefined ? {} : { group }),
        ...(priority === undefined ? {} : { priority }),
      };
      return { writes: [], effects: [putEffect(options.deadLetter, { id, body, dead })] };
    },
  };
}
