/** What may be said of a blob trigger: unknown input, of the code or of `aloft.json`. */
import { checkQueueOptions } from "./queue-options.ts";

export type BlobChangeKind = "created" | "deleted";

export interface BlobTriggerOptions {
  /** At least one; `"created"` when left out. */
  readonly on: readonly BlobChangeKind[];
  /** Only keys that begin with it. */
  readonly prefix: string;
  /** Events are delivered as messages are: the options of a queue. */
  readonly queue: Readonly<Record<string, unknown>>;
}

/** Throws an Error whose message is the rest of a sentence that begins with the trigger. */
export function parseBlobOptions(name: string, given: Readonly<Record<string, unknown>>): BlobTriggerOptions {
  const { on = "created", prefix = "", ...queue } = given;
  const kinds: readonly unknown[] = Array.isArray(on) ? on : [on];
  if (kinds.length === 0 || new Set(kinds).size < kinds.length || !kinds.every(isChangeKind))
    throw new Error(`blob "${name}": on must be "created", "deleted" or a list of both`);
  if (typeof prefix !== "string" || !prefix.isWellFormed()) throw new Error(`blob "${name}": prefix must be a text`);
  return { on: kinds, prefix, queue: checkQueueOptions(name, queue) };
}

function isChangeKind(value: unknown): value is BlobChangeKind {
  return value === "created" || value === "deleted";
}
