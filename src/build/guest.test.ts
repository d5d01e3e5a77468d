import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, test } from "node:test";
import { bundleGuest } from "./guest.ts";

const folder = await mkdtemp(join(tmpdir(), "aloft-guest-"));
after(() => rm(folder, { recursive: true }));

test("the guest runtime becomes one file that Node takes, named by its content", async () => {
  const outDir = join(folder, "run", "guest");
  const [first, second] = await Promise.all([bundleGuest(outDir), bundleGuest(outDir)]);
  assert.equal(first, second);
  assert.equal(dirname(first), outDir);
  assert.match(basename(first), /^node-[0-9a-f]{16}\.cjs$/);
  assert.deepEqual(await readdir(outDir), [basename(first)]);
  const text = await readFile(first, "utf8");
  assert.ok(text.length > 1000 && text.length < 200_000, `${text.length} characters`);
  assert.doesNotMatch(text, /import_meta/, "import.meta is empty in CommonJS");
  const check = spawnSync(process.execPath, ["--check", first], { encoding: "utf8" });
  assert.equal(check.status, 0, check.stderr);
});

test("a file that was cut short is written again", async () => {
  const file = await bundleGuest(folder);
  const whole = await readFile(file, "utf8");
  await writeFile(file, whole.slice(0, 100));
  assert.equal(await bundleGuest(folder), file);
  assert.equal(await readFile(file, "utf8"), whole);
});
