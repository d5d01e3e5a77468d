/** What `aloft dev PATH` serves: one app (a folder or a single file), or every app in a folder of app folders. */
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readAppSource } from "../build/app-source.ts";
import { AloftError } from "../contract/errors.ts";

export type DevTarget =
  /** `folder` is where dev keeps its data. */
  | { readonly kind: "app"; readonly folder: string; readonly path: string }
  | { readonly kind: "apps"; readonly folder: string; readonly paths: readonly string[] };

/** Throws ENTRY_NOT_FOUND when there is nothing to run. */
export async function readDevTarget(path: string): Promise<DevTarget> {
  const stats = await stat(path).catch(() => null);
  if (stats === null)
    throw new AloftError("ENTRY_NOT_FOUND", `${path} does not exist`, { hint: "aloft init DIR writes a new app" });
  if (!stats.isDirectory()) return { kind: "app", folder: dirname(path), path };
  try {
    await readAppSource(path);
    return { kind: "app", folder: path, path };
  } catch (error) {
    if (!(error instanceof AloftError) || error.code !== "ENTRY_NOT_FOUND") throw error;
    const paths = await listAppFolders(path);
    if (paths.length === 0) throw error;
    return { kind: "apps", folder: path, paths };
  }
}

/** The direct subfolders that hold an app, in alphabetical order. */
export async function listAppFolders(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const candidates = entries
    .filter(({ name }) => !name.startsWith(".") && name !== "node_modules")
    .map(({ name }) => join(folder, name))
    .toSorted();
  const held = await Promise.all(candidates.map(holdsApp));
  return candidates.filter((_candidate, at) => held[at] === true);
}

async function holdsApp(folder: string): Promise<boolean> {
  if ((await stat(folder).catch(() => null))?.isDirectory() !== true) return false;
  try {
    await readAppSource(folder);
    return true;
  } catch (error) {
    // A folder whose aloft.json or package.json is broken is an app with a mistake, which is to be shown.
    return !(error instanceof AloftError && error.code === "ENTRY_NOT_FOUND");
  }
}
