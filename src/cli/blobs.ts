/** `aloft blobs list|get|put|delete|link`: what an app keeps as blobs. */
import { createReadStream, createWriteStream } from "node:fs";
import { rename, rm, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { AloftError } from "../contract/errors.ts";
import type { BlobInfo } from "../contract/managing-state.ts";
import { parseDurationMs } from "../lib/durations.ts";
import { formatBytes, parseBytes } from "../lib/sizes.ts";
import { type Flags, usageError } from "./arguments.ts";
import type { Context } from "./command.ts";
import { formatMoment } from "./formatting.ts";
import { listEntries, storeTarget } from "./state-target.ts";

export async function run(context: Context): Promise<number> {
  const target = storeTarget(context, "blobs", {
    list: [0, 1],
    get: [2, 3],
    put: [3, 3],
    delete: [2, 2],
    link: [2, 2],
  });
  const { terminal, json, folder } = context;
  const client = await context.client();
  switch (target.action) {
    case "list": {
      await listEntries(context, client, target, ["key", "size", "type", "created"], ({ key, value }) => {
        const { size, contentType, createdAtMs } = value as BlobInfo;
        return [key, formatBytes(size), contentType, formatMoment(new Date(createdAtMs).toISOString())];
      });
      return 0;
    }
    case "get": {
      const [word] = target.rest;
      if (word === undefined && json) {
        terminal.printJson(await client.getEntry(target));
        return 0;
      }
      if (word === undefined && terminal.writesToScreen)
        throw usageError("the bytes of a blob are not for a terminal: name a file, or redirect the output", "blobs");
      const chunks = client.getBlob(target);
      if (word === undefined || word === "-") {
        for await (const chunk of chunks) await terminal.writeFully(chunk);
        return 0;
      }
      const file = resolve(folder, word);
      await onFile(file, () => writeWhole(file, chunks));
      if (json) terminal.printJson({ file });
      else terminal.print(`${target.store}/${target.key} is in ${file}`);
      return 0;
    }
    case "put": {
      const file = resolve(folder, target.rest[0] ?? "");
      const { size } = await onFile(file, () => stat(file));
      const type = context.flags.text("type");
      const body = { byteLength: size, chunks: () => createReadStream(file) };
      const done = await onFile(file, () => client.putBlob(target, body, type));
      if (json) terminal.printJson({ done });
      else terminal.print(`put ${formatBytes(size)} as ${target.key} of ${target.app}/${target.store}`);
      return 0;
    }
    case "link": {
      const link = await client.linkBlob(target, linkOptions(context.flags));
      if (json) terminal.printJson(link);
      else terminal.print(link.url);
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

function linkOptions(flags: Flags): Readonly<Record<string, unknown>> {
  const isUpload = flags.has("upload");
  for (const name of isUpload ? ["inline", "filename"] : ["max-size", "type", "once"]) {
    if (flags.has(name))
      throw usageError(`--${name} is not of a link for ${isUpload ? "an upload" : "a download"}`, "blobs");
  }
  return {
    expiresInMs: valueOf(flags, "expires", parseDurationMs, "a duration such as 10m or 7d"),
    origin: flags.text("origin"),
    ...(isUpload
      ? {
          method: "PUT",
          maxBytes: valueOf(flags, "max-size", parseBytes, "a size such as 500KiB or 2GB"),
          contentType: flags.text("type"),
          ifAbsent: flags.has("once"),
        }
      : {
          method: "GET",
          disposition: flags.has("inline") ? "inline" : "attachment",
          filename: flags.text("filename"),
        }),
  };
}

function valueOf(
  flags: Flags,
  name: string,
  parse: (text: string) => number | null,
  expected: string,
): number | undefined {
  const text = flags.text(name);
  const value = text === undefined ? undefined : parse(text);
  if (value === null) throw usageError(`--${name} "${text}" is not ${expected}`, "blobs");
  return value;
}

/** What was there stays until all of it has come. */
async function writeWhole(file: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const target = await stat(file).catch(() => null);
  if (target !== null && !target.isFile()) {
    await pipeline(chunks, createWriteStream(file)); // a pipe, /dev/null
    return;
  }
  const part = `${file}.part`;
  try {
    await pipeline(chunks, createWriteStream(part));
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

async function onFile<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof AloftError || !(error instanceof Error) || !("code" in error)) throw error;
    throw new AloftError("USAGE", `${file} cannot be used: ${String(error.code)}`, { cause: error });
  }
}
