/**
 * The batches that the `queue(batch, env, ctx)` of a Workers module gets, from the queues that `aloft.json` gives the module as
 * triggers. https://developers.cloudflare.com/queues/configuration/javascript-apis/
 *
 * What differs: all of a batch is acknowledged together with what the handler wrote, so when it throws, every message of it
 * comes again, those it had acknowledged too.
 */
import { failedKey } from "../../sdk/declared-function.ts";

/** What the platform delivers. */
interface QueuePayload {
  readonly queue: string;
  readonly messages: readonly {
    readonly id: string;
    readonly body: unknown;
    readonly attempt: number;
    readonly sentAtMs: number;
  }[];
}

interface RetryOptions {
  readonly delaySeconds?: number;
}

/** What it resolves with says which messages are to be delivered again. */
export async function deliverBatch(payload: unknown, handler: (batch: unknown) => unknown): Promise<unknown> {
  const retries = new Map<string, RetryOptions>();
  await handler(batchOf(payload as QueuePayload, retries));
  if (retries.size === 0) return null;
  return { [failedKey]: [...retries].map(([id, options]) => ({ id, error: new Retried(options) })) };
}

/** A message that the handler wants again. */
class Retried extends Error {
  override readonly name = "Retried";
  readonly aloftRetry: number | undefined;

  constructor({ delaySeconds }: RetryOptions) {
    super("the handler asked for the message to be delivered again");
    if (delaySeconds !== undefined) this.aloftRetry = Math.max(0, Math.round(Number(delaySeconds) * 1000) || 0);
  }
}

/** The first call for a message counts, as in Workers; one for the whole batch is for those that had none. */
function batchOf({ queue, messages }: QueuePayload, retries: Map<string, RetryOptions>): unknown {
  const settled = new Set<string>();
  const ack = (id: string): void => void settled.add(id);
  const retry = (id: string, options: RetryOptions = {}): void => {
    if (settled.has(id)) return;
    settled.add(id);
    retries.set(id, options);
  };
  return {
    queue,
    messages: messages.map(({ id, body, attempt, sentAtMs }) => ({
      id,
      timestamp: new Date(sentAtMs),
      body,
      attempts: attempt,
      ack: () => ack(id),
      retry: (options?: RetryOptions) => retry(id, options),
    })),
    ackAll: () => {
      for (const { id } of messages) ack(id);
    },
    retryAll: (options?: RetryOptions) => {
      for (const { id } of messages) retry(id, options);
    },
  };
}
