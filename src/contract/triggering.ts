/** The port of `triggers/` towards the control API: what a developer sees of crons and streams, and does to them. */

export interface CronJson {
  /** The function's name; `NAME#1` for the second schedule of a function. */
  readonly name: string;
  readonly function: string;
  readonly schedule: string;
  readonly timezone: string;
  readonly missed: string;
  readonly overlap: string;
  readonly paused: boolean;
  readonly running: boolean;
  /** Times of RFC 3339, the next one first; none while it is paused. */
  readonly next: readonly string[];
  readonly last: { readonly scheduledAt: string; readonly endedAt: string; readonly error: string | null } | null;
  readonly succeeded: number;
  readonly failed: number;
}

export interface CronRunJson {
  readonly value: unknown;
}

export interface StreamJson {
  readonly name: string;
  readonly partitions: number;
  readonly retentionMs: number;
  readonly retentionBytes: number | null;
  /** Records that were ever appended, and those that retention has removed. */
  readonly appended: number;
  readonly removed: number;
  readonly bytes: number;
  readonly consumers: readonly ConsumerJson[];
}

export interface ConsumerJson {
  readonly name: string;
  /** `running` and its like; `unbound` when no live function of this name consumes the stream. */
  readonly state: string;
  readonly paused: boolean;
  readonly lanes: number;
  /** Records that were appended and are not done with. */
  readonly lag: number;
  readonly done: number;
  readonly parked: number;
  /** Records that were parked and sent back, and wait to be tried again. */
  readonly redriven: number;
  /** Of windows: records that came too late, and windows that have ended. */
  readonly late: number;
  readonly windows: number;
  readonly watermark: string | null;
}

export interface StreamRecordJson {
  readonly partition: number;
  readonly offset: string;
  readonly key: string | null;
  readonly value: unknown;
  readonly appendedAt: string;
}

/** Which of a consumer's parked records and windows are sent back to it: those of which all that is given is true. */
export interface RedriveParkedRequest {
  /** The error's name or message has this in it. */
  readonly error?: string;
  /** Of the record, or of the window. */
  readonly key?: string;
  /** Only the record at this offset. */
  readonly offset?: string;
  /** Only says what would be sent back. */
  readonly dryRun: boolean;
}

export interface RedriveParkedJson {
  readonly records: number;
  readonly windows: number;
  /** Of the first hundred records. */
  readonly offsets: readonly string[];
  readonly dryRun: boolean;
}

export interface ReadRequest {
  /** null: the first. */
  readonly partition: number | null;
  /** `earliest`, `latest` (the newest ones), a time or an offset; null: `earliest`. */
  readonly from: string | null;
  readonly limit: number;
}

/** All throw APP_NOT_FOUND, CRON_NOT_FOUND, STREAM_NOT_FOUND, CONSUMER_NOT_FOUND or REQUEST_INVALID. */
export interface Triggering {
  listCrons(app: string, alias: string): Promise<readonly CronJson[]>;
  /** Runs it now, and answers when it has ended; throws what its handler has thrown. */
  runCron(app: string, alias: string, name: string): Promise<CronRunJson>;
  pauseCron(app: string, alias: string, name: string, isPaused: boolean): Promise<CronJson>;

  listStreams(app: string, alias: string): Promise<readonly StreamJson[]>;
  getStream(app: string, alias: string, stream: string): Promise<StreamJson>;
  appendRecords(
    app: string,
    alias: string,
    stream: string,
    body: Readonly<Record<string, unknown>>,
  ): Promise<{ readonly appended: number }>;
  readRecords(app: string, alias: string, stream: string, request: ReadRequest): Promise<readonly StreamRecordJson[]>;
  /** Removes the records that are in it; consumers keep their places, and what they are handling ends. */
  purgeStream(app: string, alias: string, stream: string): Promise<{ readonly purged: number }>;
  /** With its records and what is kept of former consumers. Throws STREAM_IN_USE while a live function consumes it. */
  deleteStream(app: string, alias: string, stream: string): Promise<{ readonly deleted: number }>;
  /** Goes on from there, whatever it has done; its open windows are forgotten. Durable when it resolves. */
  seekConsumer(app: string, alias: string, stream: string, consumer: string, from: string): Promise<void>;
  pauseConsumer(app: string, alias: string, stream: string, consumer: string, isPaused: boolean): Promise<void>;
  /** Records and windows that were given up, the oldest first, with their errors. */
  listParked(app: string, alias: string, stream: string, consumer: string): Promise<readonly unknown[]>;
  /** Durable when it resolves. A record is tried alone, and parked again when it goes on failing. */
  redriveParked(
    app: string,
    alias: string,
    stream: string,
    consumer: string,
    request: RedriveParkedRequest,
  ): Promise<RedriveParkedJson>;
}
