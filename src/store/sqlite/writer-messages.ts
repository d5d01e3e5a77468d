/**
 * What the server's thread and the writer's say to each other. The writer sleeps on `wake` of the shared words and not in its event
 * loop: a futex wakes it sooner, and every message is taken without a turn of the loop.
 */
import type { MergedPart } from "./overlay.ts";

/** `workerData` of the writer's thread. */
export interface WriterSettings {
  readonly file: string;
  readonly reserveFile: string;
  readonly reserveBytes: number;
  readonly walBytesMax: number;
  /** The overlay is merged when it has more than so many entries or bytes, and when nothing came for this long. */
  readonly unmergedEntries: number;
  readonly unmergedBytes: number;
  readonly idleMs: number;
  readonly shared: SharedArrayBuffer;
}

/**
 * Words that both threads see. `wake` changes when a message was sent to the writer; `seen` is the version up to which the
 * server's thread knows everything, so that the tree, which it reads, never holds what it has not heard of.
 */
export class SharedWords {
  static readonly bytes = 16;
  readonly #words: Int32Array;
  readonly #seen: BigInt64Array;

  constructor(shared: SharedArrayBuffer) {
    this.#words = new Int32Array(shared, 0, 1);
    this.#seen = new BigInt64Array(shared, 8, 1);
  }

  get wake(): number {
    return Atomics.load(this.#words, 0);
  }

  ring(): void {
    Atomics.add(this.#words, 0, 1);
    Atomics.notify(this.#words, 0);
  }

  /** Until `wake` is no longer this, at most so long. */
  sleep(wake: number, timeoutMs: number): "woken" | "timed-out" {
    return Atomics.wait(this.#words, 0, wake, timeoutMs) === "timed-out" ? "timed-out" : "woken";
  }

  get seen(): number {
    return Number(Atomics.load(this.#seen, 0));
  }

  set seen(version: number) {
    Atomics.store(this.#seen, 0, BigInt(version));
  }
}

export type ToWriter =
  | { readonly kind: "commits"; readonly bytes: ArrayBuffer; readonly count: number; readonly nowMs: number }
  | { readonly kind: "close" };

/** Two numbers for each commit of a group, in the order they were sent: what became of it, and which. */
export const answers = {
  /** The version. */
  committed: 0,
  repeat: 1,
  /** The index of the check. */
  conflict: 2,
  /** The index in refusalCodes. */
  refused: 3,
  unknown: 4,
} as const;

export const refusalCodes = [
  "COMMIT_TOO_LARGE",
  "NOT_AN_INTEGER",
  "DISK_FULL",
  "DATA_CORRUPT",
  "DATA_UNWRITABLE",
] as const;
export type RefusalCode = (typeof refusalCodes)[number];

export type FromWriter =
  /** First, and again when the writer had to read the file anew: everything that is not in the tree. */
  | {
      readonly kind: "loaded";
      readonly logs: readonly Uint8Array[];
      readonly version: number;
      readonly timeMs: number;
    }
  /** It could not open the file, and has ended. */
  | { readonly kind: "failed"; readonly code: string; readonly message: string; readonly hint: string | undefined }
  | {
      readonly kind: "group";
      readonly answers: Float64Array<ArrayBuffer>;
      /** What the group has changed (`changes.ts`), or null when nothing. */
      readonly changes: Uint8Array<ArrayBuffer> | null;
      readonly version: number;
    }
  | { readonly kind: "merged"; readonly part: MergedPart }
  | { readonly kind: "disk"; readonly isFull: boolean }
  | { readonly kind: "warning"; readonly text: string };
