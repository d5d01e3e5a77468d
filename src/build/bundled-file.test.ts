import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { appFolder } from "./app-folder.suite.ts";
import { assertBundleSize, fileFromDisk, fileOfContent } from "./bundled-file.ts";
import type { HashCache } from "./bundled-file.ts";

test("a file is known by the hash of its content, small or streamed", async () => {
  const dir = await appFolder({ small: "abc" });
  const small = await fileFromDisk("data/small", join(dir, "small"), new Map());
  assert.deepEqual([small.path, small.bytes, small.hash], ["data/small", 3, hash("sha256", "abc")]);
  assert.equal(small.executable, undefined);
  const large = Buffer.alloc(5 * 1024 * 1024, "xyz");
  await writeFile(join(dir, "large"), large, { mode: 0o755 });
  const read = await fileFromDisk("large", join(dir, "large"), new Map());
  assert.deepEqual([read.hash, read.executable], [hash("sha256", large), true]);
  assert.deepEqual(Buffer.from(await read.read()), large);
});

test("a file is hashed again only when it has changed", async () => {
  const dir = await appFolder({ a: "one" });
  const cache: HashCache = new Map();
  const path = join(dir, "a");
  const first = await fileFromDisk("a", path, cache);
  cache.set(path, { mark: cache.get(path)?.mark ?? "", hash: "remembered" });
  assert.equal((await fileFromDisk("a", path, cache)).hash, "remembered");
  await utimes(path, 1, 1);
  assert.equal((await fileFromDisk("a", path, cache)).hash, first.hash);
});

test("a file of 300 MB and a bundle over 1 GiB are refused before they are read", async () => {
  const dir = await appFolder({ huge: "" });
  await truncate(join(dir, "huge"), 300_000_000);
  await assert.rejects(fileFromDisk("model.bin", join(dir, "huge"), new Map()), {
    code: "DEPLOYMENT_TOO_LARGE",
    message: "model.bin has 286 MiB, allowed are 256 MiB for one file",
  });
  const part = { ...fileOfContent("a", new Uint8Array()), bytes: 250 * 1024 * 1024 };
  assert.throws(() => assertBundleSize(Array.from({ length: 5 }, () => part)), {
    code: "DEPLOYMENT_TOO_LARGE",
    message: "the app has 1.2 GiB, allowed are 1 GiB",
  });
  assert.throws(() => assertBundleSize(Array.from({ length: 50_001 }, () => fileOfContent("a", new Uint8Array()))), {
    message: "the app has 50001 files, allowed are 50000",
  });
});
