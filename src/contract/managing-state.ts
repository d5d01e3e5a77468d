/** The port of `state/` towards the control API: what a developer sees and mends of an app's state. */
import type { BlobEntry } from "../wire/blob-shapes.ts";
import type { Effect, StateRead } from "../wire/effects.ts";

export type { BlobEntry, BlobInfo } from "../wire/blob-shapes.ts";
export type { KvEntry, KvValue } from "../wire/kv-shapes.ts";

export interface ManagingState {
  /** Throws REQUEST_INVALID and what the resource says. */
  read(app: string, alias: string, read: StateRead): Promise<unknown>;
  /** Durable when it resolves with the effect's result. */
  write(app: string, alias: string, effect: Effect): Promise<unknown>;
  /** Takes the bytes no faster than the disk. false: the condition did not hold. */
  putBlob(
    app: string,
    alias: string,
    blob: { readonly store: string; readonly key: string; readonly contentType: string },
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<boolean>;
  /** A signed link for one blob; `args` as of the method `link` of docs/state-api.md. Throws REQUEST_INVALID. */
  linkBlob(
    app: string,
    alias: string,
    store: string,
    args: Readonly<Record<string, unknown>>,
  ): Promise<{ readonly url: string; readonly method: "GET" | "PUT"; readonly expiresAtMs: number }>;
  /** null: there is none. Whoever takes the chunks must take them to the end or call `return`. */
  openBlob(
    app: string,
    alias: string,
    store: string,
    key: string,
  ): Promise<{ readonly entry: BlobEntry; readonly chunks: AsyncGenerator<Uint8Array> } | null>;
}
