/** All consumers of streams in the shards that this node owns. */
import type { Environment, OwnedShard } from "../../contract/durable.ts";
import { consumerShard } from "../../state/stream/stream-keys.ts";
import { bind, type Binding } from "../binding.ts";
import type { Consumer, FindTarget } from "../consumer.ts";
import type { TriggerKeeper, TriggerKind } from "../trigger-kind.ts";
import { StreamConsumer, type StreamConsumerOptions } from "./consumer.ts";

export interface StreamConsumersOptions extends Omit<StreamConsumerOptions, "binding" | "owned"> {
  /** Told of each stream that is read. */
  readonly onBound: (environment: Environment, stream: string) => void;
}

export class StreamConsumers implements TriggerKind {
  readonly kind = "stream";
  readonly #options: StreamConsumersOptions;
  readonly #find: FindTarget;
  readonly #consumers = new Map<string, StreamConsumer>();

  constructor(options: StreamConsumersOptions, find: FindTarget) {
    this.#options = options;
    this.#find = find;
  }

  shardsOf({ environment, name, functionName }: Consumer): readonly number[] {
    return [consumerShard(environment, name, functionName)];
  }

  open(owned: OwnedShard): TriggerKeeper {
    const ids = new Set<string>();
    return {
      set: (consumer) => {
        ids.add(idOf(consumer.environment, consumer.name, consumer.functionName));
        this.#set(bind(consumer, this.#find), owned);
      },
      drop: (consumer) => {
        const id = idOf(consumer.environment, consumer.name, consumer.functionName);
        ids.delete(id);
        void this.#remove(id);
      },
      close: async () => {
        await Promise.all([...ids].map((id) => this.#remove(id)));
      },
    };
  }

  #set(binding: Binding, owned: OwnedShard): void {
    const id = idOf(binding.environment, binding.name, binding.functionName);
    const known = this.#consumers.get(id);
    this.#options.onBound(binding.environment, binding.name);
    if (known !== undefined) known.rebind(binding);
    else this.#consumers.set(id, new StreamConsumer({ ...this.#options, binding, owned }));
  }

  async #remove(id: string): Promise<void> {
    const consumer = this.#consumers.get(id);
    this.#consumers.delete(id);
    await consumer?.close();
  }

  /** Resolves when every consumer has begun, or could not. */
  async opened(): Promise<void> {
    await Promise.all([...this.#consumers.values()].map((consumer) => consumer.opened()));
  }

  find(environment: Environment, stream: string, consumer: string): StreamConsumer | null {
    return this.#consumers.get(idOf(environment, stream, consumer)) ?? null;
  }
}

function idOf({ id, generation }: Environment, stream: string, consumer: string): string {
  return JSON.stringify([id, generation, stream, consumer]);
}
