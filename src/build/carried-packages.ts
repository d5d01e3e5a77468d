/**
 * npm packages that travel as files instead of being bundled, with everything they depend on. They are laid out anew
 * under `node_modules/`, flat where two do not need different versions of a third, as npm does it.
 */
import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import type { InstalledPackage, InstalledPackages } from "./installed-package.ts";

export interface CarriedFile {
  /** Where it will lie in the deployment. */
  readonly path: string;
  /** Where it lies now. */
  readonly source: string;
}

/** A place of the new layout. */
interface Place {
  readonly path: string;
  readonly parent: Place | null;
  readonly item: InstalledPackage | null;
  readonly children: Map<string, Place>;
}

/**
 * Never read when code runs: types, source maps, prose, and the sources and left-overs of compiling an addon. Tests and
 * whatever else a package brings stay: some load their data from the oddest folders.
 */
const leftOutFile = /\.d\.[cm]?ts$|\.(?:map|md|markdown|c|cc|cpp|cxx|h|hh|hpp|o|obj|a|lib|pdb|tlog|tsbuildinfo)$/i;
const leftOutFolder = /^(?:node_modules|\.git|\.github|obj\.target|\.deps)$/;

/** Sorted by path. `roots` are the packages that the bundled code imports, by name. */
export async function carryPackages(
  roots: ReadonlyMap<string, InstalledPackage>,
  packages: InstalledPackages,
  onWarning: (warning: string) => void,
): Promise<CarriedFile[]> {
  const lists = await Promise.all(
    layOut(roots, packages, onWarning).map(async ({ path, item }) =>
      item === null ? [] : await filesOf(item.dir, path),
    ),
  );
  return lists.flat().toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

/** Breadth first: all that a package needs has its place before what those need is looked at. */
function layOut(
  roots: ReadonlyMap<string, InstalledPackage>,
  packages: InstalledPackages,
  onWarning: (warning: string) => void,
): Place[] {
  const top: Place = { path: "", parent: null, item: null, children: new Map() };
  const places: Place[] = [];
  const put = (parent: Place, item: InstalledPackage): void => {
    const path = `${parent.path === "" ? "" : `${parent.path}/`}node_modules/${item.name}`;
    const place: Place = { path, parent, item, children: new Map() };
    parent.children.set(item.name, place);
    places.push(place);
  };
  for (const item of roots.values()) put(top, item);
  // The list grows while it is walked.
  for (const place of places) {
    const { item } = place;
    if (item === null) continue;
    for (const name of [...item.dependencies, ...item.optional, ...item.peers]) {
      const dependency = packages.find(name, item.dir);
      if (dependency === null) {
        if (item.dependencies.includes(name)) onWarning(`${item.name} depends on ${name}, which is not installed`);
        continue;
      }
      const seen = findVisible(place, name);
      if (seen === null) put(top, dependency);
      else if (seen.item?.dir !== dependency.dir) put(place, dependency);
    }
  }
  return places;
}

/** What the package at this place would get for the name. */
function findVisible(from: Place, name: string): Place | null {
  for (let place: Place | null = from; place !== null; place = place.parent) {
    const child = place.children.get(name);
    if (child !== undefined) return child;
  }
  return null;
}

async function filesOf(dir: string, path: string): Promise<CarriedFile[]> {
  const files: CarriedFile[] = [];
  const folders = [dir];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const item of await readdir(folder, { withFileTypes: true })) {
      const source = join(folder, item.name);
      if (item.isDirectory()) {
        if (!leftOutFolder.test(item.name)) folders.push(source);
      } else if (!leftOutFile.test(item.name) && (item.isFile() || (await isLinkToFile(item, source)))) {
        files.push({ path: `${path}/${relative(dir, source).split(sep).join("/")}`, source });
      }
    }
  }
  return files;
}

async function isLinkToFile(item: Dirent, path: string): Promise<boolean> {
  return item.isSymbolicLink() && (await stat(path).catch(() => null))?.isFile() === true;
}
