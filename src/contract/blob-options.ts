/** What may be said of a blob trigger: unknown input, of the code or of `aloft.json`. */
import { checkQueueOptions } from "./queue-options.ts";

export interface BlobTriggerOptions {
  readonly on: "created" | "deleted";
  /** Only keys that begin with it. */
  readonly prefix: string;
  /** Events are delivered as messages are: the options of a queue. */
  readonly queue: Readonly<Record<string, unknown>>;
}

/** Throws an Error whose message is the rest of a sentence that begins with the trigger. */
export function parseBlobOptions(name: string, given: Readonly<Record<string, unknown>>): BlobTriggerOptions {
  const { on = "created", prefix = "", ...queue } = given;
  if (on !== "created" && on !== "deleted") throw new Error(`blob "${name}": on must be "created" or "deleted"`);
  if (typeof prefix !== "string" || !prefix.isWellFormed()) throw new Error(`blob "${name}": prefix must be a text`);
  return { on, prefix, queue: checkQueueOptions(name, queue) };
}
