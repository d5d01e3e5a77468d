/**
 * Holds the table of rooms of ARCHITECTURE.md: who may import whom. Everything concrete meets in server.ts alone.
 * Tests may import what they need; the files they test may not.
 */
import assert from "node:assert/strict";
import { globSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "..");

/** What a room of src/ may import beside itself, contract/ and lib/. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  "config.ts": [],
  cli: ["server.ts", "config.ts", "build"],
  build: [],
  doors: [],
  api: [],
  apps: [],
  dispatch: [],
  pool: ["wire"],
  triggers: [],
  state: [],
  shards: [],
  workflows: ["shards"],
  actors: ["shards"],
  observe: [],
  store: [],
  bus: [],
  sandbox: [],
};

/** These import nothing outside themselves. */
const foundations = ["contract", "lib", "wire"];

const roomNames = ["server.ts", ...Object.keys(rooms), ...foundations];

/** Where each file of the three trees is, without tests, and what it imports from where. */
interface Source {
  readonly file: string;
  readonly text: string;
  /** Relative imports as paths from the root; `new URL("./x.ts", import.meta.url)` counts as one. */
  readonly files: readonly string[];
  /** Everything else: `node:fs`, `esbuild`. */
  readonly packages: readonly string[];
}

const sources = globSync("{src,guest,sdk}/**/*.ts", { cwd: root, exclude: ["**/node_modules/**"] })
  .filter((file) => !file.endsWith(".test.ts"))
  .map(readSource);

test("the walk saw the house", () => {
  assert.ok(sources.length > 20, `only ${sources.length} files`);
  for (const tree of ["src", "guest", "sdk"])
    assert.ok(
      sources.some(({ file }) => file.startsWith(`${tree}/`)),
      tree,
    );
  const imports = sources.flatMap(({ files }) => files);
  assert.ok(imports.length > sources.length, `only ${imports.length} imports`);
});

test("everything directly in src/ is a known room", () => {
  const unknown = readdirSync(join(root, "src")).filter((name) => !roomNames.includes(name));
  assert.deepEqual(
    unknown.filter((name) => !name.endsWith(".test.ts")),
    [],
  );
});

test("every import leads to a file that exists", () => {
  const known = new Set(sources.map(({ file }) => file));
  const broken = sources.flatMap(({ file, files }) =>
    files.filter((target) => target.endsWith(".ts") && !known.has(target)).map((target) => `${file} -> ${target}`),
  );
  assert.deepEqual(broken, []);
});

test("a room imports only contract/, lib/ and what its row names", () => {
  const broken = sources.flatMap(({ file, files }) =>
    files.filter((target) => !mayImport(file, target)).map((target) => `${file} -> ${target}`),
  );
  assert.deepEqual(broken, []);
});

test("guest and SDK import no package, the platform only its runtime dependencies", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { dependencies: object };
  const allowed = new Set(Object.keys(manifest.dependencies));
  const shipped = sources.filter(({ file }) => !file.endsWith(".suite.ts"));
  const broken = shipped.flatMap(({ file, packages }) =>
    packages
      .filter((name) => !/^(?:node|data):/.test(name))
      .filter((name) => !file.startsWith("src/") || !allowed.has(packageNameOf(name)))
      .map((name) => `${file} -> ${name}`),
  );
  assert.deepEqual(broken, []);
});

test("only config.ts reads the environment of the server", () => {
  const readers = sources
    .filter(({ file, text }) => file.startsWith("src/") && /\bprocess\.env\b|"node:process"/.test(text))
    .map(({ file }) => file);
  assert.deepEqual(readers, ["src/config.ts"]);
});

test("the rule itself tells allowed from forbidden imports", () => {
  const table: [from: string, to: string, allowed: boolean][] = [
    ["src/pool/instance.ts", "src/wire/frames.ts", true],
    ["src/pool/instance.ts", "src/pool/zygote.ts", true],
    ["src/pool/instance.ts", "src/sandbox/process/driver.ts", false],
    ["src/apps/deploy.ts", "src/contract/errors.ts", true],
    ["src/apps/deploy.ts", "src/server.ts", false],
    ["src/cli/dev.ts", "src/server.ts", true],
    ["src/cli/dev.ts", "src/apps/deploy.ts", false],
    ["src/server.ts", "src/store/sqlite/open.ts", true],
    ["src/server.ts", "src/cli/main.ts", false],
    ["src/server.ts", "sdk/index.ts", false],
    ["src/contract/errors.ts", "src/lib/clock.ts", false],
    ["src/wire/reader.ts", "src/lib/ring.ts", false],
    ["guest/node/main.ts", "src/wire/reader.ts", true],
    ["guest/node/main.ts", "sdk/index.ts", true],
    ["guest/node/main.ts", "src/contract/limits.ts", false],
    ["sdk/http.ts", "sdk/route.ts", true],
    ["sdk/http.ts", "src/wire/reader.ts", false],
    ["src/unheard-of/x.ts", "src/lib/clock.ts", false],
  ];
  for (const [from, to, allowed] of table) assert.equal(mayImport(from, to), allowed, `${from} -> ${to}`);
});

function mayImport(from: string, to: string): boolean {
  const here = roomOf(from);
  const there = roomOf(to);
  if (here === there) return true;
  if (here === "sdk") return false;
  if (here === "guest") return there === "sdk" || there === "src/wire";
  if (!there.startsWith("src/")) return false;
  const target = there.slice("src/".length);
  const room = here.slice("src/".length);
  if (foundations.includes(room)) return false;
  if (room === "server.ts") return target !== "cli";
  const row = rooms[room];
  return row !== undefined && (target === "contract" || target === "lib" || row.includes(target));
}

/** `src/pool`, `src/server.ts`, `guest`, `sdk`. */
function roomOf(file: string): string {
  const [tree = "", room = ""] = file.split("/");
  return tree === "src" ? `${tree}/${room}` : tree;
}

function readSource(file: string): Source {
  const text = readFileSync(join(root, file), "utf8").replaceAll(/^\s*(?:\/\*[\s\S]*?\*\/|\/\/.*$)/gm, "");
  const patterns = [/(?:\bfrom\s+|\bimport\s*\(?\s*)"([^"]+)"/g, /\bnew URL\(\s*"(\.[^"]+)",\s*import\.meta\.url/g];
  const targets = patterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1] ?? ""));
  const isRelative = (target: string) => target.startsWith(".");
  return {
    file,
    text,
    files: targets.filter(isRelative).map((target) => relative(root, join(root, dirname(file), target))),
    packages: targets.filter((target) => !isRelative(target)),
  };
}

function packageNameOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}
