/** `aloft kv list|get|set|delete`: what an app keeps in its stores of keys and values. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { buffer } from "node:stream/consumers";
import { AloftError } from "../contract/errors.ts";
import type { KvValue } from "../contract/managing-state.ts";
import { parseDurationMs } from "../lib/durations.ts";
import { usageError } from "./arguments.ts";
import type { Context } from "./command.ts";
import { listEntries, storeTarget } from "./state-target.ts";

export async function run(context: Context): Promise<number> {
  const target = storeTarget(context, "kv", { list: [0, 1], get: [2, 2], set: [2, 3], delete: [2, 2] });
  const { terminal, json } = context;
  const client = await context.client();
  switch (target.action) {
    case "list": {
      const shown = (value: KvValue): string => cut("b64" in value ? `${value.b64} (bytes)` : textOf(value));
      await listEntries(context, client, target, ["key", "value", "version"], (entry) => [
        entry.key,
        shown(entry.value as KvValue),
        String(entry.version),
      ]);
      return 0;
    }
    case "get": {
      const entry = await client.getEntry(target);
      if (json) terminal.printJson(entry);
      else if ("b64" in (entry.value as KvValue))
        await terminal.writeFully(Buffer.from((entry.value as { b64: string }).b64, "base64"));
      else terminal.print(textOf(entry.value as KvValue));
      return 0;
    }
    case "set": {
      const expiresIn = context.flags.text("expires");
      const expiresInMs = expiresIn === undefined ? undefined : parseDurationMs(expiresIn);
      if (expiresInMs === null) throw usageError(`--expires "${expiresIn}" is no duration such as 10m or 7d`, "kv");
      const value = await readValue(target.rest[0] ?? "-", context);
      const done = await client.setValue(target, { value, expiresInMs });
      if (json) terminal.printJson({ done });
      else terminal.print(`set ${target.key} of ${target.app}/${target.store}`);
      return 0;
    }
    default: {
      const done = await client.deleteEntry(target);
      if (json) terminal.printJson({ done });
      else terminal.print(`deleted ${target.key} of ${target.app}/${target.store}`);
      return 0;
    }
  }
}

/** JSON where it is JSON, else the text itself; the bytes of a file after @. */
async function readValue(word: string, { folder, terminal }: Context): Promise<KvValue> {
  if (word.startsWith("@")) {
    const file = resolve(folder, word.slice(1));
    try {
      return { b64: (await readFile(file)).toString("base64") };
    } catch (error) {
      throw new AloftError("USAGE", `${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
    }
  }
  const text = word === "-" ? (await buffer(terminal.stdin)).toString().replace(/\r?\n$/, "") : word;
  try {
    return { json: JSON.parse(text) as unknown };
  } catch {
    return { json: text };
  }
}

function textOf(value: KvValue): string {
  if ("big" in value) return value.big;
  return "json" in value ? JSON.stringify(value.json) : value.b64;
}

function cut(text: string): string {
  return text.length > shownChars ? `${text.slice(0, shownChars)}…` : text;
}

const shownChars = 100;
