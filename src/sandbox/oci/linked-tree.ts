/**
 * Shows a deployment's files to an instance that is already running: hard links in a folder that the instance sees
 * read-only. A link takes some ten microseconds, needs no right to mount, and its pages are shared by all instances and
 * are not the function's memory; native addons load from it. decisions/0008 has the figures against copies and mounts.
 *
 * The instance cannot write through them: its mount is read-only, and the files belong to a user it is not.
 */
import { copyFileSync, linkSync, mkdirSync, readdirSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { join } from "node:path";
import { BoundedMap } from "../../lib/bounded-map.ts";

interface Tree {
  /** Relative, parents first. */
  readonly folders: readonly string[];
  readonly files: readonly string[];
}

/** So many links are made without letting anybody else run: about 3 ms. */
const filesAtOnce = 256;
const treesKept = 256;

export class LinkedTrees {
  /** Deployments never change, so their lists are read once. */
  readonly #known = new BoundedMap<string, Tree>(treesKept);

  /** At once where there are few files, else in slices; the promise resolves when all are there. */
  link(root: string, target: string): null | Promise<void> {
    const tree = this.#treeOf(root);
    for (const folder of tree.folders) mkdirSync(join(target, folder), { mode: 0o755 });
    if (tree.files.length > filesAtOnce) return linkInSlices(root, target, tree.files);
    for (const file of tree.files) linkFile(join(root, file), join(target, file));
    return null;
  }

  #treeOf(root: string): Tree {
    let tree = this.#known.get(root);
    if (tree === undefined) {
      tree = readTree(root);
      this.#known.set(root, tree);
    }
    return tree;
  }
}

function readTree(root: string): Tree {
  const folders: string[] = [];
  const files: string[] = [];
  const toRead = [""];
  for (let folder = toRead.shift(); folder !== undefined; folder = toRead.shift()) {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isFile()) files.push(path);
      if (!entry.isDirectory()) continue;
      folders.push(path);
      toRead.push(path);
    }
  }
  return { folders, files };
}

async function linkInSlices(root: string, target: string, files: readonly string[]): Promise<void> {
  for (let start = 0; start < files.length; start += filesAtOnce) {
    for (const file of files.slice(start, start + filesAtOnce)) linkFile(join(root, file), join(target, file));
    await nextTurn();
  }
}

function linkFile(source: string, target: string): void {
  try {
    linkSync(source, target);
  } catch (error) {
    // Another disk, or a file that has as many links as its file system allows.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EXDEV" && code !== "EMLINK") throw error;
    copyFileSync(source, target);
  }
}
