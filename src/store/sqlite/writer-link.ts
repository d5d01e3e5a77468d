/**
 * The server's end of the writer's thread: starts it, sends it commits in batches, gives its answers to whom they belong, and
 * starts it again should it die.
 *
 *   starting -> ready -> (dies) -> starting        ready -> closing -> ended
 *
 * A batch is sent at the end of the turn, or of the present run of microtasks when the writer has nothing to do: one message
 * for all who were woken together. Commits on their way to a writer that died have an unknown outcome.
 */
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { AloftError, type ErrorCode, errorTable } from "../../contract/errors.ts";
import type { Commit, CommitOutcome } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { conflictKey, refusalError, unknownError } from "../refusals.ts";
import { BatchEncoder } from "./batch.ts";
import type { KeyspaceStats } from "./keyspace-metrics.ts";
import { corruptError } from "./sqlite-errors.ts";
import {
  answers,
  type FromWriter,
  refusalCodes,
  type RefusalCode,
  SharedWords,
  type ToWriter,
  type WriterSettings,
} from "./writer-messages.ts";

export interface WriterLinkOptions {
  readonly settings: WriterSettings;
  /** For each batch: the store's time. */
  readonly nowMs: () => number;
  /** Called before the answers of the same message are given. */
  readonly onMessage: (message: Exclude<FromWriter, { kind: "failed" }>) => void;
  readonly onWarning: (text: string) => void;
  /** For tests: another file in place of the writer's. */
  readonly threadUrl?: URL;
}

interface Waiting {
  readonly commit: Commit;
  readonly contentBytes: number;
  readonly resolve: (outcome: CommitOutcome) => void;
  readonly reject: (error: unknown) => void;
}

/** A writer that dies at once, every time, must not take a core with it. */
const startsInRowMax = 5;

export class WriterLink {
  readonly #options: WriterLinkOptions;
  readonly #words: SharedWords;
  readonly #batch = new BatchEncoder();
  /** In the order of their answers: those that were sent, then those in the batch. */
  #waiting: Waiting[] = [];
  /** Of `#waiting`, those that are answered already: the array is cut only now and then. */
  #answered = 0;
  #waitingBytes = 0;
  #worker: Worker | null = null;
  #startsInRow = 0;
  #isFlushDue = false;
  #state: "open" | "closing" | "ended" = "open";
  #onIdle: (() => void) | null = null;
  readonly #counts = { committed: 0, conflicts: 0, refused: 0, unknown: 0, groups: 0 };

  constructor(options: WriterLinkOptions) {
    this.#options = options;
    this.#words = new SharedWords(options.settings.shared);
  }

  stats(): Omit<KeyspaceStats, "unmergedEntries" | "isDiskFull" | "reads"> {
    return { ...this.#counts, waiting: this.#waiting.length - this.#answered };
  }

  /** Resolves when the writer has read the file; rejects with what kept it from that. */
  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      const worker = this.#start();
      worker.once("message", (message: FromWriter) => {
        if (message.kind === "failed") reject(errorOf(message));
        else resolve();
      });
      worker.once("exit", () => reject(new AloftError("INTERNAL", "the writer's thread ended while it was starting")));
    });
  }

  /** `contentBytes` is what measureCommit has said. */
  commit(commit: Commit, contentBytes: number): Promise<CommitOutcome> {
    const count = this.#waiting.length - this.#answered;
    if (count >= limits.commitsWaiting || this.#waitingBytes + contentBytes > limits.commitsWaitingBytes) {
      const busy = `${count} commits with ${this.#waitingBytes} bytes are waiting, no more are taken`;
      return Promise.reject(new AloftError("KEYSPACE_BUSY", busy, { hint: "try again in a moment" }));
    }
    return new Promise((resolve, reject) => {
      if (count === 0) this.#worker?.ref(); // someone waits: the process must live until the answer
      this.#waiting.push({ commit, contentBytes, resolve, reject });
      this.#waitingBytes += contentBytes;
      this.#batch.add(commit, contentBytes);
      if (this.#isFlushDue) return;
      this.#isFlushDue = true;
      if (count === 0) queueMicrotask(this.#flush);
      else setImmediate(this.#flush);
    });
  }

  /** Waits for all commits, calls `onSettled`, then ends the writer. */
  async close(onSettled: () => void = () => {}): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#flush();
    if (this.#waiting.length > this.#answered) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    onSettled();
    const worker = this.#worker;
    this.#state = "ended";
    if (worker === null) return;
    worker.ref();
    const exited = new Promise((resolve) => worker.once("exit", resolve));
    this.#send({ kind: "close" });
    await exited;
  }

  readonly #flush = (): void => {
    this.#isFlushDue = false;
    const { count } = this.#batch;
    if (count === 0 || this.#worker === null) return;
    this.#send({ kind: "commits", bytes: this.#batch.take(), count, nowMs: this.#options.nowMs() });
  };

  #send(message: ToWriter): void {
    this.#worker?.postMessage(message, message.kind === "commits" ? [message.bytes] : []);
    this.#words.ring();
  }

  #start(): Worker {
    const worker = new Worker(this.#options.threadUrl ?? threadUrl(), {
      name: "keyspace",
      workerData: this.#options.settings,
      execArgv: ["--disable-warning=ExperimentalWarning"],
    });
    worker.unref();
    worker.on("message", (message: FromWriter) => this.#receive(message));
    let cause = "";
    worker.on("error", (error) => (cause = String(error)));
    worker.on("exit", (code) => this.#ended(worker, cause === "" ? `exit code ${code}` : cause));
    this.#worker = worker;
    return worker;
  }

  #receive(message: FromWriter): void {
    switch (message.kind) {
      case "failed":
        this.#options.onWarning(`the writer could not open the keyspace: ${message.message}`);
        return;
      case "group":
        this.#startsInRow = 0;
        this.#options.onMessage(message);
        this.#answer(message.answers);
        return;
      case "loaded":
      case "merged":
      case "disk":
      case "warning":
        this.#options.onMessage(message);
    }
  }

  #answer(found: Float64Array): void {
    this.#counts.groups++;
    for (let at = 0; at < found.length; at += 2) {
      const waiting = this.#next();
      const which = found[at + 1] ?? 0;
      switch (found[at]) {
        case answers.committed:
          this.#counts.committed++;
          waiting.resolve({ kind: "committed", version: which, isRepeat: false });
          break;
        case answers.repeat:
          waiting.resolve({ kind: "committed", version: which, isRepeat: true });
          break;
        case answers.conflict:
          this.#counts.conflicts++;
          waiting.resolve({ kind: "conflict", check: which, key: conflictKey(waiting.commit, which) });
          break;
        case answers.refused:
          this.#counts.refused++;
          waiting.reject(this.#refusal(refusalCodes[which]));
          break;
        default:
          this.#counts.unknown++;
          waiting.reject(unknownError());
      }
    }
    this.#settle();
  }

  #next(): Waiting {
    const waiting = this.#waiting[this.#answered++];
    if (waiting === undefined) throw new RangeError("the writer has answered more than it was asked");
    this.#waitingBytes -= waiting.contentBytes;
    return waiting;
  }

  #settle(): void {
    if (this.#answered === this.#waiting.length) {
      this.#waiting = [];
      this.#answered = 0;
      this.#worker?.unref();
      this.#onIdle?.();
    } else if (this.#answered > 1024) {
      this.#waiting = this.#waiting.slice(this.#answered);
      this.#answered = 0;
    }
  }

  #refusal(code: RefusalCode | undefined): AloftError {
    switch (code) {
      case "COMMIT_TOO_LARGE":
      case "NOT_AN_INTEGER":
      case "DISK_FULL":
        return refusalError(code);
      case "DATA_UNWRITABLE":
        return new AloftError(code, `${this.#options.settings.file} cannot be written`);
      case "DATA_CORRUPT":
      case undefined:
        return corruptError(this.#options.settings.file);
    }
  }

  #ended(worker: Worker, cause: string): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    if (this.#state === "ended") return;
    this.#options.onWarning(`the writer's thread ended: ${cause}`);
    // What was not sent has not happened, but telling the two apart would help nobody.
    this.#batch.take();
    this.#counts.unknown += this.#waiting.length - this.#answered;
    while (this.#answered < this.#waiting.length) this.#next().reject(unknownError(new Error(cause)));
    this.#settle();
    if (this.#state === "open" && ++this.#startsInRow <= startsInRowMax) this.#start();
  }
}

/** Beside this file and of its own kind: TypeScript in a checkout, JavaScript in the published package. */
function threadUrl(): URL {
  return new URL(`./writer-thread${extname(fileURLToPath(import.meta.url))}`, import.meta.url);
}

function errorOf({ code, message, hint }: Extract<FromWriter, { kind: "failed" }>): AloftError {
  return new AloftError(isErrorCode(code) ? code : "INTERNAL", message, { hint });
}

function isErrorCode(code: string): code is ErrorCode {
  return code in errorTable;
}
