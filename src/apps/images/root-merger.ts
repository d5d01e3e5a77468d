/**
 * Puts the root of an image together from its unpacked layers, the lowest first: folders are made anew, files are hard
 * links to those of the layers, so a root costs little room and every image shares the layers it has in common with
 * others. Nobody ever writes to either; instances have a layer of their own above.
 *
 * As in `layer-unpacker.ts`, nothing is made or removed through a link: every folder on the way is looked at first.
 */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  type Stats,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
} from "node:fs";
import { join } from "node:path";
import { AloftError } from "../../contract/errors.ts";
import { foldersAbove } from "./layer-paths.ts";
import { readLayerNotes, treeOf } from "./layer-notes.ts";

export interface MergeRequest {
  /** Folders of unpacked layers, the lowest first. */
  readonly layers: readonly string[];
  /** An empty folder. */
  readonly target: string;
  readonly keepsOwners: boolean;
}

/** Throws IMAGE_LAYER_INVALID. */
export function mergeLayers({ layers, target, keepsOwners }: MergeRequest): void {
  chmodSync(target, 0o755);
  for (const layer of layers) new LayerMerge(layer, target, keepsOwners).run();
}

class LayerMerge {
  readonly #layer: string;
  readonly #target: string;
  readonly #keepsOwners: boolean;

  constructor(layer: string, target: string, keepsOwners: boolean) {
    this.#layer = layer;
    this.#target = target;
    this.#keepsOwners = keepsOwners;
  }

  run(): void {
    const notes = readLayerNotes(this.#layer);
    // What is gone are things of the layers below, never of this one.
    for (const path of notes.opaque) this.#empty(path);
    for (const path of notes.whiteouts) this.#remove(path);
    this.#addFolder("", new Set(notes.implied));
    for (const [path, outer] of notes.links) this.#link(path, outer);
  }

  #addFolder(path: string, implied: ReadonlySet<string>): void {
    const from = join(treeOf(this.#layer), path);
    const to = join(this.#target, path);
    const there = findStats(to);
    if (there?.isDirectory() !== true) {
      if (there !== null) {
        if (implied.has(path)) throw throughLink(join(path, readdirSync(from)[0] ?? ""), path);
        unlinkSync(to);
      }
      mkdirSync(to, 0o755);
      this.#copyAttributes(from, to);
    } else if (!implied.has(path)) this.#copyAttributes(from, to);
    for (const entry of readdirSync(from, { withFileTypes: true })) {
      const inner = path === "" ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory()) this.#addFolder(inner, implied);
      else this.#addFile(inner);
    }
  }

  #addFile(path: string): void {
    const from = join(treeOf(this.#layer), path);
    const to = join(this.#target, path);
    rmSync(to, { recursive: true, force: true });
    shareFile(from, to, this.#keepsOwners);
  }

  /** A hard link to a file of a layer below. */
  #link(path: string, outer: string): void {
    const from = this.#reach(outer);
    const stats = from === null ? null : findStats(from);
    if (from === null || stats === null || stats.isDirectory()) {
      throw invalid(`the layer holds the hard link "${path}" to "${outer}", which is no file of the image`);
    }
    const to = this.#reach(path);
    if (to === null) throw invalid(`the layer holds "${path}" in a folder that is not there`);
    rmSync(to, { recursive: true, force: true });
    shareFile(from, to, this.#keepsOwners);
  }

  #empty(path: string): void {
    const folder = this.#reach(path);
    if (folder === null || findStats(folder)?.isDirectory() !== true) return;
    for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true });
  }

  #remove(path: string): void {
    const place = this.#reach(path);
    if (place !== null) rmSync(place, { recursive: true, force: true });
  }

  /** null: a folder above is not there. Throws when it is a link or a file. */
  #reach(path: string): string | null {
    for (const above of foldersAbove(path)) {
      const stats = findStats(join(this.#target, above));
      if (stats === null) return null;
      if (!stats.isDirectory()) throw throughLink(path, above);
    }
    return join(this.#target, path);
  }

  #copyAttributes(from: string, to: string): void {
    const { uid, gid, mode } = statSync(from);
    if (this.#keepsOwners) chownSync(to, uid, gid);
    chmodSync(to, mode & 0o1777);
  }
}

function shareFile(from: string, to: string, keepsOwners: boolean): void {
  try {
    linkSync(from, to);
  } catch (error) {
    // As many links as the file system allows one file, or none at all to links.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EMLINK" && code !== "EPERM") throw error;
    copyFile(from, to, keepsOwners);
  }
}

function copyFile(from: string, to: string, keepsOwners: boolean): void {
  const stats = lstatSync(from);
  const isLink = stats.isSymbolicLink();
  if (isLink) symlinkSync(readlinkSync(from), to);
  else copyFileSync(from, to);
  if (keepsOwners) lchownSync(to, stats.uid, stats.gid);
  if (isLink) return;
  chmodSync(to, stats.mode & 0o777);
  utimesSync(to, stats.atimeMs / 1000, stats.mtimeMs / 1000);
}

function findStats(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null;
}

function throughLink(path: string, above: string): AloftError {
  return invalid(
    `the layer holds "${path}", which would be reached through "${above}", which is no folder in the layers below`,
  );
}

function invalid(message: string): AloftError {
  return new AloftError("IMAGE_LAYER_INVALID", message, {
    hint: "build the image again with docker, podman or buildah, whose layers are well-formed",
  });
}
