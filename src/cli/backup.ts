/** `aloft backup`: takes the archive as it is made, and sees whether it came whole. */
import { open, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { checkArchive } from "../backup/restore.ts";
import { AloftError } from "../contract/errors.ts";
import { formatBytes } from "../lib/sizes.ts";
import { usageError } from "./arguments.ts";
import type { Context } from "./command.ts";

export async function run({ words, json, terminal, folder, client: openClient }: Context): Promise<number> {
  const [target = ""] = words;
  const client = await openClient();
  if (target === "-") {
    if (terminal.writesToScreen) throw usageError("an archive is not for a terminal: redirect the output", "backup");
    const facts = await checkArchive(passedOn(client.backup(), (chunk) => terminal.writeFully(chunk)));
    terminal.note(said(facts, "the output"));
    return 0;
  }
  const file = resolve(folder, target);
  const facts = await writtenWhole(file, (write) => checkArchive(passedOn(client.backup(), write)));
  if (json) terminal.printJson({ file, ...facts });
  else terminal.print(said(facts, file));
  return 0;
}

/** Under its name only once it is whole and on the disk; what stood there before stays until then. */
async function writtenWhole<T>(
  file: string,
  work: (write: (chunk: Uint8Array) => Promise<void>) => Promise<T>,
): Promise<T> {
  const unfinished = `${file}.unfinished`;
  try {
    const handle = await open(unfinished, "w", 0o600);
    let result: T;
    try {
      result = await work((chunk) => handle.writeFile(chunk));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(unfinished, file);
    await using folder = await open(dirname(file), "r");
    await folder.sync();
    return result;
  } catch (error) {
    await rm(unfinished, { force: true });
    if (error instanceof AloftError || !(error instanceof Error) || !("code" in error)) throw error;
    const code = error.code === "ENOSPC" ? "DISK_FULL" : "USAGE";
    throw new AloftError(code, `${file} cannot be written: ${String(error.code)}`, { cause: error });
  }
}

async function* passedOn(
  chunks: AsyncIterable<Uint8Array>,
  write: (chunk: Uint8Array) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    await write(chunk);
    yield chunk;
  }
}

function said(
  { keyspaceBytes, contents, contentBytes }: Awaited<ReturnType<typeof checkArchive>>,
  where: string,
): string {
  return `${where} has the keyspace (${formatBytes(keyspaceBytes)}) and ${contents} contents (${formatBytes(contentBytes)})`;
}
