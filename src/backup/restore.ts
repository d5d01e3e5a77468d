/**
 * Reading the archive of a backup: into an empty folder, or only to see whether it came whole. Everything is checked against
 * the hash that it is named by, or that the end of the archive says; whatever is wrong, the folder is left empty.
 */
import { createHash } from "node:crypto";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { AloftError, type ErrorCode, errorTable } from "../contract/errors.ts";
import { archiveFormat, damaged, type Member, memberNames, readArchive, readJson } from "./archive.ts";

export interface ArchiveFacts {
  readonly createdAt: string;
  readonly keyspaceBytes: number;
  readonly contents: number;
  readonly contentBytes: number;
}

/** What is done with each of the members; must read it to its end. The answer is the sha256 of its bytes, in hexadecimal. */
type Take = (member: Member, path: string) => Promise<string>;

/** Files whose sync may be under way. */
const syncsAtOnce = 16;

/** Takes the archive to its end. Throws ARCHIVE_DAMAGED, or what the server says went wrong while it was written. */
export async function checkArchive(chunks: AsyncIterable<Uint8Array>): Promise<ArchiveFacts> {
  return await walk(chunks, async ({ body }) => {
    const hash = createHash("sha256");
    for await (const chunk of body) hash.update(chunk);
    return hash.digest("hex");
  });
}

/** The files of the archive in `folder`, which is empty; durable when it resolves, names included. */
export async function unpackArchive(chunks: AsyncIterable<Uint8Array>, folder: string): Promise<ArchiveFacts> {
  const syncs = new Set<Promise<void>>();
  const folders = new Set<string>([folder]);
  const facts = await walk(chunks, async ({ body }, path) => {
    const file = join(folder, path);
    await makeFolders(folder, dirname(path), folders);
    const hash = createHash("sha256");
    const handle = await open(file, "wx", path === memberNames.keyspace ? 0o600 : 0o400);
    try {
      for await (const chunk of body) {
        hash.update(chunk);
        await handle.writeFile(chunk);
      }
    } catch (error) {
      await handle.close();
      throw error;
    }
    const sync = syncAndClose(handle);
    syncs.add(sync);
    void sync.then(
      () => syncs.delete(sync),
      () => {}, // stays, and is thrown below
    );
    if (syncs.size >= syncsAtOnce) await Promise.race(syncs);
    return hash.digest("hex");
  });
  await Promise.all(syncs);
  for (const each of folders) {
    await using handle = await open(each, "r");
    await handle.sync();
  }
  return facts;
}

async function syncAndClose(handle: FileHandle): Promise<void> {
  try {
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

async function walk(chunks: AsyncIterable<Uint8Array>, take: Take): Promise<ArchiveFacts> {
  let head: { createdAt: string; folders: readonly string[] } | null = null;
  let keyspace: { hash: string; bytes: number } | null = null;
  let wrong: string | null = null;
  let [contents, contentBytes, isWhole] = [0, 0, false];
  for await (const member of readArchive(chunks)) {
    const { name, bytes } = member;
    // The server may have found the same, and says so.
    if (wrong !== null && name !== memberNames.error) break;
    if (isWhole) throw damaged(`there is ${name} after its end`);
    if (head === null) head = await readHead(member);
    else if (keyspace === null) {
      if (name !== memberNames.keyspace) throw damaged(`${name} stands where the keyspace should be`);
      keyspace = { hash: await take(member, name), bytes };
    } else if (name === memberNames.error) throw await failure(member);
    else if (name === memberNames.end) {
      const end = await readJson(member);
      if (end["contents"] !== contents) throw damaged(`it has ${contents} contents, not ${String(end["contents"])}`);
      if (end["keyspace"] !== keyspace.hash) throw damaged("the keyspace is not the one that was saved");
      isWhole = true;
    } else {
      if (!isContentPath(name, head.folders))
        throw damaged(`${JSON.stringify(name.slice(0, 100))} does not belong in it`);
      if ((await take(member, name)) !== basename(name)) wrong = name;
      contents += 1;
      contentBytes += bytes;
    }
  }
  if (wrong !== null) throw damaged(`${wrong} is not what was saved`);
  if (head === null || keyspace === null || !isWhole) throw damaged("its end is missing");
  return { createdAt: head.createdAt, keyspaceBytes: keyspace.bytes, contents, contentBytes };
}

async function readHead(member: Member): Promise<{ createdAt: string; folders: readonly string[] }> {
  if (member.name !== memberNames.head) throw damaged("it is not a backup of aloft");
  const { format, createdAt, contents } = await readJson(member);
  if (typeof format !== "number" || typeof createdAt !== "string" || !Array.isArray(contents)) {
    throw damaged(`${member.name} is not what it should be`);
  }
  if (format > archiveFormat) {
    throw new AloftError(
      "DATA_TOO_NEW",
      `the archive has format ${format}, this version reads up to ${archiveFormat}`,
      {
        hint: "restore it with the version of aloft that wrote it, or a newer one",
      },
    );
  }
  const folders = contents.filter((name) => typeof name === "string" && /^[a-z]{1,20}$/.test(name));
  return { createdAt, folders };
}

/** Below one of the folders, in parts that can lead nowhere else. */
function isContentPath(path: string, folders: readonly string[]): boolean {
  const [folder = ""] = path.split("/");
  return folders.includes(folder) && /^[a-z]+\/(?:[0-9a-z]{1,8}\/){0,4}[0-9a-f]{64}$/.test(path);
}

async function failure(member: Member): Promise<AloftError> {
  const { code, message } = await readJson(member);
  const known = typeof code === "string" && Object.hasOwn(errorTable, code) ? (code as ErrorCode) : "INTERNAL";
  return new AloftError(known, `the backup could not be finished: ${String(message)}`, {
    hint: "the server's own output says more",
  });
}

async function makeFolders(root: string, path: string, made: Set<string>): Promise<void> {
  if (path === "." || made.has(join(root, path))) return;
  await makeFolders(root, dirname(path), made);
  await mkdir(join(root, path), { mode: 0o700, recursive: true });
  made.add(join(root, path));
}
