import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openContentStore, type ContentStore } from "./content-store.ts";
import { openDeploymentFolders } from "./deployment-folders.ts";

const base = await mkdtemp(join(tmpdir(), "aloft-content-"));
after(() => rm(base, { recursive: true }));
let folders = 0;

async function newStore(): Promise<{ store: ContentStore; folder: string }> {
  const folder = join(base, String(++folders), "files");
  await mkdir(folder, { recursive: true });
  return { store: await openContentStore(folder), folder };
}

async function* chunksOf(...parts: string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
}

const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex");

test("bytes are stored under their hash, whatever the chunks", async () => {
  const { store } = await newStore();
  await store.receive(chunksOf("he", "", "llo"), { hash: hashOf("hello"), bytes: 5 });
  await store.syncNames([hashOf("hello")]);
  assert.equal(await store.findSize(hashOf("hello")), 5);
  assert.equal(store.readSync(hashOf("hello")).toString(), "hello");
  const hashes: string[] = [];
  for await (const hash of store.hashes()) hashes.push(hash);
  assert.deepEqual(hashes, [hashOf("hello")]);
});

test("bytes that are not the ones announced leave nothing behind", async () => {
  const { store, folder } = await newStore();
  const wrong: [AsyncIterable<Uint8Array>, number][] = [
    [chunksOf("hello!"), 5],
    [chunksOf("hell"), 5],
    [chunksOf("jello"), 5],
  ];
  for (const [chunks, bytes] of wrong) {
    await assert.rejects(store.receive(chunks, { hash: hashOf("hello"), bytes }), { code: "FILE_HASH_MISMATCH" });
  }
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("hel");
    throw new Error("the connection broke");
  }
  await assert.rejects(store.receive(broken(), { hash: hashOf("hello"), bytes: 5 }), {
    message: "the connection broke",
  });
  assert.equal(await store.findSize(hashOf("hello")), null);
  assert.deepEqual(await readdir(join(folder, ".incoming")), []);
});

const noPrlimit = spawnSync("prlimit", ["--version"]).status === 0 ? false : "prlimit is not installed";

test(
  "a full disk refuses the bytes, leaves nothing of them, and what fits is still taken",
  { skip: noPrlimit },
  async () => {
    const { folder } = await newStore();
    const program = `
    import { openContentStore } from "${join(import.meta.dirname, "content-store.ts")}";
    const store = await openContentStore("${folder}");
    await store.put(Buffer.alloc(5000)).catch((error) => console.log(error.code));
    console.log(await store.put(Buffer.from("hello")));
  `;
    const args = ["--fsize=1000", process.execPath, "--input-type=module", "-e", program];
    const ran = spawnSync("prlimit", args, { encoding: "utf8" });
    assert.equal(ran.stdout, `DISK_FULL\n${hashOf("hello")}\n`, ran.stderr);
    assert.deepEqual(await readdir(join(folder, ".incoming")), []);
  },
);

test("an upload that a crash interrupted is removed at the next start", async () => {
  const { folder } = await newStore();
  await writeFile(join(folder, ".incoming", "half"), "hel");
  await openContentStore(folder);
  assert.deepEqual(await readdir(join(folder, ".incoming")), []);
});

test("a content that was damaged on the disk is not given out", async () => {
  const { store } = await newStore();
  const hash = await store.put(Buffer.from("hello"));
  await chmod(store.pathOf(hash), 0o600);
  await writeFile(store.pathOf(hash), "jello");
  assert.throws(() => store.readSync(hash), { code: "DATA_CORRUPT" });
  store.removeSync(hash);
  assert.throws(() => store.readSync(hash), { code: "DATA_CORRUPT" });
});

test("a deployment's folder holds copies of its files, read-only, and is made again when it is gone", async () => {
  const { store } = await newStore();
  const hash = await store.put(Buffer.from("hello"));
  const path = join(base, "deployments");
  await mkdir(path);
  const deployments = await openDeploymentFolders(path, store);
  const files = [
    { path: "bin/run", hash, bytes: 5, executable: true },
    { path: "bin/deep/er/data.txt", hash, bytes: 5 },
    { path: "index.js", hash, bytes: 5 },
  ];
  await Promise.all([deployments.make("app", "id1", files), deployments.make("app", "id1", files)]);
  const root = deployments.pathOf("app", "id1");
  const modeOf = async (name: string): Promise<string> => ((await stat(join(root, name))).mode & 0o777).toString(8);
  assert.deepEqual(await Promise.all(["", "bin", "bin/deep/er", "bin/run", "index.js"].map(modeOf)), [
    "555",
    "555",
    "555",
    "555",
    "444",
  ]);
  assert.equal(await readFile(join(root, "bin/deep/er/data.txt"), "utf8"), "hello");
  assert.equal((await stat(join(root, "index.js"))).nlink, 1);
  // What an instance manages to write stays in its own copy.
  await chmod(join(root, "index.js"), 0o600);
  await writeFile(join(root, "index.js"), "evil!");
  assert.equal(store.readSync(hash).toString(), "hello");

  await deployments.remove("app", "id1");
  assert.equal(deployments.has("app", "id1"), false);
  assert.deepEqual(await readdir(join(path, ".tmp")), []);
  await deployments.make("app", "id1", files);
  assert.equal(await readFile(join(root, "index.js"), "utf8"), "hello");
  assert.deepEqual(await deployments.list(), [{ app: "app", id: "id1" }]);
});

test("a deployment with a missing content is not made by half", async () => {
  const { store } = await newStore();
  const hash = await store.put(Buffer.from("hello"));
  const path = join(base, "half");
  await mkdir(path);
  const deployments = await openDeploymentFolders(path, store);
  const files = [
    { path: "a", hash, bytes: 5 },
    { path: "b", hash: hashOf("missing"), bytes: 7 },
  ];
  await assert.rejects(deployments.make("app", "id", files), { code: "DATA_CORRUPT" });
  assert.equal(existsSync(deployments.pathOf("app", "id")), false);
  assert.deepEqual(await readdir(join(path, ".tmp")), []);
});
