/**
 * Which image an archive holds, and its parts: the manifest, as it stands or made from what older versions of docker
 * write, the config, and the layers. Whatever has a digest is compared with it here, so that a damaged file is told before
 * anything is sent; the server does not rely on it.
 */
import { createHash } from "node:crypto";
import * as v from "valibot";
import { AloftError } from "../../contract/errors.ts";
import {
  hashOf,
  imageArchitecture,
  type ImageConfig,
  type ImageManifest,
  parseImageConfig,
  parseImageManifest,
} from "../../contract/image.ts";
import { limits } from "../../contract/limits.ts";
import { formatBytes } from "../../lib/sizes.ts";
import type { ArchivePart, ImageArchive } from "./image-archive.ts";

export interface ImageSource {
  /** "registry/team/shop:1.2"; null when the archive does not say. */
  readonly reference: string | null;
  readonly manifestText: string;
  readonly manifest: ImageManifest;
  readonly config: ImageConfig;
  /** By hash: the config and each layer, once. */
  readonly parts: ReadonlyMap<string, ArchivePart>;
}

const blobPathPattern = /^sha256:[0-9a-f]{64}$/;
/** An index may name indexes: `docker buildx` writes two. */
const indexDepthMax = 4;

const descriptorSchema = v.object({
  mediaType: v.nullish(v.string(), ""),
  digest: v.pipe(v.string(), v.regex(blobPathPattern)),
  platform: v.nullish(v.object({ os: v.nullish(v.string(), ""), architecture: v.nullish(v.string(), "") })),
  annotations: v.nullish(v.record(v.string(), v.string())),
});
const indexSchema = v.object({ manifests: v.pipe(v.array(descriptorSchema), v.maxLength(1000)) });
const dockerSchema = v.pipe(
  v.array(
    v.object({
      Config: v.string(),
      RepoTags: v.nullish(v.array(v.string())),
      Layers: v.pipe(v.array(v.string()), v.maxLength(limits.imageLayers)),
    }),
  ),
  v.minLength(1),
);

type Descriptor = v.InferOutput<typeof descriptorSchema>;

/** Throws the IMAGE_* codes and DEPLOYMENT_TOO_LARGE. `nodeArchitecture`: the machine that is to run it. */
export async function readImage(archive: ImageArchive, nodeArchitecture: string): Promise<ImageSource> {
  if ((await archive.find("index.json")) !== null) return await readLayout(archive, nodeArchitecture);
  if ((await archive.find("manifest.json")) !== null) return await readDockerArchive(archive);
  throw invalid(`${archive.path} has neither an index.json nor a manifest.json`);
}

async function readLayout(archive: ImageArchive, nodeArchitecture: string): Promise<ImageSource> {
  const candidates = await listManifests(archive, "index.json", null, 1);
  const chosen = choose(archive.path, candidates, imageArchitecture(nodeArchitecture));
  const manifestText = await readBlob(archive, chosen.digest);
  const manifest = parseImageManifest(manifestText);
  const config = parseImageConfig(await readBlob(archive, `sha256:${manifest.config.hash}`));
  const parts = new Map<string, ArchivePart>();
  for (const { hash, bytes } of [manifest.config, ...manifest.layers]) {
    if (parts.has(hash)) continue;
    const part = await findBlob(archive, `sha256:${hash}`);
    await assertDigest(part, hash, bytes);
    parts.set(hash, part);
  }
  assertSizes(manifest);
  return { reference: referenceOf(chosen), manifestText, manifest, config, parts };
}

/** All images that an index names, each once, those of the indexes in it included. */
async function listManifests(
  archive: ImageArchive,
  path: string | null,
  parent: Descriptor | null,
  depth: number,
): Promise<Descriptor[]> {
  if (depth > indexDepthMax) throw invalid(`${archive.path} has indexes within indexes`);
  const text = path === null ? await readBlob(archive, parent?.digest ?? "") : await readDocument(archive, path);
  const { manifests } = parse(archive.path, path ?? "index", indexSchema, text);
  const found = new Map<string, Descriptor>();
  for (const each of manifests) {
    // What a build says about itself stands beside the image, for a machine called "unknown".
    if (each.platform?.os === "unknown") continue;
    const named = { ...each, annotations: { ...parent?.annotations, ...each.annotations } };
    const inner = /\bindex\b|manifest\.list/.test(each.mediaType)
      ? await listManifests(archive, null, named, depth + 1)
      : [named];
    for (const one of inner) found.set(one.digest, one);
  }
  return [...found.values()];
}

function choose(path: string, candidates: readonly Descriptor[], architecture: string): Descriptor {
  const [only] = candidates;
  if (only === undefined) throw invalid(`${path} holds no image`);
  if (candidates.length === 1) return only;
  const fitting = candidates.filter(({ platform }) => (platform?.architecture ?? architecture) === architecture);
  const [fit] = fitting;
  if (fit === undefined) {
    const platforms = candidates.map(({ platform }) => `${platform?.os}/${platform?.architecture}`);
    throw new AloftError("IMAGE_PLATFORM_MISMATCH", `${path} holds images for ${platforms.join(", ")} alone`, {
      hint: `build it for linux/${architecture}, for example with: docker build --platform linux/${architecture} .`,
    });
  }
  if (fitting.length > 1) throw severalImages(path, fitting.map(referenceOf));
  return fit;
}

/** `docker save` until version 24: a list of images, each with the paths of its parts. */
async function readDockerArchive(archive: ImageArchive): Promise<ImageSource> {
  const text = await readDocument(archive, "manifest.json");
  const images = parse(archive.path, "manifest.json", dockerSchema, text);
  const distinct = new Map(images.map((each) => [each.Config, each]));
  const [image] = distinct.values();
  if (image === undefined || distinct.size > 1) {
    throw severalImages(
      archive.path,
      [...distinct.values()].map(({ RepoTags }) => RepoTags?.[0] ?? null),
    );
  }
  const parts = new Map<string, ArchivePart>();
  const add = async (path: string): Promise<{ mediaType: string; digest: string; size: number }> => {
    const part = await archive.find(path);
    if (part === null) throw missing(archive.path, path);
    assertLayerSize(path, part.bytes);
    const { hash } = await hashPart(part);
    parts.set(hash, part);
    return { mediaType: "", digest: `sha256:${hash}`, size: part.bytes };
  };
  const config = { ...(await add(image.Config)), mediaType: "application/vnd.oci.image.config.v1+json" };
  const layers = [];
  for (const path of image.Layers) {
    layers.push({ ...(await add(path)), mediaType: "application/vnd.oci.image.layer.v1.tar" });
  }
  const manifestText = JSON.stringify({ schemaVersion: 2, config, layers });
  const manifest = parseImageManifest(manifestText);
  const configText = await readText(archive.path, image.Config, await archive.find(image.Config));
  assertConfigName(image.Config, manifest.config.hash);
  assertSizes(manifest);
  return {
    reference: image.RepoTags?.[0] ?? null,
    manifestText,
    manifest,
    config: parseImageConfig(configText),
    parts,
  };
}

/** Its name is its digest, in the one way or the other. */
function assertConfigName(path: string, hash: string): void {
  const said = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(path)?.[1];
  if (said !== undefined && said !== hash) throw mismatch(said, `has the digest sha256:${hash}`);
}

async function assertDigest(part: ArchivePart, hash: string, bytes: number): Promise<void> {
  if (part.bytes !== bytes) throw mismatch(hash, `has ${part.bytes} bytes and is listed with ${bytes}`);
  assertLayerSize(`sha256:${hash}`, bytes);
  const found = await hashPart(part);
  if (found.hash !== hash) throw mismatch(hash, `has the digest sha256:${found.hash}`);
}

function assertSizes({ layers }: ImageManifest): void {
  const bytes = layers.reduce((sum, layer) => sum + layer.bytes, 0);
  if (bytes <= limits.imageBytes) return;
  throw tooLarge(`the image has ${formatBytes(bytes)}, allowed are ${formatBytes(limits.imageBytes)}`);
}

function assertLayerSize(name: string, bytes: number): void {
  if (bytes <= limits.imageLayerBytes) return;
  throw tooLarge(`${name} has ${formatBytes(bytes)}, allowed for one layer are ${formatBytes(limits.imageLayerBytes)}`);
}

async function hashPart(part: ArchivePart): Promise<{ readonly hash: string }> {
  const sum = createHash("sha256");
  for await (const chunk of part.chunks()) sum.update(chunk);
  return { hash: sum.digest("hex") };
}

async function findBlob(archive: ImageArchive, digest: string): Promise<ArchivePart> {
  const part = await archive.find(`blobs/sha256/${hashOf(digest)}`);
  if (part === null) throw missing(archive.path, digest);
  return part;
}

/** A small one, whole and verified. */
async function readBlob(archive: ImageArchive, digest: string): Promise<string> {
  const part = await findBlob(archive, digest);
  const text = await readText(archive.path, digest, part);
  const { hash } = await hashPart(part);
  if (hash !== hashOf(digest)) throw mismatch(hashOf(digest), `has the digest sha256:${hash}`);
  return text;
}

async function readDocument(archive: ImageArchive, path: string): Promise<string> {
  return await readText(archive.path, path, await archive.find(path));
}

async function readText(archivePath: string, name: string, part: ArchivePart | null): Promise<string> {
  if (part === null) throw missing(archivePath, name);
  if (part.bytes > limits.imageDocumentBytes) {
    throw invalid(`${name} has ${formatBytes(part.bytes)}, allowed are ${formatBytes(limits.imageDocumentBytes)}`);
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of part.chunks()) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

function parse<T>(path: string, what: string, schema: v.GenericSchema<unknown, T>, text: string): T {
  try {
    return v.parse(schema, JSON.parse(text), { abortEarly: true });
  } catch (error) {
    throw invalid(`${path}: its ${what} is not as it should be: ${(error as Error).message}`);
  }
}

function referenceOf({ annotations }: Descriptor): string | null {
  return annotations?.["io.containerd.image.name"] ?? annotations?.["org.opencontainers.image.ref.name"] ?? null;
}

function severalImages(path: string, references: readonly (string | null)[]): AloftError {
  const names = references.map((each) => each ?? "one without a name");
  return new AloftError("IMAGE_INVALID", `${path} holds several images: ${names.join(", ")}`, {
    hint: "save the one that is to be deployed into a file of its own",
  });
}

function missing(path: string, name: string): AloftError {
  return new AloftError("IMAGE_PART_MISSING", `${path} does not hold ${name}, which the image names`, {
    hint: "save the image again; a layout that was only partly copied cannot be deployed",
  });
}

function mismatch(hash: string, what: string): AloftError {
  return new AloftError("IMAGE_DIGEST_MISMATCH", `the part sha256:${hash} ${what}`, {
    hint: "the file is damaged or was changed: save the image again",
  });
}

function invalid(message: string): AloftError {
  return new AloftError("IMAGE_INVALID", message, {
    hint: "name a file written by `docker save`, or an OCI image layout",
  });
}

function tooLarge(message: string): AloftError {
  return new AloftError("DEPLOYMENT_TOO_LARGE", message, {
    hint: "build on a smaller base image, and leave out what is needed only for building",
  });
}
