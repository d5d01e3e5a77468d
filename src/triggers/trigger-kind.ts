/** What the engine asks of each kind of trigger. */
import type { Keeper, OwnedShard } from "../contract/durable.ts";
import type { Consumer } from "./consumer.ts";

export interface TriggerKind {
  /** That of the consumers that are its. */
  readonly kind: string;
  /** The shards in which a consumer's work lies. */
  shardsOf(consumer: Consumer): readonly number[];
  /** The shard has become ours. Its consumers are set right after. */
  open(shard: OwnedShard): TriggerKeeper;
}

export interface TriggerKeeper extends Keeper {
  /** There is this consumer, or its options have changed. */
  set(consumer: Consumer): void;
  /** There is no such consumer any more: nothing is begun for it; what runs goes on and commits. */
  drop(consumer: Consumer): void;
}
