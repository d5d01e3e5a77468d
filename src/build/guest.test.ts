import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { bundleGuest } from "./guest.ts";

const folder = await mkdtemp(join(tmpdir(), "aloft-guest-"));
after(() => rm(folder, { recursive: true }));

test("the guest runtime becomes one file that Node takes, built once for the same sources", async () => {
  const [first, second] = await Promise.all([bundleGuest(folder), bundleGuest(folder)]);
  assert.equal(first, second);
  assert.match(basename(first), /^node-[0-9a-f]{16}\.cjs$/);
  const text = await readFile(first, "utf8");
  assert.ok(text.length > 1000 && text.length < 200_000, `${text.length} characters`);
  assert.doesNotMatch(text, /import_meta/, "import.meta is empty in CommonJS");
  const check = spawnSync(process.execPath, ["--check", first], { encoding: "utf8" });
  assert.equal(check.status, 0, check.stderr);
  const { mtimeMs } = await stat(first);
  assert.equal(await bundleGuest(folder), first);
  assert.equal((await stat(first)).mtimeMs, mtimeMs);
});
