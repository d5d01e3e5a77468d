import assert from "node:assert/strict";
import { test } from "node:test";
import { atomic, blob, kv } from "./index.ts";

test("a store works outside Aloft, in memory, as it does inside", async () => {
  const links = kv<{ url: string; at: Date }>("links");
  assert.equal(await links.get("a"), null);
  assert.equal(await links.set("a", { url: "x", at: new Date(0) }), true);
  assert.deepEqual(await links.get("a"), { url: "x", at: "1970-01-01T00:00:00.000Z" });
  const entry = await links.getEntry("a");
  assert.equal(await links.set("a", { url: "y", at: new Date(0) }, { ifVersion: entry!.version }), true);
  assert.equal(await links.delete("a", { ifVersion: entry!.version }), false);
  assert.equal(await links.set("a", { url: "z", at: new Date(0) }, { ifAbsent: true }), false);
  assert.equal(await kv("others").get("a"), null);
});

test("lists are in the order of code points, by prefix, cut and in reverse", async () => {
  const store = kv<number>("lists");
  for (const key of ["\u{1F600}", "\u{FFFF}", "ab", "b", "a"]) await store.set(key, 1);
  const keys = async (options?: Parameters<typeof store.list>[0]): Promise<string[]> => {
    const found: string[] = [];
    for await (const { key } of store.list(options)) found.push(key);
    return found;
  };
  assert.deepEqual(await keys(), ["a", "ab", "b", "\u{FFFF}", "\u{1F600}"]);
  assert.deepEqual(await keys({ prefix: "a" }), ["a", "ab"]);
  assert.deepEqual(await keys({ start: "ab", end: "\u{FFFF}", reverse: true }), ["b", "ab"]);
  assert.deepEqual(await keys({ limit: 2 }), ["a", "ab"]);
});

test("bytes and whole numbers of any size come back as they were", async () => {
  const store = kv<Uint8Array | number | bigint>("values");
  await store.set("bytes", Uint8Array.of(0, 255));
  assert.deepEqual(await store.get("bytes"), Uint8Array.of(0, 255));
  await store.increment("n", 2n ** 60n);
  await store.increment("n");
  assert.equal(await store.get("n"), 2n ** 60n + 1n);
  await assert.rejects(store.increment("bytes"), { code: "NOT_AN_INTEGER" });
  assert.throws(() => store.set("none", undefined as never), /the value is undefined/);
});

test("a block that throws has written nothing", async () => {
  const store = kv<number>("blocks");
  await store.set("a", 1);
  const failing = atomic(async () => {
    await store.set("a", 2);
    throw new Error("no");
  });
  await assert.rejects(failing, /no/);
  assert.equal(await store.get("a"), 1);
});

test("a watch tells of the entry now and after each change", async () => {
  const store = kv<number>("watched");
  const got: unknown[] = [];
  await store.set("a1", 1);
  for await (const { key, value } of store.watch({ prefix: "a" })) {
    got.push([key, value]);
    if (value === null) break;
    if (value === 2) await store.delete("a1");
    else await store.set("a1", 2);
  }
  assert.deepEqual(got, [
    ["a1", 1],
    ["a1", 2],
    ["a1", null],
  ]);
});

test("blobs work outside Aloft, in memory, small ones and streamed ones", async () => {
  const photos = blob("photos");
  await photos.put("a", "hello", { metadata: { by: "ann" } });
  const bytes = new Uint8Array(1_200_000).fill(7);
  await photos.put("b", new Blob([bytes]).stream(), { contentType: "image/png" });
  const a = await photos.get("a", { start: 1, end: 3 });
  assert.deepEqual([a?.contentType, a?.metadata, await a?.text()], ["text/plain; charset=utf-8", { by: "ann" }, "el"]);
  assert.deepEqual(await (await photos.get("b"))?.bytes(), bytes);
  await photos.copy("a", "c");
  await photos.delete("a");
  assert.deepEqual([await photos.head("a"), await (await photos.get("c"))?.text()], [null, "hello"]);
  await assert.rejects(photos.copy("a", "d"), /there is no blob "a"/);
});
