/**
 * Where the imports of an app lead, as far as it is not the bundler's own affair:
 *
 *   aloft                            the SDK that belongs to this platform, whatever is installed
 *   @google-cloud/functions-framework  our shim, which registers handlers; from the shim the real package
 *   a package with a native addon    stays an import; the package is carried as files
 */
import { existsSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, extname, join } from "node:path";
import type { OnResolveArgs, OnResolveResult, Plugin, PluginBuild } from "esbuild";
import type { InstalledPackage, InstalledPackages } from "./installed-package.ts";
import { packageNameOf } from "./installed-package.ts";

const ending = import.meta.filename.endsWith(".ts") ? "ts" : "js";

/** In a checkout the sources, in the published package the built files. */
export const sdkFolder = join(import.meta.dirname, "..", "..", "sdk");
const sdkFile = join(sdkFolder, `index.${ending}`);
const shimFile = join(sdkFolder, `functions-framework.${ending}`);
const framework = "@google-cloud/functions-framework";

export interface ImportRules {
  readonly dir: string;
  /** Packages that are carried because `aloft.json` says so. */
  readonly external: readonly string[];
  readonly packages: InstalledPackages;
  /** Filled on the way: what has to be carried, by name. */
  readonly carried: Map<string, InstalledPackage>;
  readonly onWarning: (warning: string) => void;
}

export function importsPlugin(rules: ImportRules): Plugin {
  return {
    name: "aloft-imports",
    setup(build) {
      /** Folder of the user's file that imported the framework. */
      let frameworkUser = rules.dir;
      build.onResolve({ filter: /^[^./]/ }, async (args) => {
        const { path, kind, importer, resolveDir } = args;
        if (kind === "entry-point" || args.pluginData === asInstalled) return undefined;
        if (path === "aloft") return { path: sdkFile };
        if (importer === shimFile) return await resolveFramework(build, args, frameworkUser);
        if (path === framework) {
          frameworkUser = resolveDir;
          return { path: shimFile };
        }
        return carriedImport(args, rules);
      });
    },
  };
}

/** Tells a resolution that was asked for by us from one of the code's. */
const asInstalled = { asInstalled: true };

async function resolveFramework(build: PluginBuild, args: OnResolveArgs, resolveDir: string): Promise<OnResolveResult> {
  const { kind, path } = args;
  const found = await build.resolve(path, { kind, resolveDir, pluginData: asInstalled });
  if (found.errors.length === 0) return { path: found.path, external: found.external, namespace: found.namespace };
  return { errors: [{ text: `the package ${framework} is imported but not installed: npm install ${framework}` }] };
}

/** undefined: the bundler resolves and bundles it. */
function carriedImport({ path, resolveDir, kind }: OnResolveArgs, rules: ImportRules): OnResolveResult | undefined {
  const { external, packages, carried, onWarning } = rules;
  const name = packageNameOf(path);
  if (name === null || isBuiltin(path)) return undefined;
  const isNamed = external.includes(name);
  const found = packages.find(name, resolveDir);
  if (found === null) {
    if (!isNamed) return undefined;
    return { errors: [{ text: `aloft.json names ${name} in external, but it is not installed: npm install ${name}` }] };
  }
  // A linked package of the same repository is source code like the app's own; what it imports is looked at in turn.
  const isInstalled = found.dir.split(/[\\/]/).includes("node_modules");
  if (!isNamed && !(isInstalled && packages.isNative(found))) return undefined;
  const first = carried.get(name);
  if (first === undefined) carried.set(name, found);
  else if (first.dir !== found.dir) {
    onWarning(`${name} is installed twice; the code gets the one in ${first.dir} instead of ${found.dir}`);
  }
  return { path: kind === "require-call" ? path : importedPath(path, found), external: true };
}

/** Node's `import` wants the full file name in a package without `exports`, which bundlers and `require` do not. */
function importedPath(path: string, { name, dir, hasExports }: InstalledPackage): string {
  const inner = path.slice(name.length + 1);
  if (inner === "" || hasExports || (extname(inner) !== "" && existsSync(join(dir, inner)))) return path;
  const full = [".js", ".mjs", ".cjs", ".json", "/index.js"].find((end) => existsSync(join(dir, inner + end)));
  return full === undefined ? path : join(name, dirname(inner), `${inner.split("/").at(-1)}${full}`);
}
