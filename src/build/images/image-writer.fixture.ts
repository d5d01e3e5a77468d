/** Builds images for tests, as builders do it, and writes them in each way that Aloft reads. */
import { hash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { imageArchitecture } from "../../contract/image.ts";
import { file, symlink, writeTar, type WrittenEntry } from "../../lib/tar/tar-writer.fixture.ts";

export interface ImageRecipe {
  /** Archives, the lowest first. */
  readonly layers: readonly Buffer[];
  readonly compress?: "none" | "gzip" | "zstd";
  /** What stands under `config` in the image's config: Entrypoint, Env and so on. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly architecture?: string;
  readonly os?: string;
  /** Instead of those of the layers. */
  readonly diffIds?: readonly string[];
  readonly reference?: string;
}

export interface WrittenImage {
  readonly blobs: Map<string, Buffer>;
  readonly manifest: string;
  readonly manifestHash: string;
  readonly configHash: string;
  readonly layerHashes: readonly string[];
  readonly reference: string | null;
}

export function makeImage(recipe: ImageRecipe): WrittenImage {
  const blobs = new Map<string, Buffer>();
  const add = (bytes: Buffer): string => {
    const digest = hash("sha256", bytes);
    blobs.set(digest, bytes);
    return digest;
  };
  const compress = { none: (bytes: Buffer) => bytes, gzip: gzipSync, zstd: zstdCompressSync }[
    recipe.compress ?? "gzip"
  ];
  const layerHashes = recipe.layers.map((layer) => add(compress(layer)));
  const diffIds = recipe.diffIds ?? recipe.layers.map((layer) => hash("sha256", layer));
  const config = {
    architecture: recipe.architecture ?? imageArchitecture(process.arch),
    os: recipe.os ?? "linux",
    config: recipe.config ?? {},
    rootfs: { type: "layers", diff_ids: diffIds.map((id) => `sha256:${id}`) },
  };
  const configHash = add(Buffer.from(JSON.stringify(config)));
  const part = (digest: string, mediaType: string): unknown => ({
    mediaType,
    digest: `sha256:${digest}`,
    size: blobs.get(digest)?.length,
  });
  const suffix = recipe.compress === "none" ? "" : `+${recipe.compress ?? "gzip"}`;
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: part(configHash, "application/vnd.oci.image.config.v1+json"),
    layers: layerHashes.map((digest) => part(digest, `application/vnd.oci.image.layer.v1.tar${suffix}`)),
  });
  const manifestHash = add(Buffer.from(manifest));
  return { blobs, manifest, manifestHash, configHash, layerHashes, reference: recipe.reference ?? null };
}

/** Files of an OCI image layout. `index`: instead of one that names the image alone. */
export function layoutFiles(image: WrittenImage, index: unknown = indexOf(image)): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  files.set("oci-layout", Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  files.set("index.json", Buffer.from(JSON.stringify(index)));
  for (const [digest, bytes] of image.blobs) files.set(`blobs/sha256/${digest}`, bytes);
  return files;
}

export function indexOf(image: WrittenImage): { schemaVersion: number; manifests: Record<string, unknown>[] } {
  const annotations = image.reference === null ? {} : { "org.opencontainers.image.ref.name": image.reference };
  const entry = {
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: `sha256:${image.manifestHash}`,
    size: image.manifest.length,
    annotations,
  };
  return { schemaVersion: 2, manifests: [entry] };
}

/** What `docker save` wrote until version 24: layers in folders of their own, one of which is a link to another. */
export function dockerArchive(image: WrittenImage): Buffer {
  const layers = image.layerHashes.map((digest, index) => ({
    path: `${index}${digest.slice(1)}/layer.tar`,
    isAgain: image.layerHashes.indexOf(digest) < index,
    digest,
  }));
  const entries: WrittenEntry[] = layers.map(({ path, isAgain, digest }) =>
    isAgain
      ? symlink(path, `../${layers.find((one) => one.digest === digest)?.path}`)
      : file(path, image.blobs.get(digest) ?? ""),
  );
  const config = `${image.configHash}.json`;
  const list = [{ Config: config, RepoTags: [image.reference ?? "shop:1"], Layers: layers.map(({ path }) => path) }];
  return writeTar([
    ...entries,
    file(config, image.blobs.get(image.configHash) ?? ""),
    file("manifest.json", JSON.stringify(list)),
  ]);
}

export function tarOfFiles(files: ReadonlyMap<string, Buffer>): Buffer {
  return writeTar([...files].map(([path, content]) => file(path, content)));
}

export function writeFiles(folder: string, files: ReadonlyMap<string, Buffer>): void {
  for (const [path, bytes] of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
}
