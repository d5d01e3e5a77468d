import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { execFile } from "node:child_process";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { AloftError } from "../contract/errors.ts";
import { appFolder } from "./app-folder.suite.ts";
import { bundleApp } from "./bundle.ts";
import type { Bundle } from "./bundle.ts";

async function textOf(bundle: Bundle, path: string): Promise<string> {
  const file = bundle.files.find((candidate) => candidate.path === path);
  assert.ok(file, `${path} is not among ${bundle.files.map((candidate) => candidate.path).join(", ")}`);
  return Buffer.from(await file.read()).toString();
}

/** Puts the bundle's files into a folder of their own and runs a script there that has the exports as `app`. */
async function runIn(bundle: Bundle, script: string): Promise<{ stdout: string; stderr: string }> {
  const dir = await appFolder({});
  for (const file of bundle.files) {
    const content = await file.read();
    assert.equal(content.length, file.bytes, file.path);
    assert.equal(hash("sha256", content), file.hash, file.path);
    await mkdir(dirname(join(dir, file.path)), { recursive: true });
    await writeFile(join(dir, file.path), content);
    if (file.executable === true) await chmod(join(dir, file.path), 0o755);
  }
  const code = `const app = await import(${JSON.stringify(join(dir, bundle.entry))}); ${script}`;
  return await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", code], { cwd: "/" });
}

async function outputOf(files: Record<string, string>, script: string): Promise<string> {
  return (await runIn(await bundleApp({ dir: await appFolder(files) }), script)).stdout.trim();
}

async function failureOf(files: Record<string, string>): Promise<AloftError> {
  const dir = await appFolder(files);
  try {
    await bundleApp({ dir });
  } catch (error) {
    assert.ok(error instanceof AloftError, String(error));
    return error;
  }
  assert.fail("it was bundled");
}

test("the SDK is there without any package.json, and wins over a package of its name", async () => {
  const files = {
    "index.ts": `import { http } from "aloft"; export const hello = http("GET /", () => new Response("hi"));`,
    "node_modules/aloft/package.json": `{"name": "aloft", "main": "index.js"}`,
    "node_modules/aloft/index.js": `throw new Error("the wrong one")`,
  };
  assert.equal(await outputOf(files, `console.log(await (await app.hello(new Request("http://x/"))).text())`), "hi");
});

test("the same content gives the same files, wherever it lies", async () => {
  const files = { "index.ts": `import { fn } from "aloft"; export const add = fn((n: number) => n + 1);` };
  const first = await bundleApp({ dir: await appFolder(files, "one") });
  const second = await bundleApp({ dir: await appFolder(files, "two") });
  assert.deepEqual(
    first.files.map(({ path, hash }) => [path, hash]),
    second.files.map(({ path, hash }) => [path, hash]),
  );
});

test("an ES module keeps its exports, with await at the top, JSON, texts and paths of tsconfig", async () => {
  const files = {
    "index.ts": `
      import data from "./data.json"; import text from "./note.txt"; import { deep } from "@lib/deep";
      const later = await Promise.resolve("later");
      export const all: string = [data.a, text, deep, later].join(" ");`,
    "data.json": `{"a": 1}`,
    "note.txt": "note",
    "lib/deep.ts": `export const deep = "deep";`,
    "tsconfig.json": `{"compilerOptions": {"paths": {"@lib/*": ["./lib/*"]}}}`,
  };
  assert.equal(await outputOf(files, "console.log(app.all, Object.keys(app))"), "1 note deep later [ 'all' ]");
});

test("a CommonJS module comes out as the default export", async () => {
  const files = {
    "index.js": `const os = require("os"); const name = process.env.NOTHING ?? "path";
      exports.handler = async () => typeof os.cpus + typeof require(name).join + (require.main === module);`,
  };
  assert.equal(
    await outputOf(files, "console.log(Object.keys(app), await app.default.handler())"),
    "[ 'default' ] functionfunctionfalse",
  );
});

test("__dirname and __filename are those of the deployment, unless the code has its own", async () => {
  const files = {
    "src/index.ts": `import { own } from "./own.ts"; import { readFileSync } from "node:fs";
      export const text = readFileSync(__dirname + "/data.txt", "utf8") + own + __filename.endsWith("/src/index.mjs")
        + readFileSync(new URL("./data.txt", import.meta.url), "utf8");`,
    "src/own.ts": `const __dirname = "own"; export const own = __dirname;`,
    "src/data.txt": "data ",
    "aloft.json": `{"files": ["src/data.txt"]}`,
  };
  assert.equal(await outputOf(files, "console.log(app.text)"), "data owntruedata");
});

test("the source map leads to the developer's own file and line", async () => {
  const files = {
    "src/index.ts": `import { fail } from "../lib/fail.ts";\nimport { fn } from "aloft";\nexport const run = fn(() => fail());\n`,
    "lib/fail.ts": `// first line\n\nconst os = require("os");\nexport function fail(): never {\n  throw new Error("no " + typeof os.cpus);\n}\n`,
  };
  const bundle = await bundleApp({ dir: await appFolder(files) });
  assert.equal(bundle.entry, "src/index.mjs");
  const map = JSON.parse(await textOf(bundle, "src/index.mjs.map")) as { sources: string[] };
  assert.deepEqual(
    map.sources.filter((source) => !source.startsWith("../aloft/")),
    ["../lib/fail.ts", "../src/index.ts"],
  );
  const script = `
    const { SourceMap } = await import("node:module"); const { readFileSync } = await import("node:fs");
    const { fileURLToPath } = await import("node:url");
    try { await app.run(); } catch (error) {
      const [, url, line, column] = /(file:.*):(\\d+):(\\d+)/.exec(error.stack);
      const map = new SourceMap(JSON.parse(readFileSync(fileURLToPath(url) + ".map", "utf8")));
      const entry = map.findEntry(line - 1, column - 1);
      console.log(error.message, entry.originalSource, entry.originalLine + 1);
    }`;
  assert.equal((await runIn(bundle, script)).stdout.trim(), "no function ../lib/fail.ts 5");
});

test("a mistake is shown with file, line, column and the line itself", async () => {
  const error = await failureOf({ "index.ts": "// ü\nexport const a = 1;\n\tconst x y = 2;\n" });
  assert.equal(error.code, "BUILD_FAILED");
  assert.equal(
    error.message,
    'index.ts:3:10: Expected ";" but found "y"\n    3 | \tconst x y = 2;\n      | \t        ^',
  );
  assert.deepEqual(error.detail?.["errors"], [
    { text: 'Expected ";" but found "y"', file: "index.ts", line: 3, column: 10 },
  ]);
});

test("a package that is not installed is named with what to do", async () => {
  const error = await failureOf({ "index.ts": `import "left-pad/x";` });
  assert.match(error.message, /^index\.ts:1:8: Could not resolve "left-pad\/x"\n/);
  assert.equal(error.hint, "install it with: npm install left-pad");
});

test("the Functions Framework must be installed to be used", async () => {
  const error = await failureOf({ "index.ts": `import "@google-cloud/functions-framework";` });
  assert.match(error.message, /is imported but not installed: npm install @google-cloud\/functions-framework/);
});

test("Functions Framework code gets our shim, and the shim the package that is installed beside the code", async () => {
  const files = {
    "index.js": `const ff = require("@google-cloud/functions-framework"); ff.http("hello", (req, res) => res.send("x"));`,
    "node_modules/@google-cloud/functions-framework/package.json": `{"name": "@google-cloud/functions-framework", "version": "3.4.0",
      "exports": {".": "./index.js", "./testing": "./testing.js"}}`,
    "node_modules/@google-cloud/functions-framework/index.js": `exports.http = () => {}; exports.marker = "installed one";`,
    "node_modules/@google-cloud/functions-framework/testing.js": `exports.getTestServer = () => "installed testing";`,
  };
  const bundle = await bundleApp({ dir: await appFolder(files) });
  const text = await textOf(bundle, "index.mjs");
  assert.match(text, /\/\/ aloft\/functions-framework\.ts/);
  assert.match(text, /installed (?:one|testing)/);
});

test("warnings are told for the developer's own code only", async () => {
  const dir = await appFolder({
    "index.js": `import "lib"; export const a = 1; if (a === NaN) throw 1;`,
    "node_modules/lib/package.json": `{"main": "i.js"}`,
    "node_modules/lib/i.js": `if (globalThis === NaN) throw 1;`,
  });
  const warnings: string[] = [];
  await bundleApp({ dir, onWarning: (warning) => warnings.push(warning) });
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!, /^index\.js:1:41: Comparison with NaN/);
});

test("named files are carried: paths, folders, patterns; secrets only by name", async () => {
  const dir = await appFolder({
    "index.ts": "export default { fetch: () => new Response() };",
    "aloft.json": `{"files": ["data", "./models/*.bin", "**/*.csv", ".env.example"]}`,
    "data/a.txt": "a",
    "data/deep/b": "b",
    "data/.env": "SECRET",
    "data/node_modules/c": "c",
    "models/m.bin": "m",
    "models/m.txt": "not this",
    "x/y/z.csv": "z",
    ".env.example": "e",
    ".env": "SECRET",
    "run.sh": "",
  });
  await chmod(join(dir, "data/a.txt"), 0o755);
  const bundle = await bundleApp({ dir });
  assert.deepEqual(
    bundle.files.map(({ path, executable }) => (executable === true ? `${path}*` : path)),
    [".env.example", "data/a.txt*", "data/deep/b", "index.mjs", "index.mjs.map", "models/m.bin", "x/y/z.csv"],
  );
  assert.equal(await textOf(bundle, "data/deep/b"), "b");
});

test("a pattern that matches nothing is refused, and so is a link that leads out", async () => {
  const error = await failureOf({ "index.ts": "", "aloft.json": `{"files": ["dta/*"]}` });
  assert.equal(`${error.code} ${error.message}`, 'CONFIG_INVALID aloft.json files[0]: "dta/*" matches no file');
  const dir = await appFolder({ "index.ts": "", "aloft.json": `{"files": ["data"]}`, "data/a": "" });
  await symlink("/etc/hostname", join(dir, "data/secret"));
  await assert.rejects(bundleApp({ dir }), /data\/secret is a link that leads out of the folder/);
});

test("what aloft.json says wrongly stops the build", async () => {
  const error = await failureOf({ "index.ts": "", "aloft.json": `{\n  "nmae": "x"\n}` });
  assert.equal(error.message, 'aloft.json:2:3 nmae: unknown key; did you mean "name"?');
});
