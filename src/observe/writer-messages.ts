/** What the main thread and the writer's thread say to each other. Messages are answered in the order they were sent. */
import type { BlockHead, Retention } from "./block-store.ts";
import type { Selection } from "./block-kind.ts";

export type KindName = "records" | "logs";

/** `workerData` of the writer's thread. */
export interface WriterSettings {
  readonly folder: string;
  readonly retention: Readonly<Record<KindName, Retention>>;
  readonly nowMs: number;
}

/**
 * A chunk is memory that both threads see, and whose it is stands in an array that both see too. It goes to the writer by a
 * message and comes back by its state alone: a message back would wake the main thread for every chunk.
 */
export const slotState = { ours: 0, away: 1, stored: 2, refused: 3 } as const;

export type ToWriter =
  /** The first `bytes` of `chunk`; what became of them is said in `states[slot]`. */
  | {
      readonly kind: "write";
      readonly of: KindName;
      readonly chunk: SharedArrayBuffer;
      readonly bytes: number;
      readonly head: BlockHead;
      readonly states: Int32Array;
      readonly slot: number;
      readonly nowMs: number;
    }
  | {
      readonly kind: "search";
      readonly request: number;
      readonly of: KindName;
      readonly selection: Selection;
      readonly nowMs: number;
    }
  | { readonly kind: "flush"; readonly request: number }
  | { readonly kind: "close"; readonly request: number };

export type FromWriter =
  | { readonly kind: "ready" }
  /** Blocks with what was found, in the order of the answer; none for flush and close. */
  | { readonly kind: "answer"; readonly request: number; readonly blocks: readonly Uint8Array<ArrayBuffer>[] }
  | { readonly kind: "warning"; readonly text: string };
