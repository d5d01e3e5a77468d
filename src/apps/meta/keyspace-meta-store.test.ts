import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ManualClock, systemClock } from "../../lib/clock.ts";
import { MemoryDisk } from "../../store/memory/memory-disk.ts";
import { openMemoryKeyspace, type MemoryKeyspace, type Simulation } from "../../store/memory/memory-keyspace.ts";
import { openSqliteKeyspace } from "../../store/sqlite/sqlite-keyspace.ts";
import { openKeyspaceMetaStore } from "./keyspace-meta-store.ts";
import { CommitConflict, type MetaCell, type MetaStore } from "./meta-store.ts";
import { metaStoreSuite } from "./meta-store.suite.ts";

const clock = new ManualClock();
const folder = await mkdtemp(join(tmpdir(), "aloft-meta-"));
after(() => rm(folder, { recursive: true }));

function openOn(disk: MemoryDisk, simulation?: Simulation): MemoryKeyspace {
  return openMemoryKeyspace({ clock, disk, ...(simulation === undefined ? {} : { simulation }) });
}

metaStoreSuite("keyspace", () => openKeyspaceMetaStore(openOn(new MemoryDisk())));

function cells(count: number, value: string, prefix = "k"): MetaCell[] {
  return Array.from({ length: count }, (_, index) => ({ key: `${prefix}/${index}`, value }));
}

test("what was committed is there after opening again, whatever its size, on SQLite", async () => {
  const file = join(folder, "keyspace.db");
  const keyspace = await openSqliteKeyspace({ file, clock: systemClock, reserveBytes: 0 });
  const store = await openKeyspaceMetaStore(keyspace);
  // Lengths around the border of a part and of a value, with characters of one to four bytes at every place.
  const long = "aé\n😀".repeat(150_000);
  const lengths = [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 512 * 1024, 1_000_000, long.length];
  for (const length of lengths) {
    const value = long.slice(0, length).toWellFormed();
    await store.commit({ checks: [], writes: [{ key: `value/${length}`, value }] });
  }
  await store.commit({ checks: [], writes: cells(20_000, "many") });
  await store.commit({ checks: [], writes: [{ key: "value/1000000", value: "short now" }, ...cells(9_000, "x")] });
  await store.commit({ checks: [], writes: cells(15_000, "").map(({ key }) => ({ key, value: null })) });
  const before = store.list("");
  await store.close();
  await keyspace.close();
  const again = await openSqliteKeyspace({ file, clock: systemClock, reserveBytes: 0 });
  const opened = await openKeyspaceMetaStore(again);
  assert.deepEqual(opened.list(""), before);
  assert.equal(opened.list("k/").length, 5_000);
  assert.equal(opened.get(`value/${long.length}`), long);
  await again.close();
});

test("a full disk refuses commits of any size and leaves nothing of them; removing goes on", async () => {
  const disk = new MemoryDisk();
  const store = await openKeyspaceMetaStore(openOn(disk));
  await store.commit({ checks: [], writes: cells(3_000, "before") });
  const size = disk.size;
  disk.isFull = true;
  for (const count of [1, 3_000]) {
    await assert.rejects(store.commit({ checks: [], writes: cells(count, "after") }), { code: "DISK_FULL" });
  }
  assert.equal(store.get("k/0"), "before");
  assert.equal(disk.size, size);
  await store.commit({ checks: [], writes: cells(2_999, "").map(({ key }) => ({ key, value: null })) });
  disk.isFull = false;
  assert.deepEqual((await openKeyspaceMetaStore(openOn(disk))).list("").length, 1);
  // The last row, and the head.
  assert.equal(disk.size, 2);
});

test("whoever has missed what another one wrote hears of a conflict, or sees it", async () => {
  const disk = new MemoryDisk();
  const [one, other] = [await openKeyspaceMetaStore(openOn(disk)), await openKeyspaceMetaStore(openOn(disk))];
  await one.commit({ checks: [{ key: "a", value: null }], writes: [{ key: "a", value: "one" }] });
  const late = other.commit({ checks: [{ key: "a", value: null }], writes: [{ key: "a", value: "other" }] });
  await assert.rejects(late, CommitConflict);
  await other.commit({ checks: [{ key: "a", value: "one" }], writes: cells(3_000, "other") });
  await one.commit({ checks: [{ key: "k/0", value: "other" }], writes: [{ key: "b", value: "one" }] });
  assert.deepEqual([one.get("a"), one.list("k/").length], ["one", 3_000]);
});

/** Commits of one round, each of them all the cells of its writer: a mixture of two rounds in one writer's is a half commit. */
function commitAll(store: MetaStore, round: number, acknowledged: Map<string, number>): Promise<unknown> {
  const writers = [3, 1500, 40, 2500].map((count, index) => ({ count, name: `w${index}` }));
  return Promise.allSettled(
    writers.map(async ({ count, name }, turns) => {
      for (let turn = 0; turn < 3 * turns; turn++) await new Promise(setImmediate);
      await store.commit({ checks: [], writes: cells(count, String(round), name) });
      acknowledged.set(name, round);
    }),
  );
}

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`a crash at any point loses nothing acknowledged and leaves no commit by half, seed ${seed}`, async () => {
    const disk = new MemoryDisk();
    const acknowledged = new Map<string, number>();
    let state = seed;
    const random = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
    for (let round = 1; round <= 8; round++) {
      let steps = Math.floor(random() * 90);
      let crash = (): void => {};
      const crashed = new Promise<void>((resolve) => (crash = resolve));
      const simulation: Simulation = {
        random,
        schedule: (_delayMs, work) => {
          if (steps-- === 0) crash();
          setImmediate(work);
        },
        delayMsMax: 1,
        unknownShare: 0.2,
        lostWakeShare: 0,
      };
      const keyspace = openOn(disk, simulation);
      const working = openKeyspaceMetaStore(keyspace).then((store) => commitAll(store, round, acknowledged));
      await Promise.race([crashed, working.catch(() => {})]);
      keyspace.crash();

      const store = await openKeyspaceMetaStore(openOn(disk));
      for (const name of ["w0", "w1", "w2", "w3"]) {
        const values = new Set(store.list(`${name}/`).map((entry) => entry.value));
        assert.ok(values.size <= 1, `${name} has ${[...values].join(" and ")}`);
        const found = Number([...values][0] ?? 0);
        assert.ok(found >= (acknowledged.get(name) ?? 0), `${name}: acknowledged ${acknowledged.get(name)}, ${found}`);
        assert.ok(found <= round);
      }
      // Nothing is left of what was staged.
      assert.equal(disk.size, store.list("").length + (disk.size === 0 ? 0 : 1));
    }
    assert.ok(acknowledged.size >= 2, "hardly anything was acknowledged");
  });
}
