/** Brings a bundle to a server: begin, upload what the app lacks there, finish. For `deploy` and for `dev`. */
import type { DeployedJson } from "../contract/api.ts";
import type { DeploymentFile, Runtime } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import { forEachParallel } from "../lib/parallel.ts";
import type { ControlClient } from "./client.ts";

/** Uploads at once. More gain nothing on one connection's worth of disk, and each holds its file in memory. */
const uploadsMax = 4;

export interface DeployableFile extends DeploymentFile {
  read(): Promise<Uint8Array>;
  /** There for files that are too large to be held. */
  chunks?(): AsyncIterable<Uint8Array>;
}

/** What of a bundle (`build/`) a deploy needs. */
export interface Deployable {
  readonly name: string;
  readonly configText: string;
  readonly runtime: Runtime;
  readonly entry: string;
  readonly files: readonly DeployableFile[];
}

export interface UploadProgress {
  readonly files: number;
  readonly filesTotal: number;
  readonly bytes: number;
  readonly bytesTotal: number;
}

export interface DeployOutcome {
  readonly deployed: DeployedJson;
  readonly uploaded: UploadProgress;
}

export async function deployBundle(
  client: ControlClient,
  bundle: Deployable,
  alias: string,
  onProgress: (progress: UploadProgress) => void = () => {},
): Promise<DeployOutcome> {
  const files = bundle.files.map(({ path, hash, bytes, executable }) => ({
    path,
    hash,
    bytes,
    ...(executable === undefined ? {} : { executable }),
  }));
  const { runtime, entry, configText: config } = bundle;
  const begun = await client.beginDeploy(bundle.name, { alias, runtime, entry, files, config });
  const uploaded = await upload(client, bundle, begun.number, begun.missing, onProgress);
  return { deployed: await client.finishDeploy(bundle.name, begun.number), uploaded };
}

async function upload(
  client: ControlClient,
  bundle: Deployable,
  number: number,
  missing: readonly string[],
  onProgress: (progress: UploadProgress) => void,
): Promise<UploadProgress> {
  // Two files of equal content are one upload.
  const byHash = new Map(bundle.files.map((file) => [file.hash, file]));
  const wanted = missing.map((hash) => {
    const file = byHash.get(hash);
    if (file === undefined)
      throw new AloftError("INTERNAL", `the server asked for ${hash}, which the bundle does not hold`);
    return file;
  });
  const total = { filesTotal: wanted.length, bytesTotal: wanted.reduce((sum, { bytes }) => sum + bytes, 0) };
  let progress: UploadProgress = { files: 0, bytes: 0, ...total };
  await forEachParallel(wanted, uploadsMax, async (file) => {
    const { chunks } = file;
    const body = chunks === undefined ? await file.read() : { byteLength: file.bytes, chunks: () => chunks.call(file) };
    await client.putFile(bundle.name, number, file.hash, body);
    progress = { ...total, files: progress.files + 1, bytes: progress.bytes + file.bytes };
    onProgress(progress);
  });
  return progress;
}
