/**
 * Holds the table of rooms of ARCHITECTURE.md: who may import whom. Everything concrete meets in server.ts alone.
 * Tests may import what they need; the files they test may not.
 */
import assert from "node:assert/strict";
import { globSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { build, type Plugin } from "esbuild";

const environmentMark = "ALOFT_READS_THE_ENVIRONMENT";
const root = join(import.meta.dirname, "..");

/** What a room of src/ may import beside itself, contract/ and lib/. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  "config.ts": [],
  cli: ["server.ts", "config.ts", "build", "backup"],
  build: [],
  doors: [],
  api: [],
  apps: [],
  backup: [],
  dispatch: ["wire"],
  pool: ["wire"],
  triggers: ["state", "shards", "wire"],
  state: ["wire"],
  shards: [],
  workflows: ["shards"],
  actors: ["shards"],
  observe: [],
  store: [],
  bus: [],
  sandbox: [],
};

/** Stand-ins for a package that the user's code brings along: they import the user's own copy of it. */
const userOwned: Readonly<Record<string, string>> = {
  "sdk/functions-framework.ts": "@google-cloud/functions-framework",
};

/** What everyone stands on, and all that these import: the schema of aloft.json reads durations and sizes with lib/. */
const foundations: Readonly<Record<string, readonly string[]>> = {
  contract: ["lib", "wire"],
  lib: [],
  wire: [],
};

const roomNames = ["server.ts", ...Object.keys(rooms), ...Object.keys(foundations)];

interface Source {
  readonly file: string;
  /** Relative imports as paths from the root, those of types and dynamic ones too. */
  readonly files: readonly string[];
  /** Everything else: `node:fs`, `esbuild`. */
  readonly packages: readonly string[];
  readonly readsEnvironment: boolean;
}

const sources = await readSources(
  globSync("{src,guest,sdk}/**/*.ts", { cwd: root, exclude: ["**/node_modules/**"] }).filter(
    (file) => !/\.(?:test|child|fixture)\.ts$/.test(file),
  ),
);

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
      .filter((name) => !/^(?:node|data):/.test(name) && userOwned[file] !== packageNameOf(name))
      .filter((name) => !file.startsWith("src/") || !allowed.has(packageNameOf(name)))
      .map((name) => `${file} -> ${name}`),
  );
  assert.deepEqual(broken, []);
});

test("only config.ts reads the environment of the server", () => {
  const readers = sources
    .filter(({ file, readsEnvironment, packages }) => {
      return file.startsWith("src/") && (readsEnvironment || packages.includes("node:process"));
    })
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
    ["src/contract/app-config.ts", "src/lib/durations.ts", true],
    ["src/contract/running.ts", "src/pool/pool.ts", false],
    ["src/lib/ring.ts", "src/contract/limits.ts", false],
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
  const foundation = foundations[room];
  if (foundation !== undefined) return foundation.includes(target);
  if (room === "server.ts") return target !== "cli";
  const row = rooms[room];
  return row !== undefined && (target === "contract" || target === "lib" || row.includes(target));
}

/** `src/pool`, `src/server.ts`, `guest`, `sdk`. */
function roomOf(file: string): string {
  const [tree = "", room = ""] = file.split("/");
  return tree === "src" ? `${tree}/${room}` : tree;
}

/** Parsed by esbuild, which sees imports where they are and none in strings: the command line has templates of apps. */
async function readSources(files: readonly string[]): Promise<Source[]> {
  const imports = new Map<string, string[]>(files.map((file) => [file, []]));
  const collect: Plugin = {
    name: "collect",
    setup(hooks) {
      hooks.onResolve({ filter: /./ }, ({ kind, path, importer }) => {
        if (kind === "entry-point") return undefined;
        imports.get(relative(root, importer))?.push(path);
        return { path, external: true };
      });
      // An import of types alone is an import as well; esbuild would erase it before it tells anyone.
      hooks.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const contents = readFileSync(path, "utf8").replaceAll(
          /^(import|export) type (?=[{*\w])(?!\w+\s*[=<])/gm,
          "$1 ",
        );
        return { contents, loader: "ts" };
      });
    },
  };
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [...files],
    outbase: ".",
    outdir: "out",
    write: false,
    bundle: true,
    format: "esm",
    platform: "node",
    logLevel: "silent",
    define: { "process.env": environmentMark },
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    plugins: [collect],
  });
  const outputs = new Map(outputFiles.map(({ path, text }) => [relative(join(root, "out"), path), text]));
  return files.map((file) => {
    const targets = imports.get(file) ?? [];
    return {
      file,
      files: targets.filter(isRelative).map((target) => relative(root, join(root, dirname(file), target))),
      packages: targets.filter((target) => !isRelative(target)),
      readsEnvironment: outputs.get(file.replace(/ts$/, "js"))?.includes(environmentMark) ?? assert.fail(file),
    };
  });
}

function isRelative(target: string): boolean {
  return target.startsWith(".");
}

function packageNameOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}
