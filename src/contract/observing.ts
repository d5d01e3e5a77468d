/** Records and logs: the shapes, and the port of `observe/`. */

/**
 * One invocation, as it is kept. Written when it has ended, whatever its end. Times of parts are microseconds.
 * Records and logs may lose their last second when the server is killed; nothing else depends on them.
 */
export interface InvocationRecord {
  /** 32 hexadecimal digits; sorts by start; also the trace id unless the caller brought one. */
  readonly id: string;
  readonly app: string;
  readonly alias: string;
  /** "" when no function was reached (404, 413, ...). */
  readonly function: string;
  readonly deployment: string;
  readonly trigger: "http" | "invoke" | "call" | "queue" | "stream" | "cron" | "blob" | "async";
  /** Epoch milliseconds. */
  readonly startedAtMs: number;
  /** From arrival to the moment an instance had it; includes `coldUs`. */
  readonly waitUs: number;
  /** The part of the wait that was the start of an instance for it; 0 when warm. */
  readonly coldUs: number;
  /** From hand-over to the last byte of the answer. */
  readonly handlerUs: number;
  readonly status: number;
  readonly outcome: "ok" | "error" | "timeout" | "cancelled" | "rejected";
  readonly attempt: number;
  /** Resident bytes of the instance as it last reported; 0 unknown. */
  readonly memoryBytes: number;
  /** Of an error of the platform's table; "" otherwise. */
  readonly errorCode: string;
  /** First 1,000 characters; "" otherwise. */
  readonly errorMessage: string;
  /** "GET /path" (path without query) for http, the event's own name for events, "" otherwise. */
  readonly subject: string;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LogLine {
  /** Epoch milliseconds. */
  readonly atMs: number;
  readonly app: string;
  /** "" when the line belongs to no function (import time, other processes). */
  readonly function: string;
  readonly deployment: string;
  /** "" when it belongs to no invocation. */
  readonly invocation: string;
  readonly level: LogLevel;
  /** `platform`: written by Aloft about the app (crash, out of memory, dropped lines). */
  readonly stream: "stdout" | "stderr" | "console" | "platform";
  readonly message: string;
}

export interface RecordFilter {
  readonly app?: string;
  readonly function?: string;
  readonly outcome?: InvocationRecord["outcome"];
  readonly sinceMs?: number;
  readonly untilMs?: number;
  /** Newest first; at most this many, 1 to 1,000, standard 100. */
  readonly limit?: number;
}

export interface LogFilter {
  readonly app?: string;
  readonly function?: string;
  readonly invocation?: string;
  /** This level and those above it. */
  readonly level?: LogLevel;
  readonly sinceMs?: number;
  readonly untilMs?: number;
  /** The newest so many, oldest of them first; 1 to 10,000, standard 1,000. */
  readonly limit?: number;
}

export interface ObserveStats {
  readonly recordsAccepted: number;
  readonly recordsWritten: number;
  readonly recordsDropped: number;
  readonly logsAccepted: number;
  readonly logsWritten: number;
  readonly logsDropped: number;
}

export interface Observer {
  /** On the hot path: encodes into memory and returns; never throws, never waits. */
  record(record: InvocationRecord): void;
  log(line: LogLine): void;
  listRecords(filter: RecordFilter): Promise<InvocationRecord[]>;
  findRecord(id: string): Promise<InvocationRecord | null>;
  listLogs(filter: LogFilter): Promise<LogLine[]>;
  /** Calls back for every line accepted from now on that passes; returns the way to stop. A slow reader loses lines, counted. */
  followLogs(filter: LogFilter, onLine: (line: LogLine) => void): () => void;
  followRecords(filter: RecordFilter, onRecord: (record: InvocationRecord) => void): () => void;
  /** Everything accepted so far is on disk when it resolves. */
  flush(): Promise<void>;
  stats(): ObserveStats;
  close(): Promise<void>;
}
