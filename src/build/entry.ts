/**
 * Which file of a folder is imported: `aloft.json` `entry`, else `package.json` `exports` or `main` where that file
 * exists, else `index.*`, else `src/index.*`, else the only file of code. Nothing is guessed beyond that.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { AppConfig } from "../contract/app-config.ts";
import { AloftError } from "../contract/errors.ts";

const endings = ["ts", "mts", "tsx", "jsx", "js", "mjs", "cjs", "cts"];
const codeFile = new RegExp(`\\.(?:${endings.join("|")})$`);
const notAnEntry = /\.d\.[cm]?ts$|\.(?:test|spec|config|suite)\.\w+$/;

/** Relative to the folder. Throws ENTRY_NOT_FOUND with what there is. */
export async function findEntry(dir: string, config: AppConfig): Promise<string> {
  if (config.entry !== null) {
    if (await isFile(join(dir, config.entry))) return config.entry;
    throw await notFound(dir, `aloft.json names the entry ${config.entry}, which is not there`);
  }
  for (const named of await entriesOfPackage(dir)) if (await isFile(join(dir, named))) return named;
  const names = await readdir(dir);
  for (const folder of ["", "src/"]) {
    const present =
      folder === "" ? names : names.includes("src") ? await readdir(join(dir, "src")).catch(() => []) : [];
    const index = endings.map((ending) => `index.${ending}`).find((name) => present.includes(name));
    if (index !== undefined && (await isFile(join(dir, folder, index)))) return `${folder}${index}`;
  }
  const files = codeFiles(names);
  if (files.length === 1 && files[0] !== undefined) return files[0];
  throw await notFound(
    dir,
    files.length === 0 ? "the folder has no file of code" : "the folder has several files of code",
  );
}

async function notFound(dir: string, message: string): Promise<AloftError> {
  const files = codeFiles(await readdir(dir)).slice(0, 20);
  const list = files.length === 0 ? "" : `: ${files.join(", ")}`;
  return new AloftError("ENTRY_NOT_FOUND", `${message}${list} (${dir})`, {
    hint: 'name the file index.ts, or write "entry" in aloft.json',
    detail: { files },
  });
}

/** Those that could be an entry, by name. */
export function codeFiles(names: readonly string[]): string[] {
  return names.filter((name) => codeFile.test(name) && !notAnEntry.test(name)).toSorted();
}

/** In the order they count. `npm init` writes a `main` that often does not exist. */
async function entriesOfPackage(dir: string): Promise<readonly string[]> {
  let manifest: unknown;
  try {
    manifest = JSON.parse(await readFile(join(dir, "package.json"), "utf8"));
  } catch {
    // Missing, or broken in a way that the bundler reports with its place.
    return [];
  }
  if (typeof manifest !== "object" || manifest === null) return [];
  const { exports, main } = manifest as { exports?: unknown; main?: unknown };
  return [exportedFile(exports), main].filter(isInnerFile).map((path) => path.replace(/^(?:\.\/+)+/, ""));
}

/** The file of `exports` for `.` as Node would import it. */
function exportedFile(exports: unknown): unknown {
  if (typeof exports !== "object" || exports === null) return exports;
  if (Array.isArray(exports)) return exports.map(exportedFile).find((file) => typeof file === "string");
  for (const [condition, target] of Object.entries(exports)) {
    if (![".", "node", "import", "module-sync", "require", "default"].includes(condition)) continue;
    const file = exportedFile(target);
    if (typeof file === "string") return file;
  }
  return undefined;
}

function isInnerFile(path: unknown): path is string {
  return typeof path === "string" && path !== "" && !path.startsWith("/") && !path.split("/").includes("..");
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() === true;
}
