import type { Consumer, FindTarget, Target } from "./consumer.ts";

/** A consumer, with where deliveries for it go now. */
export interface Binding extends Consumer {
  /** null: nowhere; what is to be delivered waits. */
  readonly target: () => Target | null;
}

export function bind(consumer: Consumer, find: FindTarget): Binding {
  return { ...consumer, target: () => find(consumer) };
}
