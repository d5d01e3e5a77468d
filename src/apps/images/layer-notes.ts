/** What an unpacked layer says beside its files; kept with them, and read again whenever an image is put together. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface LayerNotes {
  readonly format: 1;
  /** sha256 of the layer's tar archive, unpacked: what an image's config calls its diff id. */
  readonly diffId: string;
  /** Of all files, holes included. */
  readonly bytes: number;
  readonly entries: number;
  /** Paths that are gone, with all below them. */
  readonly whiteouts: readonly string[];
  /** Folders whose content in lower layers is gone. */
  readonly opaque: readonly string[];
  /** Hard links to files that are not in this layer: path and target. */
  readonly links: readonly (readonly [path: string, target: string])[];
  /** Folders that the layer does not list but has something in: their attributes are a lower layer's affair. */
  readonly implied: readonly string[];
  /** Numbers of users and groups to which something belongs. */
  readonly owners: readonly number[];
}

/** Of one unpacked layer. */
export function treeOf(layerFolder: string): string {
  return join(layerFolder, "tree");
}

export function notesFileOf(layerFolder: string): string {
  return join(layerFolder, "notes.json");
}

/** Written by the server itself. */
export function readLayerNotes(layerFolder: string): LayerNotes {
  return JSON.parse(readFileSync(notesFileOf(layerFolder), "utf8")) as LayerNotes;
}
