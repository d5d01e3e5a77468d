import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { AloftError } from "../../contract/errors.ts";
import { ManualClock } from "../../lib/clock.ts";
import { MemoryDisk } from "../../store/memory/memory-disk.ts";
import { openMemoryKeyspace } from "../../store/memory/memory-keyspace.ts";
import { journalOf } from "./journal.fixture.ts";
import { takeOverJournal } from "./journal-takeover.ts";
import { openKeyspaceMetaStore } from "./keyspace-meta-store.ts";
import type { MetaCell, MetaStore } from "./meta-store.ts";

const folder = await mkdtemp(join(tmpdir(), "aloft-journal-"));
after(() => rm(folder, { recursive: true }));
let folders = 0;

/** The file lies in a folder of its own, which goes with it. */
async function fileOf(content: Uint8Array): Promise<string> {
  const file = join(folder, String(++folders), "meta", "meta.journal");
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
  return file;
}

async function storeOn(disk = new MemoryDisk()): Promise<MetaStore> {
  return await openKeyspaceMetaStore(openMemoryKeyspace({ clock: new ManualClock(), disk }));
}

const records: readonly (readonly MetaCell[])[] = [
  Array.from({ length: 5000 }, (_, index) => ({ key: `k/${index}`, value: `v${index}` })),
  [
    { key: "k/1", value: null },
    { key: "k/2", value: "later" },
  ],
  [{ key: "never", value: null }],
];

test("everything a journal holds is taken over, and the journal is gone", async () => {
  const file = await fileOf(journalOf(records, 1));
  const store = await storeOn();
  await takeOverJournal(file, store);
  assert.equal(store.list("").length, 4999);
  assert.deepEqual([store.get("k/0"), store.get("k/1"), store.get("k/2")], ["v0", null, "later"]);
  assert.equal(existsSync(dirname(file)), false);
  await takeOverJournal(file, store);
  assert.equal(store.list("").length, 4999);
});

test("a take-over that was interrupted before the journal was removed is done again", async () => {
  const file = await fileOf(journalOf(records));
  const bytes = await readFile(file);
  const disk = new MemoryDisk();
  await takeOverJournal(file, await storeOn(disk));
  await mkdir(dirname(file));
  await writeFile(file, bytes);
  const store = await storeOn(disk);
  await takeOverJournal(file, store);
  assert.equal(store.list("").length, 4999);
});

test("on a full disk the journal stays", async () => {
  const file = await fileOf(journalOf(records));
  const disk = new MemoryDisk();
  disk.isFull = true;
  await assert.rejects(takeOverJournal(file, await storeOn(disk)), { code: "DISK_FULL" });
  disk.isFull = false;
  const store = await storeOn(disk);
  assert.equal(store.list("").length, 0);
  await takeOverJournal(file, store);
  assert.equal(store.list("").length, 4999);
});

test("a last record that a crash has cut or holed was never acknowledged and is left out", async () => {
  const whole = journalOf(records.slice(1));
  const lastAt = whole.lastIndexOf("\n", whole.length - 2) + 1;
  const torn = [lastAt, lastAt + 1, whole.length - 5, whole.length - 1].map((length) => whole.subarray(0, length));
  const holed = Buffer.concat([whole, Buffer.alloc(600), Buffer.from('"]\n')]);
  for (const bytes of [...torn, holed]) {
    const store = await storeOn();
    await takeOverJournal(await fileOf(bytes), store);
    assert.deepEqual(store.list(""), [{ key: "k/2", value: "later" }]);
  }
});

test("damage to what was acknowledged is reported with file and offset, and nothing is taken over", async () => {
  const whole = journalOf(records.slice(1), 1);
  const starts = [0];
  for (let at = whole.indexOf("\n"); at < whole.length - 1; at = whole.indexOf("\n", at + 1)) starts.push(at + 1);
  for (const start of starts) {
    const damaged = Buffer.from(whole);
    damaged[start + 14]! ^= 1;
    const file = await fileOf(damaged);
    const store = await storeOn();
    await assert.rejects(takeOverJournal(file, store), (error) => {
      assert.ok(error instanceof AloftError);
      assert.equal(error.code, "DATA_CORRUPT");
      assert.deepEqual(error.detail, { file, offset: start });
      return true;
    });
    assert.deepEqual([store.list("").length, existsSync(file)], [0, true]);
  }
});

test("a record missing in the middle, a short snapshot and a newer format are refused", async () => {
  const lines = journalOf(records).toString().split("\n");
  const gap = Buffer.from([...lines.slice(0, 2), ...lines.slice(3)].join("\n"));
  const cases = [
    { bytes: gap, code: "DATA_CORRUPT" },
    { bytes: journalOf([], 1), code: "DATA_CORRUPT" },
    { bytes: journalOf([], 0, 2), code: "DATA_TOO_NEW" },
  ];
  for (const { bytes, code } of cases) {
    await assert.rejects(takeOverJournal(await fileOf(bytes), await storeOn()), { code });
  }
});
