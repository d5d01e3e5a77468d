/** `aloft restore`: without a server, into a folder that is empty or not there yet. */
import { createReadStream } from "node:fs";
import { resolve } from "node:path";
import { AloftError } from "../contract/errors.ts";
import { formatBytes } from "../lib/sizes.ts";
import type { Context } from "./command.ts";
import { settingsOf } from "./setting-flags.ts";

export async function run({ words, flags, json, terminal, folder }: Context): Promise<number> {
  const [source = ""] = words;
  const { dataDir } = await settingsOf(flags, folder);
  const { restoreDataFolder } = await import("../server.ts");
  const chunks = source === "-" ? terminal.stdin : createReadStream(resolve(folder, source));
  const facts = await restoreDataFolder(readable(chunks as AsyncIterable<Buffer>, source), dataDir);
  if (json) terminal.printJson({ dataDir, ...facts });
  else {
    const { createdAt, keyspaceBytes, contents, contentBytes } = facts;
    terminal.print(
      `${dataDir} is as it was at ${createdAt}: the keyspace (${formatBytes(keyspaceBytes)}) and ` +
        `${contents} contents (${formatBytes(contentBytes)})`,
    );
    terminal.note(terminal.paintNote("dim", `start it with: aloft serve --data ${dataDir}`));
  }
  return 0;
}

async function* readable(chunks: AsyncIterable<Buffer>, source: string): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } catch (error) {
    throw new AloftError("USAGE", `${source} cannot be read: ${(error as NodeJS.ErrnoException).code}`, {
      cause: error,
    });
  }
}
