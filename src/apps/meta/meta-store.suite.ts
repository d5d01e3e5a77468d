/** What every driver of the meta store keeps. `openStore` gives a fresh, empty store each time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CommitConflict, type MetaCell, type MetaStore } from "./meta-store.ts";

export function metaStoreSuite(driver: string, openStore: () => Promise<MetaStore>): void {
  test(`${driver}: a written value is read back, and a removed one is gone`, async () => {
    const store = await openStore();
    await store.commit({ checks: [], writes: [{ key: "a", value: "1" }] });
    assert.equal(store.get("a"), "1");
    await store.commit({ checks: [], writes: [{ key: "a", value: null }] });
    assert.equal(store.get("a"), null);
    await store.close();
  });

  test(`${driver}: a commit is seen only when it has resolved`, async () => {
    const store = await openStore();
    const done = store.commit({ checks: [], writes: [{ key: "a", value: "1" }] });
    assert.equal(store.get("a"), null);
    await done;
    assert.equal(store.get("a"), "1");
    await store.close();
  });

  test(`${driver}: a prefix lists its keys in order and no others`, async () => {
    const store = await openStore();
    const keys = ["b/2", "a/1", "b/10", "b", "c", "b/1", "b0"];
    await store.commit({ checks: [], writes: keys.map((key) => ({ key, value: key })) });
    assert.deepEqual(
      store.list("b/").map((entry) => entry.key),
      ["b/1", "b/10", "b/2"],
    );
    assert.deepEqual(store.list("d"), []);
    await store.close();
  });

  test(`${driver}: when one check fails nothing of the commit is written`, async () => {
    const store = await openStore();
    await store.commit({ checks: [{ key: "a", value: null }], writes: [{ key: "a", value: "1" }] });
    const refused = store.commit({
      checks: [
        { key: "a", value: "1" },
        { key: "b", value: "there" },
      ],
      writes: [{ key: "a", value: "2" }],
    });
    await assert.rejects(refused, (error) => error instanceof CommitConflict && error.key === "b");
    assert.equal(store.get("a"), "1");
    await store.close();
  });

  test(`${driver}: of many who compare and set one value at once, one wins`, async () => {
    const store = await openStore();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) =>
        store.commit({ checks: [{ key: "k", value: null }], writes: [{ key: "k", value: String(index) }] }),
      ),
    );
    assert.equal(outcomes.filter((outcome) => outcome.status === "fulfilled").length, 1);
    assert.equal(store.get("k"), "0");
    await store.close();
  });

  test(`${driver}: a thousand keys written and removed at once keep their order`, async () => {
    const store = await openStore();
    const keys = Array.from({ length: 1000 }, (_, index) => `k/${(index * 7919) % 1000}`);
    await store.commit({ checks: [], writes: keys.map((key) => ({ key, value: "x" })) });
    await store.commit({ checks: [], writes: keys.slice(0, 500).map((key) => ({ key, value: null })) });
    assert.deepEqual(
      store.list("k/").map((entry) => entry.key),
      keys.slice(500).toSorted(),
    );
    await store.close();
  });

  test(`${driver}: any series of writes leaves what a plain map would hold`, async () => {
    const cell = fc.record({
      key: fc.string({ minLength: 1, maxLength: 2, unit: fc.constantFrom("a", "b", "/", "é", "\n") }),
      value: fc.option(fc.string({ maxLength: 3 }), { nil: null }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(cell, { maxLength: 40 }), { maxLength: 8 }), async (commits) => {
        const store = await openStore();
        const plain = new Map<string, string>();
        for (const writes of commits) {
          await store.commit({ checks: [], writes });
          applyPlainly(plain, writes);
        }
        const expected = [...plain].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => ({ key, value }));
        assert.deepEqual(store.list(""), expected);
        await store.close();
      }),
      { numRuns: 40 },
    );
  });
}

function applyPlainly(plain: Map<string, string>, writes: readonly MetaCell[]): void {
  for (const { key, value } of writes) {
    if (value === null) plain.delete(key);
    else plain.set(key, value);
  }
}
