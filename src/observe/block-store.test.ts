import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { recordKind } from "./block-kind.ts";
import { BlockStore } from "./block-store.ts";

const nowMs = 1_700_000_000_000;
const everything = recordKind.select({});

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "aloft-blocks-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function storeOf(folder: string, retention = { ageMs: Infinity, bytes: Infinity }) {
  const warnings: string[] = [];
  const store = new BlockStore({
    path: join(folder, "records.db"),
    retention,
    onWarning: (text) => warnings.push(text),
  });
  return { store, warnings };
}

/** A block without items is one all the same. */
function emptyBlock(bytes: number): Uint8Array {
  const block = new Uint8Array(bytes);
  block[0] = 1;
  for (let i = 1; i < bytes; i += 65_538)
    block.set([0, (bytes - i - 3) & 0xff, Math.min(bytes - i - 3, 65_535) >> 8], i);
  return block;
}

function writeAt(store: BlockStore, atMs: number, bytes = 4): boolean {
  return store.write({ firstMs: atMs, lastMs: atMs, count: 1, mask: 1 }, emptyBlock(bytes), nowMs);
}

test("a full disk refuses blocks with one warning, and they are taken again when there is room", (t) => {
  const folder = folderOf(t);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], { stdio: "ignore" });
  } catch {
    t.skip("a small tmpfs cannot be mounted here");
    return;
  }
  const { store, warnings } = storeOf(folder);
  try {
    assert.equal(writeAt(store, 1), true);
    const free = statfsSync(folder);
    writeFileSync(join(folder, "filler"), Buffer.alloc(Math.max(0, free.bavail - 8) * free.bsize));
    assert.deepEqual([writeAt(store, 2, 60_000), writeAt(store, 3, 60_000)], [false, false]);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /out of space/);
    rmSync(join(folder, "filler"));
    assert.equal(writeAt(store, 4, 60_000), true);
    assert.match(warnings[1]!, /written again/);
    assert.deepEqual(
      [...store.candidates(everything, nowMs)].map((block) => block.lastMs),
      [4, 1],
    );
  } finally {
    store.close();
    execFileSync("umount", [folder]);
  }
});

test("a file that is damaged while it is in use is moved aside, and the next block finds a new one", (t) => {
  const folder = folderOf(t);
  const first = storeOf(folder);
  for (let i = 0; i < 100; i++) writeAt(first.store, i, 20_000);
  first.store.close();
  const db = new DatabaseSync(join(folder, "records.db"));
  db.exec("PRAGMA journal_mode = DELETE"); // everything is in the file itself
  db.close();
  // The first page stays, so that the file opens; every other one is noise.
  const bytes = readFileSync(join(folder, "records.db"));
  writeFileSync(join(folder, "records.db"), bytes.fill(0xa5, 8192));
  const { store, warnings } = storeOf(folder);
  t.after(() => store.close());
  writeAt(store, 1000);
  assert.equal(writeAt(store, 1001), true);
  assert.match(warnings.join("\n"), /moved to .*records\.db\.aside-/);
});

test("room is made in slices: by age first, then the oldest blocks until the bytes fit, and the file shrinks", (t) => {
  const folder = folderOf(t);
  const full = storeOf(folder);
  for (let i = 0; i < 400; i++) writeAt(full.store, nowMs - 400 + i, 60_000);
  full.store.close();
  const { store } = storeOf(folder, { ageMs: 300, bytes: 6_000_000 });
  t.after(() => store.close());
  let slices = 1;
  while (store.retain(nowMs)) slices++;
  const left = [...store.candidates(everything, nowMs)].map((block) => block.lastMs - nowMs);
  assert.equal(left[0], -1);
  assert(left.length > 50 && left.length <= 100, `${left.length}`);
  assert.deepEqual(
    left,
    left.toSorted((a, b) => b - a),
  );
  assert(slices > 5);
  store.close();
  const db = new DatabaseSync(join(folder, "records.db"));
  t.after(() => db.close());
  assert(Number(db.prepare("PRAGMA page_count").get()?.["page_count"]) * 8192 < 12_000_000);
});

test("a file that cannot be opened is tried again after a while", (t) => {
  const folder = folderOf(t);
  const path = join(folder, "records.db");
  const other = new DatabaseSync(path);
  other.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE x (y)");
  const { store, warnings } = storeOf(folder);
  t.after(() => store.close());
  assert.equal(writeAt(store, 1), false);
  other.exec("ROLLBACK");
  other.close();
  assert.equal(writeAt(store, 2), false); // too soon to try
  assert.equal(warnings.length, 1);
  assert.equal(store.write({ firstMs: 3, lastMs: 3, count: 1, mask: 1 }, emptyBlock(4), nowMs + 5000), true);
});
