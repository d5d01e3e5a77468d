/** The port of `state/` towards the control API: what people see of queues and do to them. Answers are the API's JSON as it is. */
export interface QueueJson {
  readonly name: string;
  /** The function that gets its messages; null: nobody does, they wait. */
  readonly consumer: string | null;
  readonly paused: boolean;
  /** Messages that wait or are being handled. */
  readonly messages: number;
  /** Those of them that are delayed or wait to be tried again. */
  readonly delayed: number;
  /** When the one that has waited longest was sent; null: none waits. */
  readonly oldestSentAt: string | null;
  /** Where what cannot be handled goes, and how many messages are there. */
  readonly deadLetter: string;
  readonly deadLetters: number;
}

export interface MessageJson {
  readonly id: string;
  readonly body: unknown;
  readonly sentAt: string;
  /** Deliveries that have failed. */
  readonly attempts: number;
  readonly group?: string;
  readonly priority?: number;
  /** Not before then. */
  readonly dueAt?: string;
  /** In a dead-letter queue: where it comes from and why. */
  readonly dead?: {
    readonly queue: string;
    readonly error: { readonly type: string; readonly message: string; readonly code?: string };
    readonly attempts: number;
    readonly at: string;
  };
}

export interface RedriveRequest {
  /** Only those whose error's name, code or message has this in it. */
  readonly error?: string;
  /** Only the message with this id. */
  readonly id?: string;
  /** Only says what would be sent. */
  readonly dryRun: boolean;
}

export interface RedriveJson {
  readonly messages: number;
  /** Of the first hundred. */
  readonly ids: readonly string[];
  readonly dryRun: boolean;
}

export interface SentJson {
  readonly id: string;
  readonly duplicate: boolean;
}

/** All throw APP_NOT_FOUND, ALIAS_NOT_FOUND, and QUEUE_NOT_FOUND where a queue has no consumer and was never sent anything. */
export interface QueueManaging {
  listQueues(app: string, alias: string): Promise<readonly QueueJson[]>;
  getQueue(app: string, alias: string, queue: string): Promise<QueueJson>;
  /** The next messages, without taking them. */
  peek(app: string, alias: string, queue: string, limit: number): Promise<readonly MessageJson[]>;
  /** A paused queue takes messages and begins none. */
  setPaused(app: string, alias: string, queue: string, paused: boolean): Promise<QueueJson>;
  /** All messages that are there are out of reach when it resolves; what is being handled may still commit. */
  purge(app: string, alias: string, queue: string): Promise<{ readonly purged: number }>;
  /** Sends dead letters of the queue to it again, with all their attempts. */
  redrive(app: string, alias: string, queue: string, request: RedriveRequest): Promise<RedriveJson>;
  /** Takes `{ body, delayMs?, dedupeId?, group?, priority? }` or `{ messages: [...] }` of these. The queue need not exist yet. */
  send(app: string, alias: string, queue: string, message: unknown): Promise<readonly SentJson[]>;
}
