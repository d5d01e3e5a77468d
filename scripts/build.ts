/**
 * Builds dist/, the part of the published package that runs: Node does not strip types under node_modules.
 *
 *   dist/src/**          the platform, file by file as in src/, so that what one file finds relative to itself in a
 *                        checkout it finds in the package as well, with the ending of its own name
 *   dist/guest/*.cjs     the guests of Node as one file each, as a checkout builds them when a server starts
 *   dist/guest/python/** Python's guest, as it is
 *   dist/sdk/**          the SDK, file by file, and its declarations; the bundler of an app makes one of it
 *
 * Names are kept and syntax is minified nowhere but in the guest, so that a stack trace of the platform stays readable.
 */
import { execFile } from "node:child_process";
import { cp, glob, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { build, type BuildOptions, type Plugin } from "esbuild";
import { guestBuildOptions } from "../src/build/guest.ts";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");

const common = {
  absWorkingDir: root,
  platform: "node",
  format: "esm",
  target: "node24",
  charset: "utf8",
  logLevel: "warning",
} satisfies BuildOptions;

async function main(): Promise<void> {
  await rm(dist, { recursive: true, force: true });
  await Promise.all([buildPlatform(), buildGuest(), buildSdk(), buildDeclarations()]);
  await assertNoTypeScriptLeft();
}

async function buildPlatform(): Promise<void> {
  const entryPoints = await sources("src/**/*.ts");
  await build({ ...common, entryPoints, outbase: "src", outdir: "dist/src", bundle: true, plugins: [fileByFile] });
}

/** As a checkout builds it when a server starts. */
async function buildGuest(): Promise<void> {
  for (const guest of ["node", "companion"]) {
    const entryPoints = [`guest/${guest}/main.ts`];
    await build({ ...guestBuildOptions, absWorkingDir: root, entryPoints, outfile: `dist/guest/${guest}.cjs` });
  }
  await cp(join(root, "guest", "python"), join(dist, "guest", "python"), {
    recursive: true,
    filter: (file) => !file.includes("__pycache__") && !/test_\w+\.py$/.test(file),
  });
}

async function buildSdk(): Promise<void> {
  const entryPoints = await sources("sdk/**/*.ts");
  await build({ ...common, entryPoints, outbase: "sdk", outdir: "dist/sdk", bundle: true, plugins: [fileByFile] });
}

async function buildDeclarations(): Promise<void> {
  const tsc = join(root, "node_modules", ".bin", "tsc");
  await promisify(execFile)(tsc, ["-p", "sdk/tsconfig.build.json"], { cwd: root }).catch(
    (error: { stdout: string }) => {
      throw new Error(`build: the SDK's declarations\n${error.stdout}`);
    },
  );
  for await (const file of glob("dist/sdk/**/*.d.ts", { cwd: root })) {
    const text = await readFile(join(root, file), "utf8");
    await writeFile(join(root, file), text.replaceAll(/(["']\.{1,2}\/[^"']+)\.ts(["'])/g, "$1.js$2"));
  }
}

/** Keeps every import as it is and only gives relative ones the ending of the built file. */
const fileByFile: Plugin = {
  name: "file-by-file",
  setup(hooks) {
    hooks.onResolve({ filter: /./ }, ({ kind, path }) => {
      if (kind === "entry-point") return undefined;
      return { path: path.startsWith(".") ? path.replace(/\.ts$/, ".js") : path, external: true };
    });
  },
};

async function sources(pattern: string): Promise<string[]> {
  const files: string[] = [];
  for await (const file of glob(pattern, { cwd: root })) {
    if (!/\.(?:test|suite|child|fixture)\.ts$/.test(file)) files.push(file);
  }
  if (files.length < 5) throw new Error(`build: ${pattern} matches ${files.length} files, expected at least 5`);
  return files;
}

/** An import that still ends in .ts would fail only when it is reached, in the package and not in the checkout. */
async function assertNoTypeScriptLeft(): Promise<void> {
  for (const file of await readdir(dist, { recursive: true })) {
    if (!file.endsWith(".js")) continue;
    const text = await readFile(join(dist, file), "utf8");
    const left = /(?:from|import)\s*\(?\s*["']\.[^"']*\.ts["']/.exec(text);
    if (left !== null) throw new Error(`build: dist/${file} still imports TypeScript: ${left[0]}`);
  }
}

await main();
