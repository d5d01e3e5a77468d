/**
 * Removes what nothing needs any longer. Of an app are kept: what an alias names, what runs, what a deploy or rollback
 * is working with, and its last deployments (`limits.deploymentsKept`).
 *
 * Order makes it safe: first the rows are gone (durable), then the bytes. A crash in between leaves bytes that no row
 * names, and the walk at the next start removes them. Bytes are removed in the same turn in which nobody is found to hold
 * them, so a deploy that begins at that moment either is seen or finds them gone and sends them again.
 */
import { limits } from "../contract/limits.ts";
import { folderOfRevision } from "./catalog.ts";
import { imageRootOf } from "./deployment-place.ts";
import type { MetaCell } from "./meta/meta-store.ts";
import type { Parts } from "./parts.ts";
import { keys, type DeploymentRow } from "./rows.ts";

export class Collector {
  readonly #parts: Parts;
  /** Folders `APP/ID` without a row that something still ran from when they were to be removed. */
  readonly #lingering = new Set<string>();
  #holds = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** After a deploy, a rollback or a removal. */
  async collectApp(app: string): Promise<void> {
    await this.#parts.lock.run(app, () => this.#dropOldRows(app));
    await this.#removeLingering();
    await this.#collectImages();
  }

  /** Everything, by walking what is on the disk. */
  async collectAll(): Promise<void> {
    const { catalog, content, folders, deploys } = this.#parts;
    deploys.expire();
    for (const app of catalog.appNames()) {
      if (catalog.countDeployments(app) > limits.deploymentsKept)
        await this.#parts.lock.run(app, () => this.#dropOldRows(app));
    }
    for (const { app, id } of await folders.list()) this.#lingering.add(`${app}/${id}`);
    await this.#removeLingering();
    for await (const hash of content.hashes()) this.removeIfFree(hash);
    await this.#collectImages();
  }

  /** In the lock of the app: its rows and what belongs to them, the contents and folders excepted. */
  removalOf(app: string): { readonly writes: readonly MetaCell[]; readonly hashes: ReadonlySet<string> } {
    const { catalog } = this.#parts;
    const rows = catalog.deployments(app);
    const hashes = this.#hashesOf(rows);
    return { writes: deletions(app, rows, hashes), hashes };
  }

  /** After the rows of these are gone. */
  async removeBytes(app: string, ids: Iterable<string>, hashes: Iterable<string>): Promise<void> {
    for (const id of ids) this.#lingering.add(`${app}/${id}`);
    for (const hash of hashes) this.removeIfFree(hash);
    await this.#removeLingering();
    await this.#collectImages();
  }

  /** Until the answer is called, no content is removed; what became free meanwhile is, then. */
  hold(): () => void {
    this.#holds += 1;
    let isHeld = true;
    return () => {
      if (isHeld) this.#holds -= 1;
      isHeld = false;
    };
  }

  removeIfFree(hash: string): void {
    const { catalog, deploys, content } = this.#parts;
    if (this.#holds > 0) return; // found again by the walk through all of them
    if (!deploys.isHeld(hash) && !catalog.isHeld(hash)) content.removeSync(hash);
  }

  async #dropOldRows(app: string): Promise<void> {
    const { catalog, meta, pins } = this.#parts;
    const rows = catalog.deployments(app);
    const named = new Set(catalog.aliases(app).map((alias) => alias.deployment));
    const running = this.#runningFolders();
    const isKept = (id: string, index: number): boolean =>
      index < limits.deploymentsKept || named.has(id) || running.has(`${app}/${id}`) || pins.has(app, id);
    const kept = rows.filter((row, index) => isKept(row.name, index));
    const old = rows.filter((row, index) => !isKept(row.name, index));
    if (old.length === 0) return;
    const stillHeld = this.#hashesOf(kept);
    const free = [...this.#hashesOf(old)].filter((hash) => !stillHeld.has(hash));
    await meta.commit({ checks: [], writes: deletions(app, old, free) });
    await this.removeBytes(
      app,
      old.map((row) => row.name),
      free,
    );
  }

  async #removeLingering(): Promise<void> {
    const { catalog, folders, pins } = this.#parts;
    const running = this.#runningFolders();
    for (const key of this.#lingering) {
      const [app = "", id = ""] = key.split("/");
      if (running.has(key) || pins.has(app, id)) continue;
      this.#lingering.delete(key);
      if (catalog.findDeployment(app, id) !== null) continue;
      await folders.remove(app, id);
      if (!catalog.hasApp(app)) await folders.forgetApp(app);
    }
  }

  /** Layers go with their contents, and roots with their layers, unless something still runs from them. */
  async #collectImages(): Promise<void> {
    const { catalog, deploys, folders, images } = this.#parts;
    const running = new Set<string | null>();
    for (const key of this.#runningFolders()) {
      const [app = "", id = ""] = key.split("/");
      running.add(imageRootOf(folders, app, id));
    }
    await images.collect(
      (hash) => deploys.isHeld(hash) || catalog.isHeld(hash),
      (rootId) => running.has(rootId),
    );
  }

  #runningFolders(): ReadonlySet<string> {
    return new Set([...this.#parts.running.runningRevisions()].map(folderOfRevision));
  }

  #hashesOf(rows: readonly DeploymentRow[]): Set<string> {
    const hashes = new Set<string>();
    for (const row of rows) {
      hashes.add(row.manifestHash);
      for (const file of this.#parts.catalog.manifestOf(row).files) hashes.add(file.hash);
    }
    return hashes;
  }
}

function deletions(app: string, rows: readonly { name: string }[], hashes: Iterable<string>): MetaCell[] {
  return [
    ...rows.map((row) => ({ key: keys.deployment(app, row.name), value: null })),
    ...Array.from(hashes, (hash) => ({ key: keys.holder(hash, app), value: null })),
  ];
}
