/**
 * The files of a folder whose code is not bundled: all of them but other tools' state, secrets, and what `.aloftignore`
 * leaves out. Links are followed as long as they stay inside the folder; what they name is carried as a file of its own.
 */
import { lstat, open, readdir, readFile, realpath, stat } from "node:fs/promises";
import { join, matchesGlob, sep } from "node:path";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";

export interface FolderOptions {
  /** Whether `node_modules` is part of the code: of programs that Node runs, it is. */
  readonly withNodeModules: boolean;
}

/** Never carried; `.bin` holds links of npm that are of no use as copies. */
const leftOut =
  /^(?:\.git|\.hg|\.svn|\.aloft|\.aloftignore|\.env(?:\..*)?|\.venv|venv|\.bin|\.cache|\.DS_Store|\.(?:mypy|pytest|ruff)_cache)$/;
const compiledPython = /\.py[co]$/;

/** Sorted paths relative to the folder. Throws CONFIG_INVALID and DEPLOYMENT_TOO_LARGE. */
export async function findFolderFiles(dir: string, options: FolderOptions): Promise<string[]> {
  const root = await realpath(dir);
  const ignores = parseIgnores(await readFile(join(dir, ".aloftignore"), "utf8").catch(() => ""));
  const found: string[] = [];
  const walked = new Set<string>();

  async function walk(folder: string): Promise<void> {
    const real = await realpath(join(dir, folder));
    if (real !== root && !real.startsWith(root + sep)) throw leadsOut(folder);
    // A link to a folder above it would go on without end.
    if (walked.has(real)) return;
    walked.add(real);
    for (const name of (await readdir(join(dir, folder))).toSorted()) {
      const path = folder === "" ? name : `${folder}/${name}`;
      if (leftOut.test(name)) continue;
      if (name === "node_modules" && !options.withNodeModules) continue;
      const kind = await stat(join(dir, path)).catch(() => null);
      if (kind === null || ignores(path, kind.isDirectory())) continue;
      if (kind.isDirectory()) await walk(path);
      else if (compiledPython.test(name) && !(await isHashBased(join(dir, path)))) continue;
      else if (kind.isFile()) {
        await assertInside(path);
        found.push(path);
      }
      if (found.length > limits.deploymentFiles) {
        throw new AloftError("DEPLOYMENT_TOO_LARGE", `the app has more than ${limits.deploymentFiles} files`, {
          hint: "leave out what the code does not need, by a line in .aloftignore",
        });
      }
    }
    walked.delete(real);
  }

  async function assertInside(path: string): Promise<void> {
    if (!(await lstat(join(dir, path))).isSymbolicLink()) return;
    if (!(await realpath(join(dir, path))).startsWith(root + sep)) throw leadsOut(path);
  }

  await walk("");
  return found.toSorted();
}

/**
 * Whether a compiled module of Python knows its source by a hash (PEP 552) and not by the time of its last change, which a
 * deployment does not keep: such a one saves its instances the compiling, any other would be ignored.
 */
async function isHashBased(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(8), 0, 8, 0);
    return bytesRead === 8 && (buffer.readUInt32LE(4) & 1) === 1;
  } finally {
    await handle.close();
  }
}

/** A link could carry what the developer keeps elsewhere to wherever the app is deployed. */
function leadsOut(path: string): AloftError {
  return new AloftError("CONFIG_INVALID", `${path} is a link that leads out of the folder`, {
    hint: "put a copy in its place, or leave it out by a line in .aloftignore",
  });
}

/** As of `.gitignore`: the last line that matches counts, `!` takes back, a `/` inside ties it to the folder. */
function parseIgnores(text: string): (path: string, isFolder: boolean) => boolean {
  const rules = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const isTakenBack = line.startsWith("!");
      const pattern = isTakenBack ? line.slice(1) : line;
      const plain = pattern.replace(/^\/+|\/+$/g, "");
      const isTied = pattern.replace(/\/+$/, "").includes("/");
      return { isTakenBack, pattern: plain, isTied, ofFolders: pattern.endsWith("/") };
    });
  return (path, isFolder) => {
    let isIgnored = false;
    const name = path.slice(path.lastIndexOf("/") + 1);
    for (const { isTakenBack, pattern, isTied, ofFolders } of rules) {
      if (ofFolders && !isFolder) continue;
      if (matchesGlob(isTied ? path : name, pattern)) isIgnored = !isTakenBack;
    }
    return isIgnored;
  };
}
