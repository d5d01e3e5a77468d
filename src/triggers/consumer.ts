/** What a function wants delivered: one trigger of one function of what is live in an environment. */
import type { LiveDeployment } from "../contract/deployment.ts";
import type { Environment } from "../contract/durable.ts";

export interface Consumer {
  readonly environment: Environment;
  /** Of the trigger: `queue`, `stream`, ...; `async` for the calls of an environment. */
  readonly kind: string;
  /** Of the queue, the stream or the blob store; the schedule of a cron; "" for `async`. */
  readonly name: string;
  /** "" for `async`. */
  readonly functionName: string;
  /** The trigger's own, as it was declared. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Of a cron: which of its function's schedules it is, from 0 on. It stays the same cron when its schedule changes. */
  readonly slot?: number;
}

export interface Target {
  readonly live: LiveDeployment;
  readonly functionNumber: number;
}

/** Where deliveries go now; null: nowhere, what is to be delivered waits. Asked before each, so that a deploy takes over at once. */
export type FindTarget = (consumer: Consumer) => Target | null;

/** Two of the same are one consumer, whatever their options. */
export function consumerKey({ environment, kind, name, functionName, slot }: Consumer): string {
  return JSON.stringify([environment.id, environment.generation, kind, slot ?? name, functionName]);
}

/** Tells the schedules of each function apart. */
export function withSlots(consumers: readonly Consumer[]): readonly Consumer[] {
  const counts = new Map<string, number>();
  return consumers.map((consumer) => {
    if (consumer.kind !== "cron") return consumer;
    const slot = counts.get(consumer.functionName) ?? 0;
    counts.set(consumer.functionName, slot + 1);
    return { ...consumer, slot };
  });
}
