/**
 * Holds the docs to the code: pages made from tables are up to date, links lead somewhere, and every block marked `ts`
 * type-checks with `aloft` as it is in sdk/. A block that cannot stand alone is marked otherwise.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { generatedPages, readable } from "../scripts/docs.ts";
import { commands } from "../src/cli/commands.ts";
import { settingsTable, type Setting } from "../src/config.ts";
import { errorTable } from "../src/contract/errors.ts";
import { functionLimits, limits } from "../src/contract/limits.ts";

const root = join(import.meta.dirname, "..");
const pages = globSync(["*.md", "{docs,decisions}/**/*.md", "examples/*/README.md"], { cwd: root });

function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

for (const [path, make] of Object.entries(generatedPages)) {
  test(`${path} says what the code says`, () => {
    assert.equal(read(path), make(), "run `npm run docs`");
  });
}

test("every error code has its row, and no row is for a code that is gone", () => {
  const rows = [...read("docs/errors.md").matchAll(/^\| `([A-Z_]+)` \| (\d+) \| (\w+) \| (.*) \|$/gm)];
  assert.ok(rows.length > 20, `only ${rows.length} rows`);
  const listed = Object.fromEntries(
    rows.map(([, code, status, fault, about]) => [code, { status: Number(status), fault, about }]),
  );
  assert.deepEqual(listed, { ...errorTable });
});

test("every limit has its row with the exact value", () => {
  const rows = [...read("docs/limits.md").matchAll(/^\| `(\w+)` \| [^|]+ \| (\d+) \|$/gm)];
  assert.deepEqual(Object.fromEntries(rows.map(([, name, value]) => [name, Number(value)])), { ...limits });
  for (const name of Object.keys(functionLimits))
    assert.match(read("docs/limits.md"), new RegExp(`^\\| \`${name}\` \\|`, "m"));
});

test("every setting has its row, with its flag and variable", () => {
  const page = read("docs/settings.md");
  for (const [name, { env, flag }] of Object.entries<Setting<unknown>>(settingsTable)) {
    const row =
      page.split("\n").find((line) => line.startsWith(`| \`${name}\` |`)) ?? assert.fail(`no row for ${name}`);
    assert.ok(row.includes(`\`${env}\``), `${name}: ${env}`);
    assert.ok(flag === null || row.includes(`--${flag}`), `${name}: --${flag}`);
  }
});

test("every command has its section, in the order of help", () => {
  const sections = [...read("docs/commands.md").matchAll(/^## (\S+)$/gm)].map((match) => match[1]);
  assert.deepEqual(
    sections,
    commands.map(({ name }) => name),
  );
});

test("a limit is shown in the largest unit that divides it", () => {
  const table: [name: string, value: number, shown: string][] = [
    ["frameBytes", 65_536, "64 KiB"],
    ["unsentBytesPerInstance", 1_048_576, "1 MiB"],
    ["memoryMiB", 16_384, "16 GiB"],
    ["drainMs", 900_000, "15 min"],
    ["recordRetentionMs", 604_800_000, "7 d"],
    ["keepAliveMs", 0, "0 ms"],
    ["deploymentFiles", 50_000, "50,000"],
  ];
  for (const [name, value, shown] of table) assert.equal(readable(name, value), shown, name);
});

test("every link between pages leads to a file", () => {
  assert.ok(pages.length > 5, `only ${pages.length} pages`);
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1] ?? "")
      .filter((target) => !/^[a-z]+:/.test(target) && !existsSync(join(root, dirname(page), target)))
      .map((target) => `${page} -> ${target}`),
  );
  assert.deepEqual(broken, []);
});

test("every block of TypeScript in the docs type-checks", (t) => {
  const blocks = pages.flatMap((page) =>
    [...read(page).matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match, at) => ({ page, at, code: match[1] ?? "" })),
  );
  assert.ok(blocks.length > 0, "no page has a block marked ts");

  const folder = mkdtempSync(join(tmpdir(), "aloft-docs-"));
  t.after(() => rmSync(folder, { recursive: true }));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const tsconfig = {
    extends: join(root, "tsconfig.json"),
    compilerOptions: { paths: { aloft: [join(root, "sdk", "index.ts")] }, moduleDetection: "force" },
    include: ["*.ts"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(tsconfig));
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  for (const { page, at, code } of blocks) {
    writeFileSync(join(folder, `${page.replaceAll(/[^A-Za-z0-9]/g, "-")}-${at + 1}.ts`), code);
  }
  const result = spawnSync(join(root, "node_modules", ".bin", "tsc"), ["-p", "."], { cwd: folder, encoding: "utf8" });
  assert.equal(result.status, 0, `the file's name says page and number of the block\n${result.stdout}${result.stderr}`);
});
