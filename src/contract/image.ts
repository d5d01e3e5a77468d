/**
 * What Aloft reads of an OCI image: its manifest and its config, both unknown input. After the OCI image specification
 * 1.1 (github.com/opencontainers/image-spec, manifest.md and config.md), of which Docker's own formats are the forerunners.
 *
 * A deployment of an image holds the manifest as `image.json` and each part that this names as `blobs/sha256/HASH`.
 */
import * as v from "valibot";
import { AloftError } from "./errors.ts";
import { limits } from "./limits.ts";

/** Path of the manifest in a deployment. */
export const imageManifestPath = "image.json";

export function imageBlobPath(hash: string): string {
  return `blobs/sha256/${hash}`;
}

export interface ImagePart {
  /** sha256, 64 hexadecimal digits. */
  readonly hash: string;
  readonly bytes: number;
}

export interface ImageManifest {
  readonly config: ImagePart;
  /** The lowest first. */
  readonly layers: readonly ImagePart[];
}

export interface ImageConfig {
  readonly os: string;
  /** As Go names it: "amd64", "arm64". */
  readonly architecture: string;
  /** sha256 of each layer's archive when unpacked, the lowest first. */
  readonly diffIds: readonly string[];
  /** "", "name", "uid", each also with ":group". */
  readonly user: string;
  readonly env: Readonly<Record<string, string>>;
  /** Program and arguments: entry point and command in one; empty when there are none. */
  readonly argv: readonly string[];
  /** Absolute. */
  readonly workingDir: string;
  /** The lowest of its exposed TCP ports; null when it exposes none. */
  readonly port: number | null;
}

const digestPattern = /^sha256:([0-9a-f]{64})$/;
const argumentsMax = 1000;
const textBytesMax = 256 * 1024;

const digest = v.pipe(v.string(), v.regex(digestPattern, "is no sha256 digest"));
const text = v.pipe(
  v.string(),
  v.check((value) => !value.includes("\0"), "holds a zero byte"),
  v.maxBytes(textBytesMax, `is longer than ${textBytesMax} bytes`),
);
const texts = v.nullish(v.pipe(v.array(text), v.maxLength(argumentsMax, `has more than ${argumentsMax} items`)));
const partSchema = v.object({
  mediaType: v.nullish(v.string()),
  digest,
  size: v.pipe(v.number(), v.safeInteger("is no size"), v.minValue(0, "is no size")),
  urls: v.nullish(v.array(v.string())),
});

const manifestSchema = v.object({
  schemaVersion: v.literal(2, "is not 2"),
  config: partSchema,
  layers: v.pipe(
    v.array(partSchema),
    v.maxLength(limits.imageLayers, `are more than the ${limits.imageLayers} allowed`),
  ),
});

const configSchema = v.object({
  os: v.nullish(v.string(), ""),
  architecture: v.nullish(v.string(), ""),
  rootfs: v.object({
    type: v.literal("layers", 'is not "layers"'),
    diff_ids: v.nullish(v.pipe(v.array(digest), v.maxLength(limits.imageLayers))),
  }),
  config: v.nullish(
    v.object({
      User: v.nullish(text, ""),
      Env: texts,
      Entrypoint: texts,
      Cmd: texts,
      WorkingDir: v.nullish(text, ""),
      ExposedPorts: v.nullish(v.record(v.string(), v.unknown())),
    }),
  ),
});

/** Throws IMAGE_INVALID. */
export function parseImageManifest(json: string): ImageManifest {
  const { config, layers } = parse("manifest", manifestSchema, json);
  for (const { mediaType, urls } of layers) {
    if (mediaType?.includes("encrypted") === true) throw invalid("has an encrypted layer, which Aloft has no key for");
    if (urls !== null && urls !== undefined && urls.length > 0) {
      throw invalid("has a layer that is to be fetched from elsewhere");
    }
  }
  return { config: partOf(config), layers: layers.map(partOf) };
}

/** Throws IMAGE_INVALID. */
export function parseImageConfig(json: string): ImageConfig {
  const { os, architecture, rootfs, config } = parse("config", configSchema, json);
  return {
    os,
    architecture,
    diffIds: (rootfs.diff_ids ?? []).map(hashOf),
    user: config?.User ?? "",
    env: envOf(config?.Env ?? []),
    argv: [...(config?.Entrypoint ?? []), ...(config?.Cmd ?? [])],
    workingDir: workingDirOf(config?.WorkingDir ?? ""),
    port: portOf(Object.keys(config?.ExposedPorts ?? {})),
  };
}

const goArchitectures: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", ppc64: "ppc64le" };

/** How images name the kind of a machine that Node names like this. */
export function imageArchitecture(nodeArchitecture: string): string {
  return goArchitectures[nodeArchitecture] ?? nodeArchitecture;
}

/** Throws IMAGE_PLATFORM_MISMATCH when a machine of this kind cannot run it. An image that does not say is taken as it is. */
export function assertImagePlatform(
  { os, architecture }: Pick<ImageConfig, "os" | "architecture">,
  nodeArchitecture: string,
): void {
  const own = imageArchitecture(nodeArchitecture);
  if ((os === "" || os === "linux") && (architecture === "" || architecture === own)) return;
  throw new AloftError(
    "IMAGE_PLATFORM_MISMATCH",
    `the image is for ${os === "" ? "linux" : os}/${architecture}, and the server is linux/${own}`,
    { hint: `build it for the server, for example with: docker build --platform linux/${own} .` },
  );
}

/** 64 hexadecimal digits. */
export function hashOf(digestText: string): string {
  return digestText.slice("sha256:".length);
}

function partOf({ digest: text, size }: v.InferOutput<typeof partSchema>): ImagePart {
  return { hash: hashOf(text), bytes: size };
}

function parse<T>(what: string, schema: v.GenericSchema<unknown, T>, json: string): T {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw invalid(`has a ${what} that is not JSON: ${(error as Error).message}`);
  }
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw invalid(`has a ${what} that is not as it should be: ${v.getDotPath(issue) ?? "it"} ${issue.message}`);
}

/** A variable without a value or a name is of no use to anybody. */
function envOf(lines: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const line of lines) {
    const equals = line.indexOf("=");
    if (equals > 0) env[line.slice(0, equals)] = line.slice(equals + 1);
  }
  return env;
}

function workingDirOf(path: string): string {
  if (path === "") return "/";
  return path.startsWith("/") ? path : `/${path}`;
}

/** "8080/tcp", "8080" */
function portOf(exposed: readonly string[]): number | null {
  const ports = exposed.flatMap((each) => {
    const port = Number(/^(\d{1,5})(?:\/tcp)?$/i.exec(each)?.[1]);
    return port >= 1 && port <= 65_535 ? [port] : [];
  });
  return ports.length === 0 ? null : Math.min(...ports);
}

function invalid(what: string): AloftError {
  return new AloftError("IMAGE_INVALID", `the image ${what}`, {
    hint: "build or save the image again with docker, podman, buildah or skopeo",
  });
}
