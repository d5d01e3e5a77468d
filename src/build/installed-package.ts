/**
 * npm packages as they are installed: found the way Node finds them, links resolved, so that the layouts of npm, pnpm
 * and workspaces look alike. Everything here is read once and remembered for the life of the object.
 */
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";

export interface InstalledPackage {
  readonly name: string;
  /** Real path of its folder. */
  readonly dir: string;
  readonly hasExports: boolean;
  readonly dependencies: readonly string[];
  /** Need not be installed. */
  readonly optional: readonly string[];
  /** Someone else's to install; for an optional one nobody need. */
  readonly peers: readonly string[];
  /** Its own part in `isNative`. */
  readonly buildsAddon: boolean;
}

/** The packages one build looks at. */
export class InstalledPackages {
  readonly #byPlace = new Map<string, InstalledPackage | null>();
  readonly #byDir = new Map<string, InstalledPackage | null>();
  readonly #native = new Map<string, boolean>();

  /** The package that code in the folder `from` gets for the name; null when it is not installed. */
  find(name: string, from: string): InstalledPackage | null {
    const key = `${from}\0${name}`;
    let found = this.#byPlace.get(key);
    if (found === undefined) {
      const parent = dirname(from);
      found = this.#read(name, join(from, "node_modules", name)) ?? (parent === from ? null : this.find(name, parent));
      this.#byPlace.set(key, found);
    }
    return found;
  }

  /**
   * Whether it, or anything it depends on, has an addon: code that is loaded from a file of its own and so cannot be
   * bundled. One that only wraps such a package often finds it by a path made at run time (sharp does), so what holds
   * for the dependency holds for what depends on it.
   */
  isNative(root: InstalledPackage): boolean {
    const seen = new Set<InstalledPackage>();
    const queue = [root];
    for (let item = queue.pop(); item !== undefined; item = queue.pop()) {
      if (seen.has(item)) continue;
      seen.add(item);
      if (this.#hasAddon(item)) return true;
      for (const name of [...item.dependencies, ...item.optional]) {
        const dependency = this.find(name, item.dir);
        if (dependency !== null) queue.push(dependency);
      }
    }
    return false;
  }

  #hasAddon(item: InstalledPackage): boolean {
    let known = this.#native.get(item.dir);
    if (known === undefined) {
      known = item.buildsAddon || holdsAddon(item.dir);
      this.#native.set(item.dir, known);
    }
    return known;
  }

  #read(name: string, place: string): InstalledPackage | null {
    let dir: string;
    try {
      dir = realpathSync(place);
    } catch {
      return null;
    }
    const known = this.#byDir.get(dir);
    if (known !== undefined) return known;
    const found = readPackage(name, dir);
    this.#byDir.set(dir, found);
    return found;
  }
}

/** `@img/sharp-linux-x64/lib/x.js` -> `@img/sharp-linux-x64`; null for what is no package, such as `#internal`. */
export function packageNameOf(specifier: string): string | null {
  return /^(?:@[^/@:\\]+\/)?[^./@:#\\][^/@:\\]*/.exec(specifier)?.[0] ?? null;
}

function readPackage(name: string, dir: string): InstalledPackage | null {
  let manifest: Record<string, unknown>;
  try {
    manifest = JSON.parse(readFileSync(join(dir, "package.json"), "utf8")) as Record<string, unknown>;
  } catch {
    return null;
  }
  const optional = keysOf(manifest["optionalDependencies"]);
  return {
    name,
    dir,
    hasExports: manifest["exports"] !== undefined,
    // npm lists an optional dependency under both names.
    dependencies: keysOf(manifest["dependencies"]).filter((dependency) => !optional.includes(dependency)),
    optional,
    peers: keysOf(manifest["peerDependencies"]),
    buildsAddon: manifest["gypfile"] === true,
  };
}

function keysOf(value: unknown): string[] {
  return typeof value === "object" && value !== null ? Object.keys(value) : [];
}

/** Looks until it finds one. A package of a thousand files takes some milliseconds. */
function holdsAddon(dir: string): boolean {
  const folders: string[] = [];
  for (const item of readdirSync(dir, { withFileTypes: true })) {
    if (item.isDirectory()) {
      if (item.name !== "node_modules") folders.push(join(dir, item.name));
    } else if (item.name.endsWith(".node") || item.name === "binding.gyp") {
      return true;
    }
  }
  return folders.some(holdsAddon);
}
