import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { AloftError } from "../../contract/errors.ts";
import { openFileMetaStore } from "./file-meta-store.ts";
import { encodeSnapshot } from "./journal.ts";
import { metaStoreSuite } from "./meta-store.suite.ts";

const folder = await mkdtemp(join(tmpdir(), "aloft-meta-"));
let files = 0;
const newFile = (): string => join(folder, `meta-${++files}.journal`);
const child = join(import.meta.dirname, "file-meta-store.child.ts");
after(() => rm(folder, { recursive: true }));

metaStoreSuite("file", () => openFileMetaStore({ file: newFile(), compactBytes: 300 }));

async function storeWith(file: string, count: number): Promise<void> {
  const store = await openFileMetaStore({ file });
  for (let index = 0; index < count; index++) {
    await store.commit({ checks: [], writes: [{ key: `k${index}`, value: `v${index}` }] });
  }
  await store.close();
}

test("what was committed is there after closing and opening again", async () => {
  const file = newFile();
  await storeWith(file, 5);
  const store = await openFileMetaStore({ file });
  assert.equal(store.list("k").length, 5);
  assert.equal(store.get("k4"), "v4");
  await store.close();
});

test("only the server's user may read the file, before and after a compaction", async () => {
  const file = newFile();
  const store = await openFileMetaStore({ file, compactBytes: 1000 });
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  for (let index = 0; index < 100; index++) {
    await store.commit({ checks: [], writes: [{ key: "same", value: "x".repeat(100) + String(index) }] });
  }
  await store.close();
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

test("a file of overwritten values is compacted and stays readable", async () => {
  const file = newFile();
  const store = await openFileMetaStore({ file, compactBytes: 2000 });
  for (let index = 0; index < 500; index++) {
    await store.commit({ checks: [], writes: [{ key: `k${index % 3}`, value: String(index) }] });
  }
  await store.close();
  assert.ok((await stat(file)).size < 2500);
  const again = await openFileMetaStore({ file });
  assert.deepEqual(
    again.list("k").map((entry) => entry.value),
    ["498", "499", "497"],
  );
  await again.close();
});

test("a commit cut in half by a crash is dropped, wherever the cut is, and the store goes on", async () => {
  const file = newFile();
  await storeWith(file, 3);
  const whole = await readFile(file);
  const lastRecordAt = whole.lastIndexOf("\n", whole.length - 2) + 1;
  for (let length = lastRecordAt; length < whole.length; length++) {
    await writeFile(file, whole.subarray(0, length));
    const store = await openFileMetaStore({ file });
    assert.equal(store.get("k1"), "v1");
    assert.equal(store.get("k2"), null);
    await store.commit({ checks: [], writes: [{ key: "next", value: "1" }] });
    await store.close();
    const again = await openFileMetaStore({ file });
    assert.equal(again.get("next"), "1");
    await again.close();
  }
});

test("an end with holes, as a loss of power leaves it, is cut", async () => {
  const file = newFile();
  await storeWith(file, 3);
  await appendFile(file, Buffer.concat([Buffer.alloc(600), Buffer.from('"]\n')]));
  const store = await openFileMetaStore({ file });
  assert.equal(store.list("k").length, 3);
  await store.close();
});

test("damage to acknowledged records is reported with file and offset", async () => {
  const file = newFile();
  await storeWith(file, 4);
  const whole = await readFile(file);
  const starts = [0];
  for (let at = whole.indexOf("\n"); at < whole.length - 1; at = whole.indexOf("\n", at + 1)) starts.push(at + 1);
  for (const start of starts) {
    const damaged = Buffer.from(whole);
    damaged[start + 14] = (damaged[start + 14] ?? 0) ^ 1;
    await writeFile(file, damaged);
    await assert.rejects(openFileMetaStore({ file }), (error) => {
      assert.ok(error instanceof AloftError);
      assert.equal(error.code, "DATA_CORRUPT");
      assert.deepEqual(error.detail, { file, offset: start });
      return true;
    });
  }
});

test("a missing record in the middle and a short snapshot are damage", async () => {
  const file = newFile();
  await storeWith(file, 4);
  const lines = (await readFile(file, "utf8")).split("\n");
  await writeFile(file, [...lines.slice(0, 2), ...lines.slice(3)].join("\n"));
  await assert.rejects(openFileMetaStore({ file }), { code: "DATA_CORRUPT" });
  const snapshot = encodeSnapshot([{ key: "a", value: "1" }]).bytes;
  await writeFile(file, snapshot.subarray(0, snapshot.indexOf("\n") + 1));
  await assert.rejects(openFileMetaStore({ file }), { code: "DATA_CORRUPT" });
});

test("a file of a newer format is left alone", async () => {
  const { crc32 } = await import("node:zlib");
  const file = newFile();
  const header = JSON.stringify({ store: "aloft-meta", version: 2, snapshot: 0, more: true });
  await writeFile(file, `${crc32(header).toString(16).padStart(8, "0")} ${header}\nanything`);
  await assert.rejects(openFileMetaStore({ file }), { code: "DATA_TOO_NEW" });
  assert.ok((await readFile(file, "utf8")).endsWith("anything"));
});

test("after kill -9 every acknowledged commit is there, and none by half", async () => {
  const file = newFile();
  const acknowledged = new Map<string, number>();
  for (let round = 1; round <= 6; round++) {
    const writer = spawn(process.execPath, [child, file, "write"], { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    for await (const chunk of writer.stdout.setEncoding("utf8")) {
      text += String(chunk);
      if (text.length > 1500 * round) writer.kill("SIGKILL");
    }
    for (const line of text.split("\n").slice(0, -1)) {
      const [name = "", number] = line.split(" ");
      acknowledged.set(name, Number(number));
    }
    const store = await openFileMetaStore({ file });
    for (const [name, number] of acknowledged) {
      const left = store.list(`${name}/left/`).map((entry) => entry.key.slice(-8));
      const right = store.list(`${name}/right/`).map((entry) => entry.key.slice(-8));
      assert.deepEqual(left, right);
      assert.ok(left.length > number, `${name}: acknowledged ${number}, found ${left.length}`);
    }
    await store.close();
  }
  assert.equal(acknowledged.size, 4);
});

const noPrlimit = spawnSync("prlimit", ["--version"]).status === 0 ? false : "prlimit is not installed";

test(
  "a full disk refuses the commit, keeps the others, and is over when there is room again",
  { skip: noPrlimit },
  async () => {
    const file = newFile();
    const ran = spawnSync("prlimit", ["--fsize=100000:unlimited", process.execPath, child, file, "fill"], {
      encoding: "utf8",
    });
    assert.equal(ran.stderr, "");
    const lines = ran.stdout.trim().split("\n");
    assert.deepEqual(lines.slice(0, 2), ["refused DISK_FULL", "kept true"]);
    const acknowledged = Number(lines[2]?.split(" ")[1]);
    const store = await openFileMetaStore({ file });
    assert.equal(store.list("k/").length, acknowledged);
    assert.equal(store.get(`k/${acknowledged - 1}`), "later");
    await store.close();
  },
);
