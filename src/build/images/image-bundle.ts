/** From an image's file or folder to what a deploy uploads: its manifest and its parts, read from where they lie. */
import { hash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { assertImageConfig } from "../../contract/image-config.ts";
import { imageBlobPath, imageManifestPath } from "../../contract/image.ts";
import { AloftError } from "../../contract/errors.ts";
import { appNameFrom, readConfigText } from "../app-source.ts";
import type { Bundle } from "../bundle.ts";
import type { BundledFile } from "../bundled-file.ts";
import { type ArchivePart, openImageArchive } from "./image-archive.ts";
import { readImage } from "./image-source.ts";

export interface ImageBundleOptions {
  /** File or folder of the image. */
  readonly image: string;
  /** Folder with the app's `aloft.json`, if it has one; null: there is none. */
  readonly dir: string | null;
  /** Of the machine that is to run it, as Node names it. */
  readonly architecture: string;
}

/** `close` when everything has been sent. */
export interface ImageBundle extends Bundle {
  close(): Promise<void>;
}

/** Throws CONFIG_INVALID, DEPLOYMENT_TOO_LARGE and the IMAGE_* codes. */
export async function bundleImage({ image, dir, architecture }: ImageBundleOptions): Promise<ImageBundle> {
  const configText = dir === null ? "" : await configTextOf(dir);
  const { parseAppConfig } = await import("../../contract/app-config.ts");
  const config = parseAppConfig(configText);
  assertImageConfig(config, "");
  const archive = await openImageArchive(resolve(image));
  try {
    const { reference, manifestText, parts } = await readImage(archive, architecture);
    const manifest = Buffer.from(manifestText);
    const files: BundledFile[] = [...parts].map(([digest, part]) => fileOfPart(digest, part));
    files.push({
      path: imageManifestPath,
      hash: hash("sha256", manifest),
      bytes: manifest.length,
      read: async () => manifest,
    });
    files.sort((a, b) => (a.path < b.path ? -1 : 1));
    const name = config.name ?? (dir === null ? nameOfImage(reference, archive.path) : appNameFrom(basename(dir)));
    return { name, config, configText, runtime: "image", entry: "", files, close: () => archive.close() };
  } catch (error) {
    await archive.close();
    throw error;
  }
}

function fileOfPart(digest: string, part: ArchivePart): BundledFile {
  const { bytes } = part;
  const read = async (): Promise<Uint8Array> => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of part.chunks()) chunks.push(chunk);
    return Buffer.concat(chunks);
  };
  return { path: imageBlobPath(digest), hash: digest, bytes, read, chunks: () => part.chunks() };
}

async function configTextOf(dir: string): Promise<string> {
  if ((await stat(dir).catch(() => null))?.isDirectory() === true) return await readConfigText(dir);
  throw new AloftError("CONFIG_INVALID", `${dir} is not a folder`, {
    hint: "beside --image, name the folder whose aloft.json belongs to the app, or none",
  });
}

/** "registry:5000/team/shop:1.2@sha256:..." -> "shop"; a file by its own name, a folder by its. */
function nameOfImage(reference: string | null, path: string): string {
  const last = (reference ?? "").split("@")[0]?.split("/").at(-1)?.split(":")[0] ?? "";
  return appNameFrom(
    last === "" || isTag(reference) ? basename(path).replace(/(?:\.oci|\.docker)?\.(?:tar|tgz)(?:\.\w+)?$/, "") : last,
  );
}

/** The reference of an OCI layout may be the tag alone. */
function isTag(reference: string | null): boolean {
  return reference !== null && !/[/:]/.test(reference);
}
