/** The trigger kind `queue`: one consumer for each queue that a function of what is live wants messages of. */
import type { OwnedShard } from "../../contract/durable.ts";
import { shardOf } from "../../contract/durable.ts";
import { parseQueueOptions } from "../../contract/queue-options.ts";
import { queuePlace } from "../../state/queue/queue-keys.ts";
import type { FindTarget } from "../consumer.ts";
import type { TriggerKeeper, TriggerKind } from "../trigger-kind.ts";
import { type ConsumerParts, QueueConsumer } from "./queue-consumer.ts";
import { workOfQueue } from "./queue-work.ts";

/** `workOf`: what is different about queues that carry something else than messages of the app. */
export function createQueueTrigger(
  parts: ConsumerParts,
  find: FindTarget,
  workOf: typeof workOfQueue = workOfQueue,
): TriggerKind {
  return {
    kind: "queue",
    shardsOf: ({ environment, name }) => [shardOf(environment, "queue", name)],
    open: (shard) => openQueueKeeper(parts, find, workOf, shard),
  };
}

function openQueueKeeper(
  parts: ConsumerParts,
  find: FindTarget,
  workOf: typeof workOfQueue,
  shard: OwnedShard,
): TriggerKeeper {
  /** A queue whose consumer has gone keeps its place here: should one come back, it meets what still runs. */
  const consumers = new Map<string, QueueConsumer>();
  let isClosed = false;

  return {
    set(consumer) {
      if (isClosed) return;
      const { environment, name } = consumer;
      const key = `${environment.id} ${environment.generation} ${name}`;
      const work = workOf(consumer, parseQueueOptions(name, consumer.options), find);
      const standing = consumers.get(key);
      if (standing === undefined)
        consumers.set(key, new QueueConsumer(parts, shard, queuePlace(environment, "queue", name), work));
      else standing.setWork(work);
    },
    drop({ environment, name }) {
      consumers.get(`${environment.id} ${environment.generation} ${name}`)?.setWork(null);
    },
    async close() {
      isClosed = true;
      await Promise.all([...consumers.values()].map((one) => one.close()));
    },
  };
}
