import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { Environment, StateOutcome } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import type { Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { ManualClock } from "../../lib/clock.ts";
import { openMemoryKeyspace } from "../../store/memory/memory-keyspace.ts";
import { type BlobEntry, blobPieceBytes } from "../../wire/blob-shapes.ts";
import type { Effect } from "../../wire/effects.ts";
import type { KvPage } from "../../wire/kv-shapes.ts";
import { createQueue } from "../queue/queue.ts";
import { createEnvironments } from "../environments.ts";
import { createStateService } from "../state-service.ts";
import { createBlob } from "./blob.ts";
import { createBlobContents } from "./blob-contents.ts";
import { openBlobFiles } from "./blob-files.ts";
import { createBlobSessions } from "./blob-sessions.ts";

type Uploaded = { upload: string; hash: string; size: number };

async function open(t: TestContext, wrap: (keyspace: Keyspace) => Keyspace = (one) => one) {
  const folder = await mkdtemp(join(tmpdir(), "aloft-blob-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const clock = new ManualClock();
  const keyspace = wrap(openMemoryKeyspace({ clock }));
  const environments = createEnvironments(keyspace);
  const files = await openBlobFiles(join(folder, "blobs"), join(folder, "uploads"));
  const contents = createBlobContents(keyspace, files);
  const sessions = createBlobSessions(contents);
  const resources = [createBlob({ keyspace, sessions, queue: createQueue(keyspace), onFreed() {} })];
  const service = createStateService({ keyspace, environments, resources });
  const shop = await environments.get("shop", "production");
  t.after(() => sessions.close());

  async function ask<T>(method: string, args: Record<string, unknown>, environment: Environment = shop): Promise<T> {
    return (await service.read(environment, { resource: "blob", name: "b", method, args })).value as T;
  }

  async function commit(method: string, args: Record<string, unknown>): Promise<StateOutcome> {
    const effects: Effect[] = [{ resource: "blob", name: "b", method, args }];
    return await service.commit(shop, { checks: [], writes: [], seen: [], effects });
  }

  async function put(key: string, text: string, more: Record<string, unknown> = {}): Promise<unknown> {
    const { upload, hash } = await ask<Uploaded>("put", { b64: Buffer.from(text).toString("base64") });
    const outcome = await commit("set", { key, upload, value: { hash, contentType: "text/plain" }, ...more });
    return outcome.kind === "committed" ? outcome.results[0] : outcome;
  }

  async function read(key: string): Promise<string | null> {
    const opened = await ask<{ b64: string; transfer: string | null } | null>("open", { key });
    return opened === null ? null : Buffer.from(opened.b64, "base64").toString();
  }

  async function onDisk(): Promise<string[]> {
    const hashes: string[] = [];
    for await (const hash of files.hashes(shop)) hashes.push(hash);
    return hashes.sort();
  }

  return { keyspace, clock, environments, files, contents, service, shop, ask, commit, put, read, onDisk };
}

function sha(text: string | Uint8Array): string {
  return createHash("sha256").update(text).digest("hex");
}

function code(wanted: string): (error: unknown) => boolean {
  return (error) => error instanceof AloftError && error.code === wanted;
}

test("what was put is read back with its hash, type and size", async (t) => {
  const { put, read, ask, commit } = await open(t);
  assert.equal(await put("a/1", "hello"), true);
  assert.equal(await read("a/1"), "hello");
  const entry = await ask<BlobEntry>("get", { key: "a/1" });
  assert.deepEqual(
    { ...entry.value, createdAtMs: 0 },
    { hash: sha("hello"), size: 5, contentType: "text/plain", metadata: {}, createdAtMs: 0 },
  );
  await put("a/2", "world");
  await put("b", "x");
  const page = await ask<KvPage>("list", { prefix: "a/" });
  assert.deepEqual(
    page.entries.map(({ key }) => key),
    ["a/1", "a/2"],
  );
  assert.deepEqual(await ask("stores", {}), ["b"]);
  await commit("delete", { key: "a/1" });
  assert.equal(await read("a/1"), null);
});

test("a large content goes in and out piece by piece, from any place", async (t) => {
  const { ask, commit } = await open(t);
  const piece = Buffer.alloc(blobPieceBytes);
  const hash = createHash("sha256");
  const { upload } = await ask<{ upload: string }>("begin", {});
  const pushes: Promise<unknown>[] = [];
  for (let n = 0; n < 5; n++) {
    piece.fill(n);
    hash.update(piece);
    pushes.push(ask("push", { upload, b64: piece.toString("base64") }));
  }
  await Promise.all(pushes);
  const done = await ask<Uploaded>("finish", { upload });
  assert.deepEqual([done.hash, done.size], [hash.digest("hex"), 5 * blobPieceBytes]);
  await commit("set", { key: "large", upload: done.upload, value: done });
  const start = 3 * blobPieceBytes - 1;
  const opened = await ask<{ transfer: string; b64: string }>("open", { key: "large", offset: start });
  const first = Buffer.from(opened.b64, "base64");
  assert.deepEqual([first.length, first[0], first[1]], [blobPieceBytes, 2, 3]);
  const { b64 } = await ask<{ b64: string }>("pull", { transfer: opened.transfer, offset: start + first.length });
  assert.equal(Buffer.from(b64, "base64")[0], 3);
  await ask("end", { transfer: opened.transfer });
  await assert.rejects(ask("pull", { transfer: opened.transfer, offset: 0 }), code("REQUEST_INVALID"));
});

test("conditions are judged where the blob is named", async (t) => {
  const { put, read, ask } = await open(t);
  assert.equal(await put("a", "1", { ifAbsent: true }), true);
  assert.equal(await put("a", "2", { ifAbsent: true }), false);
  const { version } = await ask<BlobEntry>("get", { key: "a" });
  assert.equal(await put("a", "3", { ifVersion: version }), true);
  assert.equal(await put("a", "4", { ifVersion: version }), false);
  assert.equal(await read("a"), "3");
});

test("rule 16: what no entry names is removed, what an entry or an upload names is kept", async (t) => {
  const { put, read, commit, contents, shop, onDisk, ask, clock } = await open(t);
  await put("a", "one");
  await put("b", "one");
  await put("c", "two");
  const waiting = await ask<Uploaded>("put", { b64: Buffer.from("three").toString("base64") });
  await commit("delete", { key: "a" });
  await put("c", "four");
  assert.equal(await contents.collect(shop), true);
  assert.deepEqual(await onDisk(), [sha("one"), sha("three"), sha("four")].sort());
  assert.equal(await read("b"), "one");
  await commit("delete", { key: "b" });
  clock.advance(limits.blobPendingMs);
  assert.equal(await contents.collect(shop), false);
  assert.deepEqual(await onDisk(), [sha("four")]);
  const late = commit("set", { key: "late", upload: waiting.upload, value: { hash: waiting.hash } });
  await assert.rejects(late, code("UPLOAD_EXPIRED"));
});

test("rule 16: a put that meets a condemned content writes it again", async (t) => {
  const { put, read, commit, contents, shop, keyspace, onDisk, files } = await open(t);
  for (let n = 0; n < 30; n++) {
    await put("a", "same");
    await commit("delete", { key: "a" });
    await Promise.all([contents.collect(shop), put("b", "same")]);
    assert.equal(await read("b"), "same");
    await commit("delete", { key: "b" });
  }
  // A collector that was killed after it had condemned, before it removed.
  await put("a", "same");
  await commit("delete", { key: "a" });
  const killed = createBlobContents(
    {
      ...keyspace,
      clock: keyspace.clock,
      range: (query) => keyspace.range(query),
      commit: (one) => keyspace.commit(one),
    },
    { ...files, remove: () => Promise.reject(new Error("killed")) },
  );
  await assert.rejects(killed.collect(shop), /killed/);
  assert.deepEqual(await onDisk(), [sha("same")]);
  await put("b", "same");
  assert.equal(await read("b"), "same");
  await contents.collect(shop);
  assert.equal(await read("b"), "same");
});

test("rule 17: while a backup holds contents none is removed", async (t) => {
  const { put, commit, contents, shop, onDisk } = await open(t);
  await put("a", "one");
  await commit("delete", { key: "a" });
  const release = contents.hold();
  let isFree = false;
  const free = contents.whenFree().then(() => (isFree = true));
  assert.equal(await contents.collect(shop), true);
  assert.equal(isFree, false);
  assert.deepEqual(await onDisk(), [sha("one")]);
  release();
  release();
  await free;
  assert.equal(await contents.collect(shop), false);
  assert.deepEqual(await onDisk(), []);
});

test("a copy names the same content, and outlives what it was copied from", async (t) => {
  const { put, read, commit, contents, shop, onDisk } = await open(t);
  await put("a", "one");
  await commit("set", { key: "b", from: { key: "a" } });
  await commit("delete", { key: "a" });
  await contents.collect(shop);
  assert.equal(await read("b"), "one");
  assert.deepEqual(await onDisk(), [sha("one")]);
  await assert.rejects(commit("set", { key: "c", from: { key: "a" } }), /there is no blob "a" to copy/);
});

test("an upload of one app is none of another's, and a hash alone names nothing", async (t) => {
  const { ask, commit, environments } = await open(t);
  const other = await environments.get("other", "production");
  const { upload } = await ask<{ upload: string }>("begin", {});
  await assert.rejects(ask("push", { upload, b64: "" }, other), code("REQUEST_INVALID"));
  await assert.rejects(ask("finish", { upload }, other), code("REQUEST_INVALID"));
  const done = await ask<Uploaded>("put", { b64: Buffer.from("secret").toString("base64") }, other);
  await assert.rejects(commit("set", { key: "a", upload: done.upload, value: done }), code("UPLOAD_EXPIRED"));
  assert.equal(await ask("open", { upload: done.upload, hash: done.hash }), null);
});

test("what is no blob is refused with the place", async (t) => {
  const { ask, commit } = await open(t);
  const { upload, hash } = await ask<Uploaded>("put", { b64: "" });
  await assert.rejects(commit("set", { key: "", upload, value: { hash } }), /"key" must not be empty/);
  await assert.rejects(commit("set", { key: "a", upload, value: {} }), /must have the hash/);
  await assert.rejects(commit("set", { key: "a", upload, value: { hash, contentType: "a\nb" } }), /"contentType" must/);
  await assert.rejects(commit("set", { key: "a", upload, value: { hash, metadata: { a: 1 } } }), /"metadata" must/);
  const large = { a: "x".repeat(limits.blobMetadataBytes) };
  await assert.rejects(
    commit("set", { key: "a", upload, value: { hash, metadata: large } }),
    /"metadata" must have at most/,
  );
  await assert.rejects(ask("push", { upload: "x", b64: 5 }), /"b64" must be/);
  await assert.rejects(ask("drop", {}), /blob has no method "drop"/);
});
