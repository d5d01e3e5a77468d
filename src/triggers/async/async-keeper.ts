/** The trigger kind `async`: one consumer for each environment in which functions were called asynchronously. */
import { type Environment, type OwnedShard, shardOf } from "../../contract/durable.ts";
import type { Keyspace } from "../../contract/keyspace.ts";
import { asyncPlace, cancelPrefix, cancelRange, idOfCall } from "../../state/async/async-keys.ts";
import { type ConsumerParts, QueueConsumer } from "../queue/queue-consumer.ts";
import type { TriggerKeeper, TriggerKind } from "../trigger-kind.ts";
import { type FindLive, workOfCalls } from "./async-work.ts";

export function createAsyncTrigger(parts: ConsumerParts, findLive: FindLive): TriggerKind {
  return {
    kind: "async",
    shardsOf: ({ environment }) => [shardOf(environment, "async", "")],
    open: (shard) => openAsyncKeeper(parts, findLive, shard),
  };
}

function openAsyncKeeper(parts: ConsumerParts, findLive: FindLive, shard: OwnedShard): TriggerKeeper {
  const lines = new Map<string, CallLine>();
  let isClosed = false;

  return {
    set({ environment }) {
      const key = `${environment.id} ${environment.generation}`;
      const standing = lines.get(key);
      if (standing !== undefined) standing.begin();
      else if (!isClosed) lines.set(key, new CallLine(parts, findLive, shard, environment));
    },
    drop({ environment }) {
      lines.get(`${environment.id} ${environment.generation}`)?.rest();
    },
    async close() {
      isClosed = true;
      await Promise.all([...lines.values()].map((one) => one.close()));
    },
  };
}

/** The calls of one environment. Nothing is delivered before it is known which of them were cancelled. */
class CallLine {
  readonly #parts: ConsumerParts;
  readonly #findLive: FindLive;
  readonly #environment: Environment;
  readonly #cancelled = new Set<string>();
  readonly #unwatch: () => void;
  #consumer: QueueConsumer | null = null;
  #isResting = false;
  #isClosed = false;
  #isStale = false;
  #reading: Promise<void> | null = null;
  #cancelScan: (() => void) | null = null;
  readonly #shard: OwnedShard;

  constructor(parts: ConsumerParts, findLive: FindLive, shard: OwnedShard, environment: Environment) {
    this.#parts = parts;
    this.#findLive = findLive;
    this.#shard = shard;
    this.#environment = environment;
    this.#unwatch = parts.keyspace.watch(cancelPrefix(asyncPlace(environment)), () => this.#look());
    this.#look();
    this.#scanForSafety();
  }

  begin(): void {
    this.#isResting = false;
    this.#consumer?.setWork(this.#work());
  }

  rest(): void {
    this.#isResting = true;
    this.#consumer?.setWork(null);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#unwatch();
    this.#cancelScan?.();
    await this.#reading;
    await this.#consumer?.close();
  }

  #work(): ReturnType<typeof workOfCalls> {
    return workOfCalls(this.#environment, this.#findLive, this.#cancelled);
  }

  #look(): void {
    this.#isStale = true;
    this.#reading ??= this.#readCancelled().finally(() => {
      this.#reading = null;
    });
  }

  #scanForSafety(): void {
    const { safetyScanMs, schedule } = this.#parts;
    if (safetyScanMs === null || this.#isClosed) return;
    this.#cancelScan = schedule(safetyScanMs, () => {
      this.#look();
      this.#scanForSafety();
    });
  }

  async #readCancelled(): Promise<void> {
    const place = asyncPlace(this.#environment);
    while (this.#isStale && !this.#isClosed) {
      this.#isStale = false;
      try {
        const ids = await readIds(this.#parts.keyspace, cancelRange(place));
        const added = ids.filter((id) => !this.#cancelled.has(id));
        this.#cancelled.clear();
        for (const id of ids) this.#cancelled.add(id);
        if (this.#consumer === null && !this.#isClosed) {
          this.#consumer = new QueueConsumer(this.#parts, this.#shard, place, this.#isResting ? null : this.#work());
        }
        for (const id of added) this.#consumer?.abort(id);
      } catch (error) {
        if (this.#isClosed) return;
        this.#parts.onError(error);
        this.#isStale = true;
        await new Promise<void>((resolve) => this.#parts.schedule(retryMs, resolve));
      }
    }
  }
}

const retryMs = 500;

async function readIds(keyspace: Keyspace, range: { start: Uint8Array; end: Uint8Array }): Promise<string[]> {
  const ids: string[] = [];
  let query: Parameters<Keyspace["range"]>[0] | null = range;
  while (query !== null) {
    const page: Awaited<ReturnType<Keyspace["range"]>> = await keyspace.range(query);
    for (const { key } of page.entries) ids.push(idOfCall(key));
    query = page.next;
  }
  return ids;
}
