import assert from "node:assert/strict";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { AloftError } from "../contract/errors.ts";
import { writeZip, type WrittenZipEntry } from "../lib/zip/zip-writer.fixture.ts";
import { appFolder } from "./app-folder.suite.ts";
import { bundleApp } from "./bundle.ts";

interface Layers {
  readonly layers: readonly string[];
  readonly archives?: Readonly<Record<string, readonly WrittenZipEntry[]>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly runtime?: string;
}

async function folderOf({ layers, archives = {}, files = {}, runtime = "provided" }: Layers): Promise<string> {
  const dir = await appFolder({ "aloft.json": JSON.stringify({ runtime, layers }), ...files });
  for (const [path, entries] of Object.entries(archives)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), writeZip(entries));
  }
  return dir;
}

test("archives and folders are merged in their order, links become what they name, and none is carried twice", async () => {
  const dir = await folderOf({
    layers: ["./layers/base.zip", "layers/more/"],
    archives: {
      "layers/base.zip": [
        { path: "bin/", mode: 0o040755 },
        { path: "bin/tool", content: "of the base", mode: 0o100755 },
        { path: "lib/libx.so.1", content: "library" },
        { path: "lib/libx.so", content: "libx.so.1", mode: 0o120777 },
        { path: "bin/again", content: "./../bin/tool", mode: 0o120777 },
      ],
    },
    files: { "layers/more/lib/y": "y", "layers/more/bin/tool": "of the second", bootstrap: "#!/bin/sh\n" },
  });
  await chmod(join(dir, "layers/more/bin/tool"), 0o755);
  const { files } = await bundleApp({ dir });
  const content = new Map<string, string>();
  for (const file of files) {
    content.set(`${file.path}${file.executable === true ? "*" : ""}`, Buffer.from(await file.read()).toString());
  }
  content.delete("aloft.json");
  assert.deepEqual(Object.fromEntries(content), {
    bootstrap: "#!/bin/sh\n",
    ".opt/bin/again*": "of the base",
    ".opt/bin/tool*": "of the second",
    ".opt/lib/libx.so": "library",
    ".opt/lib/libx.so.1": "library",
    ".opt/lib/y": "y",
  });
});

test("what is no layer is said, with which one it is", async () => {
  const link = (content: string): Layers => ({
    layers: ["a.zip"],
    archives: { "a.zip": [{ path: "x", content, mode: 0o120777 }] },
  });
  const cases: readonly (readonly [Layers, RegExp])[] = [
    [{ layers: ["none.zip"] }, /layers\[0\]: there is no none\.zip/],
    [{ layers: ["bootstrap"], files: { bootstrap: "#!" } }, /layers\[0\]: bootstrap: it is no zip archive/],
    [link("../../etc/passwd"), /layers\[0\]: a\.zip: x is a link to what is no file in it/],
    [link("x"), /x is a link to what is no file in it/],
    [{ layers: ["a.zip"], archives: { "a.zip": [{ path: "../x" }] } }, /no path inside it/],
    [{ layers: ["../a.zip"] }, /layers\[0\]/],
    [{ layers: ["a"], runtime: "node", files: { "index.ts": "export {}" } }, /"layers" are found by the runtimes/],
  ];
  for (const [given, message] of cases) {
    const dir = await folderOf(given);
    await assert.rejects(bundleApp({ dir }), (error: unknown) => {
      assert.ok(error instanceof AloftError, String(error));
      assert.equal(error.code, "CONFIG_INVALID");
      assert.match(error.message, message);
      return true;
    });
  }
});
