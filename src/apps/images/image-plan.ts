/** From the files of a deploy to the image it is: documents parsed, parts found, layers unpacked, the user looked up. */
import type { DeploymentFile, ImageSpec } from "../../contract/deployment.ts";
import { AloftError } from "../../contract/errors.ts";
import {
  assertImagePlatform,
  imageBlobPath,
  imageManifestPath,
  parseImageConfig,
  parseImageManifest,
  type ImageConfig,
  type ImagePart,
} from "../../contract/image.ts";
import { limits } from "../../contract/limits.ts";
import type { PlannedProgram } from "../../contract/programs.ts";
import type { ContentStore } from "../content-store.ts";
import type { ImageLayer, ImageStore } from "./image-store.ts";
import { findImageUser, type ImageUser, listImageOwners } from "./image-user.ts";

const standardPort = 8080;
const standardPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** A deployment's folder has the documents; layers are in the image store. */
export function filesOfImageFolder(files: readonly DeploymentFile[]): readonly DeploymentFile[] {
  return files.filter((file) => file.path === imageManifestPath);
}

/**
 * `files` are all in the content store, held by the caller. `programs`: the functions, each with the image's own command or
 * one of `aloft.json`. Throws the IMAGE_* codes and what `ImageStore.prepare` throws.
 */
export async function planImage(
  files: readonly DeploymentFile[],
  programs: readonly PlannedProgram[],
  content: ContentStore,
  images: ImageStore,
): Promise<ImageSpec> {
  const { config, layers } = readDocuments(files, content);
  assertImagePlatform(config, process.arch);
  const { argv } = config;
  const needsOwn = programs.some(({ program }) => program.command.length === 0);
  if (needsOwn && (argv[0] === undefined || argv[0] === "")) {
    throw new AloftError("IMAGE_COMMAND_MISSING", "the image has neither an entry point nor a command", {
      hint: 'say what to start with ENTRYPOINT or CMD in its Dockerfile, or with "command" in aloft.json',
    });
  }
  const root = await images.prepare(layers);
  const user = findImageUser(config.user, images.rootPath(root));
  // Who begins as root may become another user, and give files to one that owns none yet.
  const others = user.uid === 0 ? listImageOwners(images.rootPath(root)) : [];
  const owners = chooseOwners(user, [...images.ownersOf(layers), ...others]);
  return {
    root,
    argv,
    env: { PATH: standardPath, HOME: user.home === "" ? "/" : user.home, ...config.env },
    workingDir: config.workingDir,
    uid: user.uid,
    gid: user.gid,
    // A group that has no number on the host cannot be given.
    groups: user.groups.filter((group) => owners.includes(group)),
    owners,
    ...images.sizeOf(layers),
    port: config.port ?? portOfEnv(config.env) ?? standardPort,
  };
}

/** The layers that a deployment's image is made of. Throws the IMAGE_* codes. */
export function readImageLayers(files: readonly DeploymentFile[], content: ContentStore): readonly ImageLayer[] {
  return readDocuments(files, content).layers;
}

function readDocuments(
  files: readonly DeploymentFile[],
  content: ContentStore,
): { readonly config: ImageConfig; readonly layers: readonly ImageLayer[] } {
  const read = ({ path, hash, bytes }: { path: string; hash: string; bytes: number }): string => {
    if (bytes <= limits.imageDocumentBytes) return content.readSync(hash).toString("utf8");
    throw new AloftError(
      "IMAGE_INVALID",
      `${path} of the image has ${bytes} bytes, allowed are ${limits.imageDocumentBytes}`,
    );
  };
  const manifestFile = files.find((file) => file.path === imageManifestPath);
  if (manifestFile === undefined) throw missing(imageManifestPath);
  const manifest = parseImageManifest(read(manifestFile));
  const bytesOf = new Map(files.map((file) => [file.hash, file.bytes]));
  for (const part of [manifest.config, ...manifest.layers]) assertPart(part, bytesOf.get(part.hash));
  const config = parseImageConfig(read({ path: imageBlobPath(manifest.config.hash), ...manifest.config }));
  const layers = manifest.layers.map(({ hash }, index) => ({ hash, diffId: config.diffIds[index] ?? "" }));
  if (config.diffIds.length !== layers.length) {
    throw new AloftError(
      "IMAGE_INVALID",
      `the image's config speaks of ${config.diffIds.length} layers and its manifest of ${layers.length}`,
    );
  }
  return { config, layers };
}

function assertPart({ hash, bytes }: ImagePart, found: number | undefined): void {
  if (found === undefined) throw missing(imageBlobPath(hash));
  if (found === bytes) return;
  throw new AloftError(
    "IMAGE_DIGEST_MISMATCH",
    `the part sha256:${hash} has ${found} bytes and is listed with ${bytes}`,
  );
}

/** The program's own first: whoever is left out is nobody inside. */
function chooseOwners({ uid, gid, groups }: ImageUser, owners: readonly number[]): readonly number[] {
  return [...new Set([0, uid, gid, ...groups, ...owners])].slice(0, limits.imageOwners);
}

function portOfEnv({ PORT: text = "" }: Readonly<Record<string, string>>): number | null {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : null;
}

function missing(path: string): AloftError {
  return new AloftError("IMAGE_PART_MISSING", `the deployment does not hold ${path}, which the image names`, {
    hint: "deploy the image with: aloft deploy --image FILE",
  });
}
