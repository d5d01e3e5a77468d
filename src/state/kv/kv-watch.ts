/**
 * Waits for a change of a key or of the keys with a prefix. The caller says what it has seen last, so nothing that happens
 * between two calls is missed; wake-ups are hints that may be lost, so it also looks when the time is over.
 */
import type { Environment } from "../../contract/durable.ts";
import type { Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { type Args, optionalInteger, optionalText, textArg } from "../arguments.ts";
import { cutBounds } from "../../wire/kv-shapes.ts";
import { kvKey, kvRange } from "./kv-keys.ts";

export interface KvWatchReply {
  readonly changed: boolean;
  /** To hand in as `after` the next time. */
  readonly at: string;
}

export async function watchKv(
  keyspace: Keyspace,
  environment: Environment,
  name: string,
  args: Args,
): Promise<KvWatchReply> {
  const waitMs = optionalInteger(args, "waitMs", 0, limits.kvWatchMs) ?? limits.kvWatchMs;
  const after = optionalText(args, "after");
  const key = optionalText(args, "key");
  const look = key === null ? () => lookAtPrefix(textArg(args, "prefix")) : () => lookAtKey(key);
  const { promise: woken, resolve: wake } = Promise.withResolvers<void>();
  const unwatch = keyspace.watch(key === null ? prefixBytes(args) : kvKey(environment, name, key), wake);
  const timer = setTimeout(wake, waitMs);
  try {
    const first = await look();
    if (first !== after) return { changed: true, at: first };
    await woken;
    const second = await look();
    return { changed: second !== after, at: second };
  } finally {
    clearTimeout(timer);
    unwatch();
  }

  async function lookAtKey(one: string): Promise<string> {
    const [entry = null] = await keyspace.get([kvKey(environment, name, one)]);
    return String(entry?.version ?? 0);
  }

  /** How many there are and the highest version: equal means unchanged, as in a check of a range. */
  async function lookAtPrefix(prefix: string): Promise<string> {
    const { start, end } = cutBounds(prefix, "", null);
    let count = 0;
    let highest = 0;
    let query: Parameters<Keyspace["range"]>[0] | null = kvRange(environment, name, start, end);
    while (query !== null && count < limits.readSetEntries) {
      const page = await keyspace.range(query);
      count += page.entries.length;
      for (const { version } of page.entries) highest = Math.max(highest, version);
      query = page.next;
    }
    return `${count} ${highest}`;
  }

  /** Of every key with the text prefix: without the byte that ends a text. */
  function prefixBytes(of: Args): Uint8Array {
    const prefix = optionalText(of, "prefix") ?? "";
    if (prefix === "") return kvRange(environment, name, null, null).start.slice(0, -1);
    return kvKey(environment, name, prefix).slice(0, -1);
  }
}
