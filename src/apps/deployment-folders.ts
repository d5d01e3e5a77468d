/**
 * The folders that instances run from: `deployments/APP/ID/` holds exactly the manifest's files, read-only.
 *
 * They are copies and never hard links: an instance runs with the server's user in the `process` sandbox, and whatever it
 * manages to write must not reach the content store, nor an app beside it (so one folder for each app, even where two
 * apps deploy the same content). Where the file system can, a copy shares its blocks. A folder is built under `.tmp`,
 * synced and renamed, so one that has its name is whole.
 */
import { randomBytes } from "node:crypto";
import { chmodSync, constants, existsSync, renameSync } from "node:fs";
import { chmod, copyFile, mkdir, open, readdir, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { DeploymentFile } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import { forEachParallel } from "../lib/parallel.ts";
import type { ContentStore } from "./content-store.ts";
import { asDiskError, errnoOf } from "./disk-errors.ts";
import { syncFolder } from "../lib/durable-files.ts";

const filesAtOnce = 16;

/** Removes what interrupted work left. */
export async function openDeploymentFolders(folder: string, content: ContentStore): Promise<DeploymentFolders> {
  const temporary = join(folder, ".tmp");
  try {
    await removeTree(temporary);
    await mkdir(temporary, { mode: 0o700 });
    return new DeploymentFolders(folder, temporary, content);
  } catch (error) {
    throw asDiskError(error, folder);
  }
}

export class DeploymentFolders {
  readonly #folder: string;
  readonly #temporary: string;
  readonly #content: ContentStore;
  readonly #making = new Map<string, Promise<void>>();

  constructor(folder: string, temporary: string, content: ContentStore) {
    this.#folder = folder;
    this.#temporary = temporary;
    this.#content = content;
  }

  pathOf(app: string, id: string): string {
    return join(this.#folder, app, id);
  }

  has(app: string, id: string): boolean {
    return existsSync(this.pathOf(app, id));
  }

  /** Does nothing when the folder is there. Throws DISK_FULL, and DATA_CORRUPT when a content is missing. */
  make(app: string, id: string, files: readonly DeploymentFile[]): Promise<void> {
    const path = this.pathOf(app, id);
    const under = this.#making.get(path);
    if (under !== undefined) return under;
    if (existsSync(path)) return Promise.resolve();
    const making = this.#build(path, files).finally(() => this.#making.delete(path));
    this.#making.set(path, making);
    return making;
  }

  /** Gone at once under its name; its files go by and by. The caller knows that nothing uses it. */
  remove(app: string, id: string): Promise<void> {
    const doomed = join(this.#temporary, randomBytes(12).toString("hex"));
    try {
      // A folder that is moved to another must be writable itself: its `..` changes.
      chmodSync(this.pathOf(app, id), 0o700);
      renameSync(this.pathOf(app, id), doomed);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return Promise.resolve();
      throw error;
    }
    return removeTree(doomed);
  }

  /** Every folder there is, whether it is still wanted or not. */
  async list(): Promise<readonly { app: string; id: string }[]> {
    const found: { app: string; id: string }[] = [];
    for (const app of await readdir(this.#folder)) {
      if (app.startsWith(".")) continue;
      for (const id of await readdir(join(this.#folder, app))) found.push({ app, id });
    }
    return found;
  }

  /** Removes the folder of an app that has none left. */
  async forgetApp(app: string): Promise<void> {
    try {
      await rmdir(join(this.#folder, app));
    } catch {
      // Not empty, or not there: both are fine.
    }
  }

  async #build(path: string, files: readonly DeploymentFile[]): Promise<void> {
    const building = join(this.#temporary, randomBytes(12).toString("hex"));
    try {
      const folders = foldersOf(files);
      await mkdir(building, { mode: 0o700 });
      for (const folder of folders) await mkdir(join(building, folder), { recursive: true, mode: 0o700 });
      await forEachParallel(files, filesAtOnce, (file) => this.#copy(file, join(building, file.path)));
      await forEachParallel([...folders, ""], filesAtOnce, async (folder) => {
        await syncFolder(join(building, folder));
        if (folder !== "") await chmod(join(building, folder), 0o555);
      });
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await rename(building, path);
      await chmod(path, 0o555);
      await syncFolder(dirname(path));
      await syncFolder(this.#folder);
    } catch (error) {
      await removeTree(building);
      throw asDiskError(error, path);
    }
  }

  async #copy(file: DeploymentFile, target: string): Promise<void> {
    const source = this.#content.pathOf(file.hash);
    try {
      await copyFile(source, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      throw damaged(source, `the content of ${file.path} is missing`);
    }
    await using handle = await open(target, "r");
    const { size } = await handle.stat();
    if (size !== file.bytes) throw damaged(source, `it has ${size} bytes and should have ${file.bytes}`);
    await handle.chmod(file.executable === true ? 0o555 : 0o444);
    await handle.sync();
  }
}

/** Every folder above a file, parents first. */
function foldersOf(files: readonly DeploymentFile[]): readonly string[] {
  const folders = new Set<string>();
  for (const { path } of files) {
    for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1))
      folders.add(path.slice(0, slash));
  }
  return [...folders].toSorted();
}

/** Removes a folder whose folders may be read-only. */
async function removeTree(path: string): Promise<void> {
  try {
    await chmod(path, 0o700);
    for (const entry of await readdir(path, { withFileTypes: true })) {
      if (entry.isDirectory()) await removeTree(join(path, entry.name));
    }
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

function damaged(file: string, what: string): AloftError {
  return new AloftError("DATA_CORRUPT", `${file}: ${what}`, {
    hint: "restore the data folder from a backup, or deploy the app again",
    detail: { file, offset: 0 },
  });
}
