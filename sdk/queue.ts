import type { Context } from "./context.ts";
import { type DeclaredFunction, failedKey, functionKey } from "./declared-function.ts";
import { type AsJson, asJson } from "./json.ts";
import { type Duration, type FunctionOptions, milliseconds } from "./options.ts";
import { stateHost, writeState } from "./state-host.ts";

/** How the messages of a queue are delivered. What is left out has the platform's default. */
export interface QueueOptions extends Omit<FunctionOptions, "concurrency"> {
  /** Messages of one delivery at most, 1 to 1,000; 1 when left out. */
  readonly batch?: number | undefined;
  /** How long a delivery waits for its batch to fill; it does not when left out. */
  readonly batchWindow?: Duration | undefined;
  /** Deliveries at once, 1 to 1,000; 64 when left out. */
  readonly concurrency?: number | undefined;
  /** Messages of one group that are handled at once; 1 when left out, which keeps them in order. */
  readonly groupConcurrency?: number | undefined;
  /** Messages that are begun at most in a time: `{ messages: 10, per: "1s" }`. */
  readonly rate?: { readonly messages: number; readonly per?: Duration | undefined } | undefined;
  /** A message that has waited longer goes to the dead-letter queue unhandled. */
  readonly maxAge?: Duration | undefined;
  readonly retry?: QueueRetry | undefined;
  /** Name of the queue that takes what could not be handled: `NAME-dead` when left out. */
  readonly deadLetter?: string | undefined;
}

export interface QueueRetry {
  /** Deliveries of a message in all; 5 when left out. */
  readonly attempts?: number | undefined;
  /** Before the second attempt; 1 s when left out. */
  readonly minDelay?: Duration | undefined;
  /** At most before a later one; 5 min when left out. */
  readonly maxDelay?: Duration | undefined;
  /** By which the delay grows with each attempt; 2 when left out. */
  readonly factor?: number | undefined;
  /** Share of the delay that is left to chance, 0 to 1; 0.2 when left out. */
  readonly jitter?: number | undefined;
}

export interface SendOptions {
  /** Not before so long from now, up to a year. */
  readonly delay?: Duration | undefined;
  /** Within 24 hours a message with the same id is not sent again; with other content it is refused (`DEDUPE_MISMATCH`). */
  readonly dedupeId?: string | undefined;
  /** Messages of one group are handled in the order they were sent, one after the other. */
  readonly group?: string | undefined;
  /** 0 (the default) to 9: higher ones go first. */
  readonly priority?: number | undefined;
}

export interface SentMessage {
  readonly id: string;
  /** It was sent before with the same `dedupeId`: the id is that of the first. */
  readonly duplicate: boolean;
}

export interface QueueMessage<T> {
  /** The same for every attempt, to hand on to the world outside. */
  readonly id: string;
  readonly body: AsJson<T>;
  /** 1 for the first time. */
  readonly attempt: number;
  readonly sentAt: Date;
  readonly group?: string;
  readonly priority?: number;
  /** In a dead-letter queue: where it comes from and why. */
  readonly dead?: DeadLetter;
}

export interface DeadLetter {
  readonly queue: string;
  readonly error: { readonly type: string; readonly message: string; readonly code?: string };
  readonly attempts: number;
}

/** The messages of one delivery. */
export interface Messages<T> extends ReadonlyArray<QueueMessage<T>> {
  /**
   * Handles one message after the other. What `handle` has written is undone when it throws: that message is tried again by
   * itself, and the rest commits. After a failure the later messages of its group wait.
   */
  each(handle: (message: QueueMessage<T>) => unknown): Promise<void>;
}

export type QueueHandler<T> = (messages: Messages<T>, context: Context) => unknown;

export interface Queue<T> {
  readonly name: string;
  /**
   * Durable when it resolves. In an event's handler it is sent with the handler's success, and null comes back: its id is not
   * known before.
   */
  send(body: T, options?: SendOptions): Promise<SentMessage | null>;
  /** Up to 1,000 at once, all of them or none. */
  sendBatch(messages: readonly ({ readonly body: T } & SendOptions)[]): Promise<readonly SentMessage[] | null>;
}

/** A queue with its handler: export it, and the platform delivers to it. */
export interface QueueFunction<T> extends Queue<T> {
  /** The handler as it was given. */
  readonly handler: QueueHandler<T>;
}

/**
 * A queue of the app by its name; with a handler, the function that gets its messages. What a handler writes commits together
 * with the acknowledgement of the messages it got; when it throws, nothing of it does and they are delivered again.
 *
 *     export const orders = queue<Order>("orders", { batch: 100 }, async (messages) => {
 *       await messages.each(async ({ body }) => ship(body));
 *     });
 *     await orders.send({ sku: "a1" }, { delay: "10m" });
 */
export function queue<T = unknown>(name: string): Queue<T>;
export function queue<T = unknown>(name: string, handler: QueueHandler<T>): QueueFunction<T>;
export function queue<T = unknown>(name: string, options: QueueOptions, handler: QueueHandler<T>): QueueFunction<T>;
export function queue<T>(
  name: string,
  ...more: [] | [QueueHandler<T>] | [QueueOptions, QueueHandler<T>]
): Queue<T> | QueueFunction<T> {
  if (typeof name !== "string" || name === "") throw new TypeError("queue(): the name is a text");
  const sending: Queue<T> = {
    name,
    send: (body, options = {}) =>
      writeState({
        resource: "queue",
        name,
        method: "send",
        args: messageArgs(body, options),
      }) as Promise<SentMessage | null>,
    sendBatch: (messages) => {
      const args = { messages: messages.map(({ body, ...options }) => messageArgs(body, options)) };
      return writeState({ resource: "queue", name, method: "sendBatch", args }) as Promise<SentMessage[] | null>;
    },
  };
  if (more.length === 0) return sending;
  const [options, handler] = more.length === 1 ? [{}, more[0]] : more;
  if (typeof handler !== "function") throw new TypeError(`queue("${name}"): the handler is not a function`);
  const [triggerOptions, functionOptions] = splitOptions(options);

  async function deliver({ messages }: { messages: readonly WireMessage[] }, context: Context): Promise<unknown> {
    const failed: { id: string; error: unknown }[] = [];
    const value = await handler(messagesOf<T>(messages, failed), context);
    return failed.length === 0 ? value : { [failedKey]: failed };
  }

  const declared: DeclaredFunction = {
    kind: "event",
    trigger: { kind: "queue", name, options: triggerOptions },
    options: functionOptions,
    handler: deliver,
  };
  // A function's own name cannot be assigned, only defined.
  Object.defineProperty(deliver, "name", { value: name });
  const { send, sendBatch } = sending;
  return Object.assign(deliver, { send, sendBatch, handler, [functionKey]: declared });
}

/** Throw it from a handler: the message is tried again, not before so long from now. */
export class RetryAfter extends Error {
  readonly aloftRetry: number;

  constructor(delay: Duration, message = "to be tried again later") {
    super(message);
    this.name = "RetryAfter";
    this.aloftRetry = milliseconds("delay", delay);
  }
}

/** Throw it from a handler: the message would fail in the same way every time, and goes to the dead-letter queue at once. */
export class NonRetryable extends Error {
  readonly aloftRetry = "never";

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "NonRetryable";
  }
}

interface WireMessage {
  readonly id: string;
  readonly body: unknown;
  readonly attempt: number;
  readonly sentAtMs: number;
  readonly group?: string;
  readonly priority?: number;
  readonly dead?: DeadLetter;
}

function messagesOf<T>(wire: readonly WireMessage[], failed: { id: string; error: unknown }[]): Messages<T> {
  const messages = wire.map(({ sentAtMs, ...message }) => ({ ...message, sentAt: new Date(sentAtMs) }));
  const brokenGroups = new Set<string>();

  async function each(handle: (message: QueueMessage<T>) => unknown): Promise<void> {
    for (const message of messages as readonly QueueMessage<T>[]) {
      const { id, group } = message;
      if (group !== undefined && brokenGroups.has(group)) continue;
      try {
        await stateHost().undoOnThrow(async () => await handle(message));
      } catch (error) {
        failed.push({ id, error });
        if (group !== undefined) brokenGroups.add(group);
      }
    }
  }

  return Object.assign(messages as unknown as QueueMessage<T>[], { each });
}

function messageArgs(body: unknown, { delay, ...options }: SendOptions): Readonly<Record<string, unknown>> {
  if (body === undefined) throw new TypeError("the message is undefined; it must be something that JSON has");
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { body: asJson(body), ...given, ...(delay === undefined ? {} : { delayMs: milliseconds("delay", delay) }) };
}

const triggerOptionNames: readonly string[] = [
  "batch",
  "batchWindow",
  "concurrency",
  "groupConcurrency",
  "rate",
  "maxAge",
  "retry",
  "deadLetter",
];

/** Those of the queue, and those of the function that handles it. */
function splitOptions(options: QueueOptions): [Readonly<Record<string, unknown>>, FunctionOptions] {
  const given = Object.entries(options as Readonly<Record<string, unknown>>).filter(([, value]) => value !== undefined);
  const isOfQueue = ([name]: [string, unknown]): boolean => triggerOptionNames.includes(name);
  return [
    Object.fromEntries(given.filter((one) => isOfQueue(one))),
    Object.fromEntries(given.filter((one) => !isOfQueue(one))),
  ];
}
