/** Reads files of an image's root as a process inside would find them: links lead where they lead there, never outside. */
import { lstatSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** As the kernel. */
const linksMax = 40;

/** The path on this host, null when nothing is there. */
export function findInside(root: string, path: string): string | null {
  const done: string[] = [];
  const left = partsOf(path).toReversed();
  let links = 0;
  for (let part = left.pop(); part !== undefined; part = left.pop()) {
    if (part === "..") {
      done.pop();
      continue;
    }
    const here = join(root, ...done, part);
    const stats = lstatSync(here, { throwIfNoEntry: false });
    if (stats === undefined) return null;
    if (!stats.isSymbolicLink()) {
      if (left.length > 0 && !stats.isDirectory()) return null;
      done.push(part);
      continue;
    }
    links += 1;
    if (links > linksMax) return null;
    const target = readlinkSync(here);
    if (target.startsWith("/")) done.length = 0;
    left.push(...partsOf(target).toReversed());
  }
  return join(root, ...done);
}

/** null: no such file, or none that one reads. Throws RangeError when it is larger. */
export function readInside(root: string, path: string, bytesMax: number): string | null {
  const found = findInside(root, path);
  if (found === null) return null;
  const stats = lstatSync(found);
  if (!stats.isFile()) return null;
  if (stats.size > bytesMax) throw new RangeError(`${path} has ${stats.size} bytes, read are ${bytesMax}`);
  return readFileSync(found, "utf8");
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}
