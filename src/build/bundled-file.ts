/** A file of a bundle: known by its hash, read when it has to be sent. */
import { createHash, hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import type { DeploymentFile } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import { formatBytes } from "../lib/sizes.ts";

export interface BundledFile extends DeploymentFile {
  read(): Promise<Uint8Array>;
  /** From the beginning, each time it is called; there for files that are too large to be held. */
  chunks?(): AsyncIterable<Uint8Array>;
}

/** Hashes of files by path, good while size and time of change are the same. Lives as long as a watch. */
export type HashCache = Map<string, { readonly mark: string; readonly hash: string }>;

const wholeBytesMax = 4 * 1024 * 1024; // larger files are hashed as a stream, so that many at once stay small
const chunkBytes = 1024 * 1024;

export function fileOfContent(path: string, content: Uint8Array): BundledFile {
  assertSize(path, content.length);
  return { path, hash: hash("sha256", content), bytes: content.length, read: async () => content };
}

/** `source` is where the file lies now, `path` where it will lie in the deployment. */
export async function fileFromDisk(path: string, source: string, cache: HashCache): Promise<BundledFile> {
  const { size, mode, mtimeMs, ino } = await stat(source);
  assertSize(path, size);
  const mark = `${size} ${mtimeMs} ${ino}`;
  const known = cache.get(source);
  const fileHash = known?.mark === mark ? known.hash : await hashOf(source, size);
  cache.set(source, { mark, hash: fileHash });
  const isExecutable = (mode & 0o111) !== 0;
  return {
    path,
    hash: fileHash,
    bytes: size,
    ...(isExecutable ? { executable: true } : {}),
    read: async () => await readFile(source),
    ...(size > wholeBytesMax ? { chunks: () => createReadStream(source, { highWaterMark: chunkBytes }) } : {}),
  };
}

/** Throws DEPLOYMENT_TOO_LARGE when all of them together are. */
export function assertBundleSize(files: readonly BundledFile[]): void {
  if (files.length > limits.deploymentFiles) {
    throw tooLarge(`the app has ${files.length} files, allowed are ${limits.deploymentFiles}`);
  }
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (bytes <= limits.deploymentBytes) return;
  throw tooLarge(`the app has ${formatBytes(bytes)}, allowed are ${formatBytes(limits.deploymentBytes)}`);
}

function assertSize(path: string, bytes: number): void {
  if (bytes <= limits.fileBytes) return;
  throw tooLarge(`${path} has ${formatBytes(bytes)}, allowed are ${formatBytes(limits.fileBytes)} for one file`);
}

function tooLarge(message: string): AloftError {
  return new AloftError("DEPLOYMENT_TOO_LARGE", message, {
    hint: "leave out what the code does not need, or let it fetch large data from elsewhere",
  });
}

async function hashOf(source: string, bytes: number): Promise<string> {
  if (bytes <= wholeBytesMax) return hash("sha256", await readFile(source));
  const sum = createHash("sha256");
  for await (const chunk of createReadStream(source, { highWaterMark: chunkBytes })) sum.update(chunk as Buffer);
  return sum.digest("hex");
}
