import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { AloftError } from "../contract/errors.ts";
import { appFolder } from "./app-folder.suite.ts";
import { appNameFrom, readAppSource } from "./app-source.ts";

test("any text becomes a valid name", () => {
  const table: [string, string][] = [
    ["shop", "shop"],
    ["My App", "my-app"],
    ["@team/shop_v2", "team-shop-v2"],
    ["--a--b--", "a-b"],
    ["Größe", "gro-e"],
    ["Café", "cafe"],
    ["应用", "app"],
    ["", "app"],
    ["x".repeat(80), "x".repeat(63)],
    [`${"x".repeat(62)}--y`, "x".repeat(62)],
  ];
  for (const [text, name] of table) assert.equal(appNameFrom(text), name, text);
});

test("the entry is found by rule", async () => {
  const named = (exports: unknown): string => JSON.stringify({ exports });
  const table: [string, Record<string, string>, string][] = [
    ["aloft.json first", { "aloft.json": '{"entry": "./b.ts"}', "b.ts": "", "index.ts": "" }, "b.ts"],
    ["then exports", { "package.json": named("./a.js"), "a.js": "", "index.ts": "" }, "a.js"],
    [
      "with conditions",
      {
        "package.json": named({ ".": { types: "./t.d.ts", import: "./i.mjs", require: "./r.cjs" } }),
        "i.mjs": "",
        "r.cjs": "",
      },
      "i.mjs",
    ],
    ["then main", { "package.json": '{"main": "lib/a.js"}', "lib/a.js": "", "index.ts": "" }, "lib/a.js"],
    ["a main that is not there does not count", { "package.json": '{"main": "index.js"}', "index.ts": "" }, "index.ts"],
    ["nor does a broken package.json", { "package.json": "{", "index.mjs": "" }, "index.mjs"],
    ["then index", { "index.js": "", "index.ts": "", "src/index.ts": "", "a.ts": "" }, "index.ts"],
    ["with JSX", { "index.tsx": "" }, "index.tsx"],
    ["then src/index", { "src/index.mts": "", "a.ts": "", "b.ts": "" }, "src/index.mts"],
    [
      "then the only file of code",
      { "hello.ts": "", "hello.test.ts": "", "types.d.ts": "", "vite.config.js": "", "a.md": "" },
      "hello.ts",
    ],
  ];
  for (const [name, files, entry] of table)
    assert.equal((await readAppSource(await appFolder(files))).entry, entry, name);
});

test("no entry, or several, is said with what there is", async () => {
  const table: [Record<string, string>, RegExp][] = [
    [{}, /^the folder has no file of code \(/],
    [{ "a.ts": "", "b.js": "" }, /^the folder has several files of code: a\.ts, b\.js \(/],
    [
      { "aloft.json": '{"entry": "x.ts"}', "a.ts": "" },
      /^aloft\.json names the entry x\.ts, which is not there: a\.ts \(/,
    ],
  ];
  for (const [files, message] of table) {
    await assert.rejects(readAppSource(await appFolder(files)), (error) => {
      assert.ok(error instanceof AloftError);
      assert.equal(error.code, "ENTRY_NOT_FOUND");
      assert.match(error.message, message);
      return true;
    });
  }
  await assert.rejects(readAppSource("/nowhere/at/all"), { code: "ENTRY_NOT_FOUND" });
});

test("the name is the folder's unless aloft.json has another", async () => {
  assert.equal((await readAppSource(await appFolder({ "index.ts": "" }, "My App"))).name, "my-app");
  const dir = await appFolder({ "index.ts": "", "aloft.json": '{"name": "shop"}' });
  const source = await readAppSource(dir);
  assert.equal(source.name, "shop");
  assert.equal(source.configText, '{"name": "shop"}');
});

test("one file is an app of its own, whatever lies beside it", async () => {
  const dir = await appFolder({ "hello.ts": "", "index.ts": "", "aloft.json": "broken" }, "box");
  const { name, entry, configText } = await readAppSource(join(dir, "hello.ts"));
  assert.deepEqual({ name, entry, configText }, { name: "hello", entry: "hello.ts", configText: "" });
  assert.equal((await readAppSource(join(dir, "index.ts"))).name, "box");
});
