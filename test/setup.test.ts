/** scripts/setup.mjs in a folder that is laid out as the checkout: what it notices, and what it says when npm fails. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";

const root = join(import.meta.dirname, "..");

test("set-up says nothing when everything is there", (t) => {
  assert.deepEqual(setUp(checkout(t)), { status: 0, stdout: "", stderr: "" });
});

test("set-up installs when nothing is installed", (t) => {
  const folder = checkout(t);
  rmSync(join(folder, "node_modules"), { recursive: true });
  assert.match(setUp(folder).stdout, /because nothing is installed yet\n$/);
});

test("set-up installs when the lock is newer than what is installed", (t) => {
  const folder = checkout(t);
  const future = Date.now() / 1000 + 60;
  utimesSync(join(folder, "package-lock.json"), future, future);
  assert.match(setUp(folder).stdout, /because package-lock\.json is newer/);
});

test("set-up installs when the bundled Node is broken or another one", (t) => {
  for (const [content, about] of [
    ["", "it is empty"],
    ["#!/bin/sh\necho v18.0.0\n", "it has another version"],
  ] as const) {
    const folder = checkout(t);
    const node = join(folder, "node_modules", ".bin", "node");
    rmSync(node);
    writeFileSync(node, content, { mode: 0o755 });
    assert.match(setUp(folder).stdout, /because node_modules\/\.bin\/node does not answer as Node 26/, about);
  }
});

test("set-up holds an example to the lock of its own", (t) => {
  const folder = checkout(t);
  mkdirSync(join(folder, "examples", "shop"), { recursive: true });
  writeFileSync(join(folder, "examples", "shop", "package-lock.json"), "{}");
  assert.match(setUp(folder).stdout, /installing dependencies of examples\/shop, because nothing is installed yet/);
});

test("set-up says in one sentence that the registry cannot be reached", (t) => {
  const folder = checkout(t);
  rmSync(join(folder, "node_modules"), { recursive: true });
  const { status, stderr } = setUp(folder);
  assert.equal(status, 1);
  assert.match(stderr, /^aloft: the npm registry cannot be reached; [^\n]+\n$/);
});

/** The files that set-up looks at, in the state after an install. */
function checkout(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "aloft-setup-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "scripts"));
  mkdirSync(join(folder, "node_modules", ".bin"), { recursive: true });
  for (const file of ["package.json", "package-lock.json", "scripts/setup.mjs"]) {
    copyFileSync(join(root, file), join(folder, file));
  }
  symlinkSync(join(root, "node_modules", "node", "bin", "node"), join(folder, "node_modules", ".bin", "node"));
  writeFileSync(join(folder, "node_modules", ".package-lock.json"), "{}");
  return folder;
}

/** Nothing listens at the registry's address, so an install that is begun ends at once. */
function setUp(folder: string): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, "scripts", "setup.mjs")], {
    encoding: "utf8",
    env: {
      ...process.env,
      npm_config_registry: "http://127.0.0.1:9",
      npm_config_cache: join(folder, "cache"),
      npm_config_fetch_retries: "0",
    },
  });
  return { status, stdout, stderr };
}
