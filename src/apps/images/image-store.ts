/**
 * Unpacked layers and the roots made of them, each stored once for the whole server:
 *
 *   layers/HASH/tree/, notes.json    HASH is that of the layer as it was sent: a content of the content store
 *   roots/ID/root/, layers.json      ID is the hash of the layers' hashes, in order
 *
 * A name appears only when all behind it is on the disk. Which app may count on which layer is decided where contents
 * are (`open-deploys.ts`): who names a layer here has sent its bytes, or a deployment of its app holds them. That is why
 * layers are found by the hash of what was sent and never by the diff id, which a stranger's config could merely claim.
 */
import { execFile } from "node:child_process";
import { hash, randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { AloftError } from "../../contract/errors.ts";
import { limits } from "../../contract/limits.ts";
import { formatBytes } from "../../lib/sizes.ts";
import type { ContentStore } from "../content-store.ts";
import { asDiskError } from "../disk-errors.ts";
import { syncFolder } from "../../lib/durable-files.ts";
import { ImageWorker } from "./image-worker.ts";
import { type LayerNotes, notesFileOf, readLayerNotes, treeOf } from "./layer-notes.ts";

export interface ImageLayer {
  /** Of the layer as it was sent. */
  readonly hash: string;
  readonly diffId: string;
}

export interface ImageStoreOptions {
  readonly folder: string;
  readonly content: ContentStore;
  /** Whether files get the owners that layers name, which takes root. */
  readonly keepsOwners: boolean;
}

/** Removes what interrupted work left. */
export async function openImageStore(options: ImageStoreOptions): Promise<ImageStore> {
  const { folder } = options;
  try {
    await rm(join(folder, ".tmp"), { recursive: true, force: true });
    for (const name of [".tmp", "layers", "roots"]) await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
    return new ImageStore(options);
  } catch (error) {
    throw asDiskError(error, folder);
  }
}

export class ImageStore {
  readonly #options: ImageStoreOptions;
  readonly #temporary: string;
  readonly #making = new Map<string, Promise<void>>();
  readonly #workers = new Set<ImageWorker>();
  /** One image after the other: each takes a core and much memory. */
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: ImageStoreOptions) {
    this.#options = options;
    this.#temporary = join(options.folder, ".tmp");
  }

  /** Seen by instances read-only, below a layer of their own. */
  rootPath(rootId: string): string {
    return join(this.#rootFolder(rootId), "root");
  }

  hasRoot(rootId: string): boolean {
    return existsSync(this.#rootFolder(rootId));
  }

  /** Numbers of users and groups to which something in these layers belongs. */
  ownersOf(layers: readonly ImageLayer[]): readonly number[] {
    const owners = layers.flatMap((layer) => this.#notesOf(layer.hash).owners);
    return [...new Set(owners)].toSorted((a, b) => a - b);
  }

  /** Of all files in these layers, those that later layers replace included. */
  sizeOf(layers: readonly ImageLayer[]): { readonly bytes: number; readonly files: number } {
    const notes = layers.map((layer) => this.#notesOf(layer.hash));
    const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);
    return { bytes: sum(notes.map((each) => each.bytes)), files: sum(notes.map((each) => each.entries)) };
  }

  /**
   * Makes the root of these layers unless it is there; their contents are in the content store, held by the caller.
   * Throws IMAGE_LAYER_INVALID, IMAGE_DIGEST_MISMATCH, DEPLOYMENT_TOO_LARGE, DISK_FULL, DATA_CORRUPT and SHUTTING_DOWN; then
   * nothing of it is left but layers that are whole.
   */
  async prepare(layers: readonly ImageLayer[]): Promise<string> {
    const rootId = rootIdOf(layers.map((layer) => layer.hash));
    let making = this.#making.get(rootId);
    if (making === undefined) {
      making = this.#last.then(() => this.#make(rootId, layers)).finally(() => this.#making.delete(rootId));
      this.#making.set(rootId, making);
      this.#last = making.catch(() => {});
    }
    await making;
    // Whoever made it, another image may say other things of the same layers.
    for (const layer of layers) assertDiffId(layer.diffId, this.#notesOf(layer.hash));
    return rootId;
  }

  /**
   * Removes layers that nobody holds, and roots that have such a layer. Looked at and renamed in one turn, so that nothing
   * can begin to count on them in between; roots that something runs from, and what is being made, stay.
   */
  async collect(isHeld: (hash: string) => boolean, isRunning: (rootId: string) => boolean): Promise<void> {
    const { folder } = this.#options;
    const doomed: string[] = [];
    const doom = (path: string): void => {
      const grave = join(this.#temporary, randomBytes(12).toString("hex"));
      renameSync(path, grave);
      doomed.push(grave);
    };
    for (const rootId of readdirSync(join(folder, "roots"))) {
      if (isRunning(rootId) || this.#making.has(rootId)) continue;
      if (!this.#layersOfRoot(rootId).every(isHeld)) doom(this.#rootFolder(rootId));
    }
    if (this.#making.size === 0) {
      for (const layer of readdirSync(join(folder, "layers"))) if (!isHeld(layer)) doom(this.#layerFolder(layer));
    }
    for (const path of doomed) await rm(path, { recursive: true, force: true });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const worker of this.#workers) await worker.end();
    await this.#last;
  }

  async #make(rootId: string, layers: readonly ImageLayer[]): Promise<void> {
    if (this.#isClosed) throw new AloftError("SHUTTING_DOWN", "the server is stopping");
    if (this.hasRoot(rootId)) return;
    const worker = new ImageWorker();
    this.#workers.add(worker);
    const work = join(this.#temporary, randomBytes(12).toString("hex"));
    try {
      await mkdir(work, { mode: 0o700 });
      await this.#unpackMissing(worker, layers, work);
      await this.#merge(worker, rootId, layers, work);
    } catch (error) {
      throw asDiskError(error, this.#options.folder);
    } finally {
      this.#workers.delete(worker);
      await worker.end();
      await rm(work, { recursive: true, force: true });
    }
  }

  async #unpackMissing(worker: ImageWorker, layers: readonly ImageLayer[], work: string): Promise<void> {
    let bytes = 0;
    let entries = 0;
    for (const layer of layers) {
      const isThere = existsSync(this.#layerFolder(layer.hash));
      const bounds = { bytesMax: limits.imageUnpackedBytes - bytes, entriesMax: limits.imageEntries - entries };
      const notes = isThere
        ? this.#notesOf(layer.hash)
        : await this.#unpack(worker, layer, join(work, layer.hash), bounds);
      bytes += notes.bytes;
      entries += notes.entries;
      if (bytes > limits.imageUnpackedBytes || entries > limits.imageEntries) {
        throw new AloftError(
          "DEPLOYMENT_TOO_LARGE",
          `the image has ${entries} files of ${formatBytes(bytes)}, allowed are ${limits.imageEntries} of ${formatBytes(limits.imageUnpackedBytes)}`,
          { hint: "build on a smaller base image, and leave out what is needed only for building" },
        );
      }
    }
  }

  async #unpack(
    worker: ImageWorker,
    { hash: layerHash, diffId }: ImageLayer,
    folder: string,
    bounds: { readonly bytesMax: number; readonly entriesMax: number },
  ): Promise<LayerNotes> {
    const { content, keepsOwners } = this.#options;
    await mkdir(folder, { mode: 0o700 });
    await mkdir(treeOf(folder), { mode: 0o700 });
    const blob = content.pathOf(layerHash);
    if ((await content.findSize(layerHash)) === null) {
      throw new AloftError("DATA_CORRUPT", `${blob} is missing`, {
        hint: "restore the data folder from a backup, or deploy the app again",
        detail: { file: blob, offset: 0 },
      });
    }
    const notes = await worker.unpack({ blob, target: treeOf(folder), keepsOwners, ...bounds });
    assertDiffId(diffId, notes);
    await writeFile(notesFileOf(folder), JSON.stringify(notes), { mode: 0o600 });
    await publish(folder, this.#layerFolder(layerHash));
    return notes;
  }

  async #merge(worker: ImageWorker, rootId: string, layers: readonly ImageLayer[], work: string): Promise<void> {
    const folder = join(work, "root");
    const target = join(folder, "root");
    await mkdir(folder, { mode: 0o700 });
    await mkdir(target, { mode: 0o700 });
    const folders = layers.map((layer) => this.#layerFolder(layer.hash));
    await worker.merge({ layers: folders, target, keepsOwners: this.#options.keepsOwners });
    const list = JSON.stringify(layers.map((layer) => layer.hash));
    await writeFile(join(folder, "layers.json"), list, { mode: 0o600 });
    await publish(folder, this.#rootFolder(rootId));
  }

  #notesOf(layerHash: string): LayerNotes {
    return readLayerNotes(this.#layerFolder(layerHash));
  }

  #layersOfRoot(rootId: string): readonly string[] {
    return JSON.parse(readFileSync(join(this.#rootFolder(rootId), "layers.json"), "utf8")) as string[];
  }

  #layerFolder(layerHash: string): string {
    return join(this.#options.folder, "layers", layerHash);
  }

  #rootFolder(rootId: string): string {
    return join(this.#options.folder, "roots", rootId);
  }
}

export function rootIdOf(layerHashes: readonly string[]): string {
  return hash("sha256", JSON.stringify(["aloft image root 1", layerHashes])).slice(0, 40);
}

/** The archive that was unpacked is the one that the image's config speaks of. */
function assertDiffId(diffId: string, notes: LayerNotes): void {
  if (notes.diffId === diffId) return;
  throw new AloftError(
    "IMAGE_DIGEST_MISMATCH",
    `a layer unpacks to sha256:${notes.diffId}, and the image's config says sha256:${diffId}`,
    { hint: "the image is damaged or was put together by hand: save it again" },
  );
}

/** All below the folder is on the disk before its name is: thousands of files are synced at once, not one by one. */
async function publish(folder: string, name: string): Promise<void> {
  await promisify(execFile)("sync", ["--file-system", folder]);
  await rename(folder, name);
  await syncFolder(join(name, ".."));
}
