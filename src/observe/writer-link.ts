/**
 * The main thread's end of the writer: starts it, sends to it, and starts it again when it dies.
 *
 *   starting -> ready -> (dies) -> dead -> (something to send, at least observeRestartMs after the last start) -> starting
 *
 * What was on its way to a writer that died is reported as lost; questions to it fail. Nothing here keeps the process alive.
 */
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import type { Clock } from "../lib/clock.ts";
import type { FromWriter, ToWriter, WriterSettings } from "./writer-messages.ts";

export interface WriterLinkOptions {
  readonly clock: Clock;
  readonly settings: Omit<WriterSettings, "nowMs">;
  readonly onWarning: (text: string) => void;
  /** The writer died; whatever it had not answered is lost. */
  readonly onLost: () => void;
  /** For tests: another file in place of the writer's. */
  readonly threadUrl?: URL;
}

interface Question {
  readonly resolve: (blocks: readonly Uint8Array[]) => void;
  readonly reject: (error: AloftError) => void;
}

export class WriterLink {
  readonly #options: WriterLinkOptions;
  readonly #questions = new Map<number, Question>();
  #worker: Worker | null = null;
  #startedAtMs = -Infinity;
  #nextRequest = 1;
  #isClosing = false;

  constructor(options: WriterLinkOptions) {
    this.#options = options;
  }

  /** Resolves when the writer has opened its files, or died trying. */
  open(): Promise<void> {
    const worker = this.#start();
    return new Promise((resolve) => {
      worker.once("message", () => resolve());
      worker.once("exit", () => resolve());
    });
  }

  /** false when no writer runs. */
  send(message: ToWriter): boolean {
    const worker = this.#worker ?? this.#restart();
    if (worker === null) return false;
    worker.postMessage(message, []); // the empty list tells the linter that this is no window
    return true;
  }

  ask(question: (request: number) => ToWriter): Promise<readonly Uint8Array[]> {
    return new Promise((resolve, reject) => {
      const request = this.#nextRequest++;
      this.#questions.set(request, { resolve, reject });
      if (this.send(question(request))) {
        this.#worker?.ref(); // someone waits: the process must live until the answer
      } else {
        this.#questions.delete(request);
        reject(writerGone());
      }
    });
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    const worker = this.#worker;
    if (worker === null) return;
    const exited = new Promise((resolve) => worker.once("exit", resolve));
    await this.ask((request) => ({ kind: "close", request })).catch(() => null);
    worker.ref();
    await exited;
  }

  #restart(): Worker | null {
    const isTooSoon = this.#options.clock.monotonicMs() - this.#startedAtMs < limits.observeRestartMs;
    return this.#isClosing || isTooSoon ? null : this.#start();
  }

  #start(): Worker {
    const { clock, settings } = this.#options;
    this.#startedAtMs = clock.monotonicMs();
    const workerData: WriterSettings = { ...settings, nowMs: clock.nowMs() };
    const worker = new Worker(this.#options.threadUrl ?? threadUrl(), {
      name: "observe",
      workerData,
      execArgv: ["--disable-warning=ExperimentalWarning"],
      resourceLimits: { maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 8 },
    });
    worker.on("message", (message: FromWriter) => this.#receive(message));
    let cause = "";
    worker.on("error", (error) => (cause = String(error)));
    worker.on("exit", (code) => this.#ended(cause === "" ? `exit code ${code}` : cause));
    this.#worker = worker;
    return worker;
  }

  #receive(message: FromWriter): void {
    switch (message.kind) {
      case "ready":
        if (this.#questions.size === 0) this.#worker?.unref();
        return;
      case "warning":
        this.#options.onWarning(message.text);
        return;
      case "answer": {
        const question = this.#questions.get(message.request);
        this.#questions.delete(message.request);
        if (this.#questions.size === 0) this.#worker?.unref();
        question?.resolve(message.blocks);
      }
    }
  }

  #ended(cause: string): void {
    this.#worker = null;
    if (!this.#isClosing) this.#options.onWarning(`the writer of records and logs ended: ${cause}`);
    this.#options.onLost();
    const questions = [...this.#questions.values()];
    this.#questions.clear();
    for (const question of questions) question.reject(writerGone());
  }
}

/** Beside this file and of its own kind: TypeScript in a checkout, JavaScript in the published package. */
function threadUrl(): URL {
  return new URL(`./writer-thread${extname(fileURLToPath(import.meta.url))}`, import.meta.url);
}

function writerGone(): AloftError {
  return new AloftError("INTERNAL", "the writer of records and logs is not running", {
    hint: `it is started again within ${limits.observeRestartMs / 1000} s; look into the server's own output for the cause`,
  });
}
