import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { BackingUp, ContentFolder } from "../contract/backup.ts";
import { archiveTail, memberHead, paddingOf, readArchive } from "./archive.ts";
import { createBackups } from "./backup.ts";
import { checkArchive, unpackArchive } from "./restore.ts";

interface Source {
  readonly backups: BackingUp;
  readonly folder: string;
  readonly errors: unknown[];
  holds: number;
}

const keyspaceText = "all that the keyspace holds ".repeat(20_000);
const contents = Array.from({ length: 30 }, (_, index) => Buffer.from(`content ${index} `.repeat(index ** 3)));

function sourceIn(t: TestContext): Source {
  const folder = mkdtempSync(join(tmpdir(), "aloft-backup-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "files");
  for (const bytes of contents) {
    const hash = hashOf(bytes);
    mkdirSync(join(path, hash.slice(0, 2)), { recursive: true });
    writeFileSync(join(path, hash.slice(0, 2), hash), bytes);
  }
  const files: ContentFolder = {
    name: "files",
    path,
    hold: () => {
      source.holds += 1;
      return () => (source.holds -= 1);
    },
    async *list() {
      for (const name of readdirSync(path, { recursive: true })) if (String(name).length > 60) yield String(name);
    },
  };
  const errors: unknown[] = [];
  const backups = createBackups({
    copyKeyspace: async (file) => writeFileSync(file, keyspaceText),
    contents: [files, { ...files, name: "blobs", path: join(folder, "none"), list: async function* () {} }],
    folder: join(folder, "copies"),
    version: "1.2.3",
    now: () => new Date(0),
    onError: (error) => errors.push(error),
  });
  const source: Source = { backups, folder, errors, holds: 0 };
  return source;
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function archiveOf(source: Source): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await source.backups.open()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** In pieces of any length, as a socket hands them over. */
async function* pieces(archive: Uint8Array, bytes = 7001): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < archive.length; at += bytes) yield archive.subarray(at, at + bytes);
}

test("what was saved is restored, and nothing is held or left when it has ended", async (t) => {
  const source = sourceIn(t);
  const archive = await archiveOf(source);
  assert.deepEqual([source.holds, readdirSync(join(source.folder, "copies")), source.errors], [0, [], []]);
  const target = join(source.folder, "target");
  mkdirSync(target);
  const facts = await unpackArchive(pieces(archive), target);
  const contentBytes = contents.reduce((sum, bytes) => sum + bytes.length, 0);
  assert.deepEqual(facts, {
    createdAt: "1970-01-01T00:00:00.000Z",
    keyspaceBytes: keyspaceText.length,
    contents: contents.length,
    contentBytes,
  });
  assert.deepEqual(await checkArchive(pieces(archive, 511)), facts);
  assert.equal(readFileSync(join(target, "keyspace.db"), "utf8"), keyspaceText);
  assert.deepEqual(readdirSync(target).toSorted(), ["files", "keyspace.db"]);
  for (const bytes of contents) {
    const hash = hashOf(bytes);
    assert.deepEqual(readFileSync(join(target, "files", hash.slice(0, 2), hash)), bytes);
  }
});

const noTar = spawnSync("tar", ["--version"]).status === 0 ? false : "tar is not installed";

test("tar lists an archive", { skip: noTar }, async (t) => {
  const listed = spawnSync("tar", ["-tf", "-"], { input: await archiveOf(sourceIn(t)), encoding: "utf8" });
  assert.equal(listed.stderr, "");
  const names = listed.stdout.trim().split("\n");
  assert.deepEqual([names[0], names[1], names.at(-1)], ["aloft-backup.json", "keyspace.db", "end.json"]);
  assert.equal(names.length, contents.length + 3);
});

test("an archive that is cut anywhere is refused", async (t) => {
  const archive = await archiveOf(sourceIn(t));
  const cuts = [0, 1, 511, 512, 1024, 1025, archive.length >> 1, archive.length - 2048, archive.length - 513];
  for (const bytes of cuts) {
    await assert.rejects(checkArchive(pieces(archive.subarray(0, bytes))), { code: "ARCHIVE_DAMAGED" }, String(bytes));
  }
});

test("an archive with a byte changed anywhere is refused", async (t) => {
  const archive = await archiveOf(sourceIn(t));
  // Everything but padding and the bytes of a header that nobody reads.
  for (let at = 5; at < archive.length - 3000; at += 49_999) {
    const changed = Buffer.from(archive);
    changed[at]! ^= 4;
    const isPadding = archive[at] === 0;
    if (isPadding) continue;
    await assert.rejects(checkArchive(pieces(changed)), { code: "ARCHIVE_DAMAGED" }, String(at));
  }
});

function member(name: string, body: Uint8Array | string): Buffer {
  const bytes = Buffer.from(body);
  return Buffer.concat([memberHead(name, bytes.length), bytes, paddingOf(bytes.length)]);
}

test("an archive that leads out of its folders, lacks something or is of something else is refused", async () => {
  const head = member("aloft-backup.json", '{"format":1,"createdAt":"now","contents":["files","run/../.."]}');
  const keyspace = member("keyspace.db", "k");
  const hash = hashOf(Buffer.from("x"));
  const content = member(`files/aa/${hash}`, "x");
  const end = (count: number): Buffer =>
    member("end.json", JSON.stringify({ contents: count, keyspace: hashOf(Buffer.from("k")) }));
  const link = Buffer.from(content);
  link[156] = 0x32;
  const cases: [string, Buffer[], string?][] = [
    ["a tar file of something else", [member("readme.txt", "hello")]],
    ["no tar file", [Buffer.alloc(4096, "text")]],
    ["no keyspace", [head, content, end(1)]],
    ["a content too few", [head, keyspace, content, end(2)]],
    ["no end", [head, keyspace, content]],
    ["more after the end", [head, keyspace, end(0), content]],
    ["a content of another hash", [head, keyspace, member(`files/aa/${hash}`, "y"), end(1)]],
    ["a path upwards", [head, keyspace, member(`files/../${hash}`, "x"), end(1)]],
    ["a folder not announced", [head, keyspace, member(`observe/aa/${hash}`, "x"), end(1)]],
    ["a file of the data folder", [head, keyspace, member("format.json", "{}"), end(1)]],
    ["a link", [head, keyspace, link, end(1)]],
    ["another keyspace", [head, member("keyspace.db", "l"), end(0)]],
    ["a newer format", [member("aloft-backup.json", '{"format":2,"createdAt":"","contents":[]}')], "DATA_TOO_NEW"],
  ];
  for (const [what, members, code = "ARCHIVE_DAMAGED"] of cases) {
    await assert.rejects(checkArchive(pieces(Buffer.concat([...members, archiveTail()]))), { code }, what);
  }
  await checkArchive(pieces(Buffer.concat([head, keyspace, content, end(1), archiveTail()])));
});

test("a damaged content makes the backup fail, and the archive says why", async (t) => {
  const source = sourceIn(t);
  const hash = hashOf(contents[20]!);
  writeFileSync(join(source.folder, "files", hash.slice(0, 2), hash), "something else");
  const archive = await archiveOf(source);
  await assert.rejects(checkArchive(pieces(archive)), { code: "DATA_CORRUPT", message: new RegExp(hash) });
  assert.equal(source.errors.length, 1);
  assert.equal(source.holds, 0);
});

test("there is one backup at a time; one that nobody takes to its end frees everything", async (t) => {
  const source = sourceIn(t);
  const chunks = await source.backups.open();
  assert.equal(source.holds, 2);
  await assert.rejects(source.backups.open(), { code: "BACKUP_RUNNING" });
  await chunks.next();
  await chunks.return(undefined);
  assert.equal(source.holds, 0);
  assert.deepEqual(readdirSync(join(source.folder, "copies")), []);
  assert.ok((await archiveOf(source)).length > keyspaceText.length);
});

test("a keyspace that cannot be copied frees everything as well", async (t) => {
  const source = sourceIn(t);
  writeFileSync(join(source.folder, "copies"), "a file where the folder should be");
  await assert.rejects(source.backups.open());
  assert.equal(source.holds, 0);
  assert.equal(existsSync(join(source.folder, "target")), false);
});

test("the size of a member may have any number of bytes", async () => {
  for (const bytes of [0, 1, 8 ** 11 - 1, 8 ** 11, 10 ** 13]) {
    const members = readArchive(pieces(Buffer.from(memberHead("large", bytes))));
    const { value } = await members.next();
    assert.equal(value!.bytes, bytes);
    await members.return(undefined);
  }
});
