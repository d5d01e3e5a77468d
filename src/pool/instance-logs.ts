/** What an instance says, up to a rate. What is over it is dropped, counted, and told with the next line that passes. */
import type { Exchange } from "../contract/exchange.ts";
import { limits } from "../contract/limits.ts";
import type { LogLine } from "../contract/observing.ts";
import { TokenBucket } from "../lib/token-bucket.ts";
import type { LogMessage } from "../wire/messages.ts";

export interface InstanceLog {
  readonly exchange: Exchange | null;
  readonly atMs: number;
  readonly level: LogLine["level"];
  readonly stream: LogLine["stream"];
  readonly message: string;
}

const levels = ["debug", "info", "warn", "error"] as const;
const sources = ["console", "stdout", "stderr"] as const;
/** The clock inside is the user's: a time further from ours than this is not believed. */
const clockErrorMs = 60_000;

export class InstanceLogs {
  readonly #now: () => number;
  readonly #deliver: (log: InstanceLog) => void;
  readonly #bucket: TokenBucket;
  #dropped = 0;

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number, deliver: (log: InstanceLog) => void) {
    this.#now = now;
    this.#deliver = deliver;
    this.#bucket = new TokenBucket(limits.logLinesPerSecond, limits.logLinesBurst, now());
  }

  /** From the guest's console. */
  received({ level, source, atMs, text }: LogMessage, exchange: Exchange | null): void {
    const nowMs = Date.now();
    this.#write({
      exchange,
      atMs: Math.abs(atMs - nowMs) < clockErrorMs ? atMs : nowMs,
      level: levels[level] ?? "info",
      stream: sources[source] ?? "console",
      message: text.length > limits.logLineBytes ? text.slice(0, limits.logLineBytes) : text,
    });
  }

  /** Past the guest's capture, from the descriptors themselves. */
  printed(stream: "stdout" | "stderr", message: string): void {
    const level = stream === "stderr" ? "error" : "info";
    this.#write({ exchange: null, atMs: Date.now(), level, stream, message });
  }

  end(): void {
    this.#reportDropped();
  }

  #write(log: InstanceLog): void {
    if (!this.#bucket.take(this.#now())) {
      this.#dropped += 1;
      return;
    }
    this.#reportDropped();
    this.#deliver(log);
  }

  #reportDropped(): void {
    if (this.#dropped === 0) return;
    const message = `${this.#dropped} log lines were dropped: more than ${limits.logLinesPerSecond} lines/s`;
    this.#dropped = 0;
    this.#deliver({ exchange: null, atMs: Date.now(), level: "warn", stream: "platform", message });
  }
}
