/**
 * From a folder of code to what a deploy uploads: one module, its source map, packages that cannot be bundled, and the
 * files that `aloft.json` names. Runs on the developer's side and never runs the developer's code.
 */
import type { AppConfig } from "../contract/app-config.ts";
import type { Runtime } from "../contract/deployment.ts";
import { programsOf } from "../contract/programs.ts";
import { forEachParallel } from "../lib/parallel.ts";
import { readAppSource } from "./app-source.ts";
import type { AppSource } from "./app-source.ts";
import { assertBundleSize, fileFromDisk } from "./bundled-file.ts";
import type { BundledFile, HashCache } from "./bundled-file.ts";
import { carryPackages } from "./carried-packages.ts";
import type { CodeBundle } from "./code-bundler.ts";
import { openCodeBundler } from "./code-bundler.ts";
import { findExtraFiles } from "./extra-files.ts";
import { findFolderFiles } from "./folder-files.ts";
import type { ImportRules } from "./imports.ts";
import { isOfLayer, readLayers } from "./layers.ts";
import { InstalledPackages } from "./installed-package.ts";

export type { BundledFile } from "./bundled-file.ts";

export interface Bundle {
  /** From `aloft.json`, else made of the folder's name: always a valid name of an app. */
  readonly name: string;
  readonly config: AppConfig;
  /** "" when there is no `aloft.json`. */
  readonly configText: string;
  /** Of functions about which `aloft.json` says nothing else. */
  readonly runtime: Runtime;
  /** Path of the Node module, one of `files`; "" when there is none. */
  readonly entry: string;
  /** Sorted by path. */
  readonly files: readonly BundledFile[];
}

export interface BundleOptions {
  /** The folder of the app, or its only file. */
  readonly dir: string;
  readonly onWarning?: (warning: string) => void;
}

/** Throws ENTRY_NOT_FOUND, CONFIG_INVALID, BUILD_FAILED and DEPLOYMENT_TOO_LARGE. */
export async function bundleApp({ dir, onWarning = () => {} }: BundleOptions): Promise<Bundle> {
  // Loading the bundler takes longer than all that is read before it is needed.
  const loaded = import("esbuild");
  const [source] = await Promise.all([readAppSource(dir), loaded]);
  const rules = importRulesOf(source, onWarning);
  if (source.entry === "") return await assembleBundle(source, noCode, rules, new Map());
  const bundler = await openCodeBundler(source.entry, rules);
  try {
    return await assembleBundle(source, await bundler.build(), rules, new Map());
  } finally {
    await bundler.close();
  }
}

export function importRulesOf({ dir, config }: AppSource, onWarning: (warning: string) => void): ImportRules {
  return { dir, external: config.external, packages: new InstalledPackages(), carried: new Map(), onWarning };
}

/** Of an app without a Node module. */
export const noCode: CodeBundle = { entry: "", files: [], inputs: [] };

/** The bundled code, if there is any, and the files that go with it. */
export async function assembleBundle(
  source: AppSource,
  code: CodeBundle,
  rules: ImportRules,
  hashes: HashCache,
): Promise<Bundle> {
  const { dir, name, config, configText, runtime } = source;
  const found = new Map<string, string>();
  for (const path of await filesOfPrograms(source)) found.set(path, `${dir}/${path}`);
  for (const path of await findExtraFiles(dir, config.files)) found.set(path, `${dir}/${path}`);
  const carried = await carryPackages(rules.carried, rules.packages, rules.onWarning);
  for (const { path, source: from } of carried) found.set(path, from);
  // The module has its place even where a file of the same name was named.
  for (const { path } of code.files) found.delete(path);
  const files = [...code.files];
  await forEachParallel(found, filesAtOnce, async ([path, from]) => {
    files.push(await fileFromDisk(path, from, hashes));
  });
  files.push(...(await readLayers(dir, config.layers, hashes)));
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  assertBundleSize(files);
  return { name, config, configText, runtime, entry: code.entry, files };
}

/** Code that is not bundled is carried as it lies in the folder. */
async function filesOfPrograms({ dir, config, runtime, file }: AppSource): Promise<readonly string[]> {
  if (file !== undefined) return [file];
  const runtimes = new Set(programsOf(config, runtime).map(({ program }) => program.runtime));
  if (runtimes.size === 0) return [];
  const found = await findFolderFiles(dir, { withNodeModules: runtimes.has("nodejs") || runtimes.has("command") });
  return found.filter((path) => !isOfLayer(path, config.layers));
}

const filesAtOnce = 8; // enough to keep the disk busy; each may hold some MiB
