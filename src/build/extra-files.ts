/** The files that `aloft.json` names under `files`: paths, folders with all they hold, and patterns. */
import { glob, realpath, stat } from "node:fs/promises";
import { basename, join, sep } from "node:path";
import { AloftError } from "../contract/errors.ts";

/** Never carried by a pattern or with a folder: other tools' state, and secrets. A path names it or it stays. */
const leftOut = /^(?:node_modules|\.git|\.aloft|\.env(?:\..*)?)$/;

/** Sorted paths relative to the folder. Throws CONFIG_INVALID for an item that matches nothing or leads out of it. */
export async function findExtraFiles(dir: string, items: readonly string[]): Promise<string[]> {
  const root = await realpath(dir);
  const paths = new Set<string>();
  for (const [index, item] of items.entries()) {
    const found = await filesOf(dir, item.replace(/^(?:\.\/+)+/, "").replace(/\/+$/, ""));
    if (found.length === 0) throw invalid(index, `"${item}" matches no file`);
    for (const path of found) {
      const real = await realpath(join(dir, path));
      // A link could carry what the developer keeps elsewhere to wherever the app is deployed.
      if (!real.startsWith(root + sep)) throw invalid(index, `${path} is a link that leads out of the folder`);
      paths.add(path);
    }
  }
  return [...paths].toSorted();
}

async function filesOf(dir: string, item: string): Promise<string[]> {
  const named = await stat(join(dir, item)).catch(() => null);
  if (named?.isFile() === true) return [item];
  const pattern = named?.isDirectory() === true ? (item === "" || item === "." ? "**" : `${item}/**`) : item;
  const found: string[] = [];
  const exclude = (name: string): boolean => leftOut.test(basename(name));
  for await (const path of glob(pattern, { cwd: dir, exclude })) {
    if ((await stat(join(dir, path)).catch(() => null))?.isFile() === true) found.push(path.split(sep).join("/"));
  }
  return found;
}

function invalid(index: number, what: string): AloftError {
  return new AloftError("CONFIG_INVALID", `aloft.json files[${index}]: ${what}`);
}
