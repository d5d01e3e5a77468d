import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { bundleGuests } from "./guest.ts";

const folder = await mkdtemp(join(tmpdir(), "aloft-guest-"));
after(() => rm(folder, { recursive: true }));

test("a guest becomes one file that Node takes, built once for the same sources", async () => {
  const [first, second] = await Promise.all([bundleGuests(folder), bundleGuests(folder)]);
  assert.deepEqual(first, second);
  for (const guest of ["node", "companion"] as const) {
    const file = first[guest];
    assert.match(basename(file), new RegExp(`^${guest}-[0-9a-f]{16}\\.cjs$`));
    const text = await readFile(file, "utf8");
    assert.ok(text.length > 1000 && text.length < 200_000, `${text.length} characters`);
    assert.doesNotMatch(text, /import_meta/, "import.meta is empty in CommonJS");
    const check = spawnSync(process.execPath, ["--check", file], { encoding: "utf8" });
    assert.equal(check.status, 0, check.stderr);
    const { mtimeMs } = await stat(file);
    assert.equal((await bundleGuests(folder))[guest], file);
    assert.equal((await stat(file)).mtimeMs, mtimeMs);
  }
  assert.ok((await stat(first.python)).isFile());
});
