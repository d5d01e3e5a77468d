/**
 * Tells when something changes below a folder. Node's own recursive watching takes a watch for every file on Linux,
 * `node_modules` included; this one takes one for each folder that can hold a developer's files.
 */
import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

const foldersMax = 2000; // a folder this wide is not one app; the kernel's watches are shared by all programs
const leftOut = /^(?:node_modules|\..*)$/;

export class FolderWatcher {
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #onChange: (path: string) => void;
  #closed = false;

  constructor(onChange: (path: string) => void) {
    this.#onChange = onChange;
  }

  /** With all folders below, now and later, but those with a leading dot and `node_modules`. Missing ones are passed over. */
  async watchTree(dir: string): Promise<void> {
    this.watchFolder(dir);
    const items = await readdir(dir, { withFileTypes: true }).catch(() => []);
    for (const item of items)
      if (item.isDirectory() && !leftOut.test(item.name)) await this.watchTree(join(dir, item.name));
  }

  watchFolder(dir: string): void {
    if (this.#closed || this.#watchers.has(dir) || this.#watchers.size >= foldersMax) return;
    try {
      const watcher = watch(dir, (event, name) => {
        if (name === null) return;
        const path = join(dir, name);
        // It may be a new folder, whose files are new as well.
        if (event === "rename" && !leftOut.test(name)) void this.#look(path);
        this.#onChange(path);
      });
      watcher.on("error", () => this.#forget(dir));
      this.#watchers.set(dir, watcher);
    } catch {
      // It is gone, or the kernel has no watches left; the rest is still watched.
    }
  }

  close(): void {
    this.#closed = true;
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  async #look(path: string): Promise<void> {
    const items = await readdir(path).catch(() => null);
    if (items === null) {
      this.#forget(path);
      return;
    }
    const isNew = !this.#watchers.has(path);
    await this.watchTree(path);
    // What was written into it before it was watched has no event of its own.
    if (isNew && !this.#closed) for (const name of items) this.#onChange(join(path, name));
  }

  #forget(dir: string): void {
    this.#watchers.get(dir)?.close();
    this.#watchers.delete(dir);
  }
}
