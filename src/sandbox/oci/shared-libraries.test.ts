import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { interpreterOf, sharedLibrariesOf } from "./shared-libraries.ts";

test(
  "a program's loader and libraries are found, and all of them exist",
  { skip: process.platform !== "linux" },
  () => {
    const loader = interpreterOf(process.execPath);
    assert.match(String(loader), /\/ld-/);
    const files = sharedLibrariesOf(process.execPath);
    assert.ok(
      files.some((path) => /\/libc\.|ld-musl/.test(path)),
      files.join(" "),
    );
    assert.deepEqual(
      files.filter((path) => !existsSync(path)),
      [],
    );
    assert.equal(new Set(files).size, files.length);
  },
);

test("a script needs none", () => {
  assert.deepEqual(sharedLibrariesOf(import.meta.filename), []);
});
