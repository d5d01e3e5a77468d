/**
 * The layers that `aloft.json` names, one above the other, as files of the deployment: a folder of their own that functions
 * find as /opt. A layer is a zip archive, as AWS Lambda takes it, or a folder.
 */
import { readFile, stat } from "node:fs/promises";
import { join, posix } from "node:path";
import { AloftError } from "../contract/errors.ts";
import { layersFolder } from "../contract/layers.ts";
import { limits } from "../contract/limits.ts";
import { readZip, type ZipEntry, ZipError } from "../lib/zip/zip-reader.ts";
import { type BundledFile, fileFromDisk, fileOfContent, type HashCache } from "./bundled-file.ts";
import { findFolderFiles } from "./folder-files.ts";

/** `layers`: paths relative to the folder; what a later one holds takes the place of an earlier one's. Throws CONFIG_INVALID. */
export async function readLayers(
  dir: string,
  layers: readonly string[],
  hashes: HashCache,
): Promise<readonly BundledFile[]> {
  const files = new Map<string, BundledFile>();
  for (const [index, layer] of layers.entries()) {
    const path = join(dir, layer);
    const kind = await stat(path).catch(() => null);
    if (kind === null) throw invalid(index, `there is no ${layer}`);
    const own = kind.isDirectory() ? await ofFolder(path, hashes) : ofArchive(await readFile(path), layer, index);
    for (const file of own) files.set(file.path, file);
  }
  return [...files.values()];
}

/** Whether a file of the app's folder is a layer, or in one: it is carried as that alone. */
export function isOfLayer(path: string, layers: readonly string[]): boolean {
  return layers.some((layer) => {
    const plain = posix.normalize(layer).replace(/\/$/, "");
    return path === plain || path.startsWith(`${plain}/`);
  });
}

async function ofFolder(folder: string, hashes: HashCache): Promise<readonly BundledFile[]> {
  const paths = await findFolderFiles(folder, { withNodeModules: true });
  return await Promise.all(paths.map((path) => fileFromDisk(`${layersFolder}/${path}`, join(folder, path), hashes)));
}

function ofArchive(archive: Buffer, layer: string, index: number): readonly BundledFile[] {
  try {
    const entries = readZip(archive, limits.deploymentFiles, limits.fileBytes);
    const byPath = new Map(entries.map((entry) => [entry.path, entry]));
    return entries
      .filter(({ kind }) => kind !== "folder")
      .map((entry) => {
        const target = targetOf(entry, byPath);
        const file = fileOfContent(`${layersFolder}/${entry.path}`, target.read());
        return target.isExecutable ? { ...file, executable: true } : file;
      });
  } catch (error) {
    if (error instanceof ZipError) throw invalid(index, `${layer}: ${error.message}`);
    throw error;
  }
}

const linksMax = 40;

/** What a link names is carried once more in its place, as everywhere in a deployment. */
function targetOf(entry: ZipEntry, byPath: ReadonlyMap<string, ZipEntry>): ZipEntry {
  let target = entry;
  for (let links = 0; target.kind === "link"; links += 1) {
    const named = posix.join(posix.dirname(target.path), target.read().toString());
    const next = links < linksMax ? byPath.get(named) : undefined;
    if (next === undefined || next.kind === "folder")
      throw new ZipError(`${entry.path} is a link to what is no file in it`);
    target = next;
  }
  return target;
}

function invalid(index: number, what: string): AloftError {
  return new AloftError("CONFIG_INVALID", `aloft.json layers[${index}]: ${what}`, {
    hint: "a layer is a zip archive or a folder, inside the folder of the app",
  });
}
