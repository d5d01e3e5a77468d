import assert from "node:assert/strict";
import { chmod, symlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { appFolder } from "./app-folder.suite.ts";
import { bundleApp } from "./bundle.ts";

async function bundled(files: Record<string, string>, executables: readonly string[] = []) {
  const dir = await appFolder(files);
  for (const path of executables) await chmod(join(dir, path), 0o755);
  const { runtime, entry, files: carried } = await bundleApp({ dir });
  return { runtime, entry, files: carried.map(({ path, executable }) => (executable === true ? `${path}*` : path)) };
}

test("a folder without aloft.json is what it plainly is", async () => {
  const table: [files: Record<string, string>, executables: string[], runtime: string, entry: string][] = [
    [{ "app.py": "" }, [], "python", ""],
    [{ "wsgi.py": "", "models.py": "", "README.md": "" }, [], "python", ""],
    [{ "anything.py": "", "test_anything.py": "" }, [], "python", ""],
    [{ bootstrap: "#!/bin/sh\n" }, ["bootstrap"], "provided", ""],
    [{ "index.ts": "export default 1", "app.py": "" }, [], "node", "index.mjs"],
  ];
  for (const [files, executables, runtime, entry] of table) {
    const found = await bundled(files, executables);
    assert.deepEqual([found.runtime, found.entry], [runtime, entry], JSON.stringify(files));
  }
  const plain: Record<string, string>[] = [{ bootstrap: "" }, { "a.py": "", "b.py": "" }];
  for (const files of plain) {
    await assert.rejects(bundled(files), { code: "ENTRY_NOT_FOUND" });
  }
});

test("code that is not bundled is carried as it lies there, without secrets and what tools leave", async () => {
  const files = {
    "app.py": "",
    "vendored/six.py": "",
    "__pycache__/app.pyc": "\x00\x00\x00\x00\x00\x00\x00\x00by time",
    "__pycache__/six.pyc": "\x00\x00\x00\x00\x01\x00\x00\x00by hash",
    ".venv/lib/x.py": "",
    ".env": "KEY=secret",
    ".git/HEAD": "",
    "run.sh": "",
    "data/big.bin": "",
    "data/small.bin": "",
    "notes.txt": "",
    "node_modules/left-pad/index.js": "",
    ".aloftignore": "# what the function does not read\n/data/*\n!data/small.bin\n*.txt\n",
  };
  const python = await bundled(files, ["run.sh"]);
  assert.deepEqual(python.files, ["__pycache__/six.pyc", "app.py", "data/small.bin", "run.sh*", "vendored/six.py"]);
  const command = await bundled({ ...files, "aloft.json": `{ "command": ["./run.sh"] }` }, ["run.sh"]);
  assert.ok(command.files.includes("node_modules/left-pad/index.js"));
});

test("a TypeScript entry and Python functions are one app", async () => {
  const found = await bundled({
    "index.ts": "export default { fetch: () => new Response('x') };",
    "app.py": "",
    "aloft.json": `{ "functions": { "resize": { "runtime": "python", "handler": "app.handler" } } }`,
  });
  assert.deepEqual(found, {
    runtime: "node",
    entry: "index.mjs",
    files: ["aloft.json", "app.py", "index.mjs", "index.mjs.map", "index.ts"],
  });
});

test("a link inside the folder is followed, one that leads out is refused, and one to itself ends", async () => {
  const dir = await appFolder({ "app.py": "", "real/data.txt": "x" });
  await symlink("real", join(dir, "linked"));
  await symlink("..", join(dir, "real", "up"));
  const { files } = await bundleApp({ dir });
  const paths = files.map(({ path }) => path);
  assert.ok(paths.includes("linked/data.txt"));
  assert.ok(paths.length < 20, paths.join(", "));
  await symlink("/etc/hostname", join(dir, "outside"));
  await assert.rejects(bundleApp({ dir }), { code: "CONFIG_INVALID", message: /outside is a link that leads out/ });
});
