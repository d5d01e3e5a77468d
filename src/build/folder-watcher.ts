/**
 * Tells when something changes below a folder. Node's own recursive watching takes a watch for every file on Linux,
 * `node_modules` included; this one takes one for each folder that can hold a developer's files.
 */
import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join, sep } from "node:path";

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
    await this.#adopt(dir, false);
  }

  watchFolder(dir: string): void {
    if (this.#closed || this.#watchers.has(dir) || this.#watchers.size >= foldersMax) return;
    try {
      const watcher = watch(dir, (event, name) => {
        if (name === null) return;
        const path = join(dir, name);
        // It came, went or took the place of another; it may be a folder.
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
    const found = await stat(path).catch(() => null);
    // A watch belongs to the folder that was there, not to the path.
    for (const dir of this.#watchers.keys()) if (dir === path || dir.startsWith(path + sep)) this.#forget(dir);
    if (found?.isDirectory() === true) await this.#adopt(path, true);
  }

  /** Watched first and read then: what is written in between is seen twice rather than never. */
  async #adopt(dir: string, isNew: boolean): Promise<void> {
    this.watchFolder(dir);
    const items = await readdir(dir, { withFileTypes: true }).catch(() => []);
    for (const item of items) {
      const path = join(dir, item.name);
      if (item.isDirectory() && !leftOut.test(item.name)) await this.#adopt(path, isNew);
      else if (isNew && !this.#closed) this.#onChange(path);
    }
  }

  #forget(dir: string): void {
    this.#watchers.get(dir)?.close();
    this.#watchers.delete(dir);
  }
}
