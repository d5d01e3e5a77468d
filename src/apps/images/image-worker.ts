/** The main thread's end of `image-thread.ts`: a thread for one image, ended when that is done or the server stops. */
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { AloftError } from "../../contract/errors.ts";
import type { FromImageThread, ToImageThread } from "./image-messages.ts";
import type { LayerNotes } from "./layer-notes.ts";
import type { UnpackRequest } from "./layer-unpacker.ts";
import type { MergeRequest } from "./root-merger.ts";

/** Names of 500,000 files and what is on its way between decompressor and disk. */
const heapMiB = 512;

export class ImageWorker {
  readonly #worker: Worker;
  #settle: { resolve: (answer: FromImageThread) => void; reject: (error: Error) => void } | null = null;
  #endedBy: Error | null = null;

  constructor() {
    this.#worker = new Worker(new URL(`./image-thread${extname(import.meta.filename)}`, import.meta.url), {
      name: "image",
      execArgv: ["--disable-warning=ExperimentalWarning"],
      resourceLimits: { maxOldGenerationSizeMb: heapMiB },
    });
    this.#worker.on("message", (answer: FromImageThread) => this.#settle?.resolve(answer));
    this.#worker.on("error", (error) => this.#end(threadError(error)));
    this.#worker.on("exit", () => this.#end(new AloftError("SHUTTING_DOWN", "the server is stopping")));
  }

  /** Throws IMAGE_LAYER_INVALID, DEPLOYMENT_TOO_LARGE, and what the disk says. */
  async unpack(request: UnpackRequest): Promise<LayerNotes> {
    const answer = await this.#ask({ ...request, kind: "unpack" });
    if (answer.kind === "unpacked") return answer.notes;
    throw errorOf(answer);
  }

  /** Throws IMAGE_LAYER_INVALID, and what the disk says. */
  async merge(request: MergeRequest): Promise<void> {
    const answer = await this.#ask({ ...request, kind: "merge" });
    if (answer.kind !== "merged") throw errorOf(answer);
  }

  /** At once, whatever it is doing. */
  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  async #ask(question: ToImageThread): Promise<FromImageThread> {
    if (this.#endedBy !== null) throw this.#endedBy;
    try {
      return await new Promise((resolve, reject) => {
        this.#settle = { resolve, reject };
        this.#worker.postMessage(question, []);
      });
    } finally {
      this.#settle = null;
    }
  }

  #end(error: Error): void {
    this.#endedBy ??= error;
    this.#settle?.reject(this.#endedBy);
  }
}

function threadError(error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code !== "ERR_WORKER_OUT_OF_MEMORY") return new Error(`the image's thread failed: ${message}`, { cause: error });
  return new AloftError("DEPLOYMENT_TOO_LARGE", `unpacking the image takes more than ${heapMiB} MiB of memory`, {
    hint: "leave out what is needed only for building: the names of all files have to fit",
  });
}

function errorOf(answer: FromImageThread): Error {
  if (answer.kind === "refused") return new AloftError(answer.code, answer.message, { hint: answer.hint });
  if (answer.kind !== "failed") return new Error(`the image's thread answered ${answer.kind}`);
  const error = Object.assign(new Error(answer.message), { code: answer.errno });
  error.stack = answer.stack;
  return error;
}
