/** What has to be on the disk before a deployment can run: its folder and, of an image, the files of all layers. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "../contract/deployment.ts";
import { imageManifestPath, parseImageManifest } from "../contract/image.ts";
import type { DeploymentFolders } from "./deployment-folders.ts";
import { filesOfImageFolder, readImageLayers } from "./images/image-plan.ts";
import { rootIdOf } from "./images/image-store.ts";
import type { Parts } from "./parts.ts";

/** Does nothing where all is there. Throws DISK_FULL, DATA_CORRUPT and, for an image, the IMAGE_* codes. */
export async function placeDeployment(
  { folders, images, content }: Pick<Parts, "folders" | "images" | "content">,
  app: string,
  id: string,
  { runtime, files }: Pick<Manifest, "runtime" | "files">,
): Promise<void> {
  await folders.make(app, id, runtime === "image" ? filesOfImageFolder(files) : files);
  if (runtime === "image") await images.prepare(readImageLayers(files, content));
}

/** The image's root that a deployment's instances run from, whether it still has a row or not; null: it is no image. */
export function imageRootOf(folders: DeploymentFolders, app: string, id: string): string | null {
  const file = join(folders.pathOf(app, id), imageManifestPath);
  if (!existsSync(file)) return null;
  try {
    return rootIdOf(parseImageManifest(readFileSync(file, "utf8")).layers.map((layer) => layer.hash));
  } catch {
    // A file of that name in an app that is no image.
    return null;
  }
}
