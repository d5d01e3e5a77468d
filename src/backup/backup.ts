/**
 * Taking a backup while the server runs (rule 17):
 *
 *   contents held -> keyspace copied -> [archive: head, copy, every content there is, end] -> contents free again
 *
 * Nothing that the copy names can be removed meanwhile, and what is named was on the disk before it was named. Contents that came
 * after the copy get in as well; the collector of the restored server finds that nothing names them.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, open, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import type { BackingUp, BackupSource, ContentFolder } from "../contract/backup.ts";
import { AloftError, asAloftError } from "../contract/errors.ts";
import { archiveFormat, archiveTail, memberHead, memberNames, paddingOf } from "./archive.ts";

export interface BackupOptions extends BackupSource {
  /** For the copy of the keyspace while it is being sent; what a crash leaves in it is somebody else's to remove. */
  readonly folder: string;
  readonly version: string;
  readonly now: () => Date;
  /** Told why an archive could not be finished; whoever takes it is told in the archive. */
  readonly onError: (error: unknown) => void;
}

const chunkBytes = 256 * 1024;

export function createBackups(options: BackupOptions): BackingUp {
  let isRunning = false;
  return {
    async open() {
      if (isRunning) {
        throw new AloftError("BACKUP_RUNNING", "a backup is being taken", { hint: "try again when it has ended" });
      }
      isRunning = true;
      const releases = options.contents.map((each) => each.hold());
      const copy = join(options.folder, `keyspace-${randomBytes(6).toString("hex")}.db`);
      async function end(): Promise<void> {
        for (const release of releases) release();
        await rm(copy, { force: true });
        isRunning = false;
      }
      try {
        await mkdir(options.folder, { recursive: true, mode: 0o700 });
        await options.copyKeyspace(copy);
      } catch (error) {
        await end();
        throw error;
      }
      return archiveOf(options, copy, end);
    },
  };
}

async function* archiveOf(
  options: BackupOptions,
  copy: string,
  end: () => Promise<void>,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    const { version, now, contents } = options;
    const head = {
      format: archiveFormat,
      aloft: version,
      createdAt: now(),
      contents: contents.map(({ name }) => name),
    };
    yield* jsonMember(memberNames.head, head);
    try {
      const keyspace = createHash("sha256");
      yield* fileMember(memberNames.keyspace, copy, (chunk) => keyspace.update(chunk));
      let count = 0;
      for (const folder of contents) {
        for await (const path of folder.list()) {
          yield* contentMember(folder, path);
          count += 1;
        }
      }
      yield* jsonMember(memberNames.end, { contents: count, keyspace: keyspace.digest("hex") });
    } catch (error) {
      options.onError(error);
      const { code, message } = asAloftError(error);
      yield* jsonMember(memberNames.error, { code, message });
    }
    yield archiveTail();
  } finally {
    await end();
  }
}

/** A damaged content makes the backup fail now, and not the restore when it is too late. */
async function* contentMember(folder: ContentFolder, path: string): AsyncGenerator<Uint8Array> {
  const file = join(folder.path, path);
  const hash = createHash("sha256");
  yield* fileMember(`${folder.name}/${path}`, file, (chunk) => hash.update(chunk));
  if (hash.digest("hex") === basename(path)) return;
  throw new AloftError("DATA_CORRUPT", `${file} is damaged`, {
    hint: "deploy again what holds it, then take the backup",
    detail: { file },
  });
}

/** What cannot be read is sent as zeros, so that the archive goes on with the reason, which is thrown then. */
async function* fileMember(
  name: string,
  file: string,
  onChunk: (chunk: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  await using handle = await open(file, "r");
  const { size } = await handle.stat();
  yield memberHead(name, size);
  let failure: unknown = null;
  for (let at = 0; at < size;) {
    // Each chunk has memory of its own: it is on its way to a socket while the next one is read.
    const buffer = Buffer.alloc(Math.min(chunkBytes, size - at));
    let bytesRead = 0;
    try {
      if (failure === null) ({ bytesRead } = await handle.read(buffer, 0, buffer.length, at));
    } catch (error) {
      failure = error;
    }
    const chunk = bytesRead === 0 ? buffer : buffer.subarray(0, bytesRead);
    onChunk(chunk);
    yield chunk;
    at += chunk.length;
  }
  yield paddingOf(size);
  if (failure !== null) throw failure;
}

function* jsonMember(name: string, value: unknown): Generator<Uint8Array> {
  const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
  yield memberHead(name, bytes.length);
  yield bytes;
  yield paddingOf(bytes.length);
}
