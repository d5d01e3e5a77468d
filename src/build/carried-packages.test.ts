import assert from "node:assert/strict";
import { cp, mkdir, rm, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { appFolder } from "./app-folder.suite.ts";
import { bundleApp } from "./bundle.ts";

/** The paths of the bundle's files below node_modules/, and what was warned of. */
async function carried(dir: string): Promise<{ paths: string[]; warnings: string[] }> {
  const warnings: string[] = [];
  const { files } = await bundleApp({ dir, onWarning: (warning) => warnings.push(warning) });
  return { paths: files.map(({ path }) => path).filter((path) => path.startsWith("node_modules/")), warnings };
}

function manifest(fields: object = {}): string {
  return JSON.stringify({ version: "1.0.0", main: "index.js", ...fields });
}

test("a package with an addon is carried with what it needs, and others are bundled", async () => {
  const dir = await appFolder({
    "index.ts": `import addon from "addon"; import plain from "plain"; export const a = [addon, plain];`,
    "node_modules/plain/package.json": manifest(),
    "node_modules/plain/index.js": `module.exports = "plain";`,
    "node_modules/addon/package.json": manifest({
      dependencies: { loader: "1", absent: "1" },
      optionalDependencies: { "@addon/linux": "1", "@addon/windows": "1" },
      peerDependencies: { plain: "1" },
    }),
    "node_modules/addon/index.js": `module.exports = require("loader")`,
    "node_modules/addon/index.d.ts": "",
    "node_modules/addon/README.md": "",
    "node_modules/addon/src/addon.cc": "",
    "node_modules/addon/index.js.map": "",
    "node_modules/loader/package.json": manifest(),
    "node_modules/loader/index.js": "",
    "node_modules/@addon/linux/package.json": manifest(),
    "node_modules/@addon/linux/lib/addon.node": "binary",
  });
  assert.deepEqual(await carried(dir), {
    paths: [
      "node_modules/@addon/linux/lib/addon.node",
      "node_modules/@addon/linux/package.json",
      "node_modules/addon/index.js",
      "node_modules/addon/package.json",
      "node_modules/loader/index.js",
      "node_modules/loader/package.json",
      "node_modules/plain/index.js",
      "node_modules/plain/package.json",
    ],
    warnings: ["addon depends on absent, which is not installed"],
  });
});

test("what marks a package as native", async () => {
  const table: [string, Record<string, string>, boolean][] = [
    ["nothing", { "package.json": manifest() }, false],
    ["an addon", { "package.json": manifest(), "build/Release/x.node": "" }, true],
    ["prebuilt addons", { "package.json": manifest(), "prebuilds/linux-x64/x.node": "" }, true],
    ["a binding.gyp", { "package.json": manifest(), "binding.gyp": "" }, true],
    ["gypfile", { "package.json": manifest({ gypfile: true }) }, true],
  ];
  for (const [name, files, isNative] of table) {
    const dir = await appFolder({
      "index.ts": `import "pkg";`,
      "node_modules/pkg/index.js": "",
      ...Object.fromEntries(Object.entries(files).map(([path, text]) => [`node_modules/pkg/${path}`, text])),
    });
    assert.equal((await carried(dir)).paths.length > 0, isNative, name);
  }
});

test("aloft.json may keep any package out of the bundle, and it must be installed", async () => {
  const files = {
    "index.ts": `import { deep } from "pkg/lib/deep"; export const a = deep;`,
    "aloft.json": `{"external": ["pkg"]}`,
  };
  const dir = await appFolder({
    ...files,
    "node_modules/pkg/package.json": manifest(),
    "node_modules/pkg/lib/deep.js": "exports.deep = 1",
  });
  assert.deepEqual((await carried(dir)).paths, ["node_modules/pkg/lib/deep.js", "node_modules/pkg/package.json"]);
  const { entry, files: bundled } = await bundleApp({ dir });
  const code = await bundled.find(({ path }) => path === entry)?.read();
  // Node's import wants the full name where the package has no exports.
  assert.match(Buffer.from(code ?? []).toString(), /from "pkg\/lib\/deep\.js"/);
  await assert.rejects(bundleApp({ dir: await appFolder(files) }), /names pkg in external, but it is not installed/);
});

test("two versions of one dependency both have their place", async () => {
  const native = { "binding.gyp": "", "index.js": "" };
  const at = (path: string, version: string, dependencies: object = {}): Record<string, string> => ({
    [`node_modules/${path}/package.json`]: manifest({ version, dependencies }),
    ...Object.fromEntries(Object.entries(native).map(([name, text]) => [`node_modules/${path}/${name}`, text])),
  });
  const dir = await appFolder({
    "index.ts": `import "a"; import "b";`,
    ...at("a", "1.0.0", { shared: "1" }),
    ...at("b", "1.0.0", { shared: "2" }),
    ...at("shared", "1.0.0"),
    ...at("b/node_modules/shared", "2.0.0"),
  });
  const { files } = await bundleApp({ dir });
  const versionAt = async (path: string): Promise<unknown> => {
    const content = await files.find((file) => file.path === `${path}/package.json`)?.read();
    return (JSON.parse(Buffer.from(content ?? []).toString()) as { version: string }).version;
  };
  assert.equal(await versionAt("node_modules/shared"), "1.0.0");
  assert.equal(await versionAt("node_modules/b/node_modules/shared"), "2.0.0");
});

test("a layout of links is carried like one of folders", async () => {
  // As pnpm does it: node_modules/addon -> .pnpm/addon@1/node_modules/addon, whose dependencies lie beside it.
  const dir = await appFolder({
    "index.ts": `import "addon";`,
    "node_modules/.pnpm/addon@1/node_modules/addon/package.json": manifest({ dependencies: { loader: "1" } }),
    "node_modules/.pnpm/addon@1/node_modules/addon/index.js": "",
    "node_modules/.pnpm/addon@1/node_modules/addon/addon.node": "",
    "node_modules/.pnpm/loader@1/node_modules/loader/package.json": manifest({ dependencies: { addon: "1" } }),
    "node_modules/.pnpm/loader@1/node_modules/loader/index.js": "",
  });
  const store = join(dir, "node_modules/.pnpm");
  const link = async (from: string, to: string): Promise<void> => {
    await mkdir(dirname(from), { recursive: true });
    await symlink(relative(dirname(from), to), from);
  };
  await link(join(dir, "node_modules/addon"), join(store, "addon@1/node_modules/addon"));
  await link(join(store, "addon@1/node_modules/loader"), join(store, "loader@1/node_modules/loader"));
  await link(join(store, "loader@1/node_modules/addon"), join(store, "addon@1/node_modules/addon"));
  assert.deepEqual(await carried(dir), {
    paths: [
      "node_modules/addon/addon.node",
      "node_modules/addon/index.js",
      "node_modules/addon/package.json",
      "node_modules/loader/index.js",
      "node_modules/loader/package.json",
    ],
    warnings: [],
  });
});

test("a linked package of the same repository is bundled, and only its addons are carried", async () => {
  const dir = await appFolder({
    "index.ts": `import { x } from "shared"; export const y = x;`,
    "node_modules/addon/package.json": manifest(),
    "node_modules/addon/index.js": "",
    "node_modules/addon/addon.node": "",
  });
  const shared = join(dirname(dir), "packages/shared");
  await cp(
    await appFolder({
      "package.json": manifest({ main: "index.ts", dependencies: { addon: "1" } }),
      "index.ts": `import "addon"; export const x: number = 1;`,
    }),
    shared,
    { recursive: true },
  );
  await cp(join(dir, "node_modules/addon"), join(shared, "node_modules/addon"), { recursive: true });
  await rm(join(dir, "node_modules/addon"), { recursive: true });
  await symlink(shared, join(dir, "node_modules/shared"));
  assert.deepEqual((await carried(dir)).paths, [
    "node_modules/addon/addon.node",
    "node_modules/addon/index.js",
    "node_modules/addon/package.json",
  ]);
});
