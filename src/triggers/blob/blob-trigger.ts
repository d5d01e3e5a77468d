/** The trigger kind `blob`: each function that listens to a store consumes a queue of its own, into which the store's commits send. */
import { parseBlobOptions } from "../../contract/blob-options.ts";
import { blobQueueOf } from "../../state/blob/blob-listeners.ts";
import type { Consumer, FindTarget } from "../consumer.ts";
import type { ConsumerParts } from "../queue/queue-consumer.ts";
import { createQueueTrigger } from "../queue/queue-keeper.ts";
import { workOfQueue } from "../queue/queue-work.ts";
import type { TriggerKind } from "../trigger-kind.ts";
import { blobPayload, subjectOf } from "./blob-payload.ts";

export function createBlobTrigger(parts: ConsumerParts, find: FindTarget): TriggerKind {
  /** The consumer of the queue -> of the store. */
  const declared = new WeakMap<Consumer, Consumer>();
  const declaredOf = (queue: Consumer): Consumer => declared.get(queue) ?? queue;
  const queues = createQueueTrigger(
    parts,
    (queue) => find(declaredOf(queue)),
    (queue, options, findQueue) => ({
      ...workOfQueue(queue, options, findQueue),
      trigger: "blob",
      payload: (spec, messages) => blobPayload(spec, declaredOf(queue), messages),
      subject: (messages) => subjectOf(declaredOf(queue), messages),
    }),
  );

  function ofQueue(consumer: Consumer): Consumer {
    const { name, functionName, options } = consumer;
    const queue = {
      ...consumer,
      name: blobQueueOf(name, functionName),
      options: parseBlobOptions(name, options).queue,
    };
    declared.set(queue, consumer);
    return queue;
  }

  return {
    kind: "blob",
    shardsOf: (consumer) => queues.shardsOf(ofQueue(consumer)),
    open(shard) {
      const keeper = queues.open(shard);
      return {
        set: (consumer) => keeper.set(ofQueue(consumer)),
        drop: (consumer) => keeper.drop(ofQueue(consumer)),
        close: () => keeper.close(),
      };
    },
  };
}
