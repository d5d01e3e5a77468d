/** Apps on a temporary data folder with the `Running` port in memory, and deploys in one call; for tests. */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { BeginDeployJson, DeployedJson } from "../contract/api.ts";
import type { Clock } from "../lib/clock.ts";
import { openApps, type Apps } from "./apps.ts";
import { InMemoryRunning } from "./in-memory-running.fixture.ts";
import type { MetaStore } from "./meta/meta-store.ts";

export interface TestApps {
  readonly apps: Apps;
  readonly running: InMemoryRunning;
  readonly files: string;
  readonly deployments: string;
}

export async function openTestApps(folder: string, meta: MetaStore, clock?: Clock): Promise<TestApps> {
  const running = new InMemoryRunning();
  const files = join(folder, "files");
  const deployments = join(folder, "deployments");
  await mkdir(files, { recursive: true });
  await mkdir(deployments, { recursive: true });
  const apps = await openApps({
    meta,
    files,
    deployments,
    images: join(folder, "images"),
    running,
    runtimeVersion: "node 26",
    address: () => ({ httpBase: "http://127.0.0.1:8787", baseDomain: "localhost" }),
    onError: (error) => {
      throw error;
    },
    ...(clock === undefined ? {} : { clock }),
  });
  return { apps, running, files, deployments };
}

export interface Folder {
  readonly [path: string]: string;
}

/** `main.json` is the code, `aloft.json` (if there) the configuration, which is not among the files. */
export function deployRequest(folder: Folder, alias = "production"): BeginDeployJson {
  const { "aloft.json": config = "", ...files } = folder;
  return {
    alias,
    runtime: "node",
    entry: "main.json",
    config,
    files: Object.entries(files).map(([path, text]) => ({
      path,
      hash: contentHash(text),
      bytes: Buffer.byteLength(text),
    })),
  };
}

/** Begins a deploy and sends what is missing. The answer is the deploy's number. */
export async function sendDeploy(apps: Apps, app: string, folder: Folder, alias?: string): Promise<number> {
  const { number, missing } = await apps.beginDeploy(app, deployRequest(folder, alias));
  for (const text of Object.values(folder)) {
    const hash = contentHash(text);
    if (missing.includes(hash)) await apps.receiveFile(app, number, hash, chunksOf(text));
  }
  return number;
}

export async function deploy(apps: Apps, app: string, folder: Folder, alias?: string): Promise<DeployedJson> {
  return await apps.finishDeploy(app, await sendDeploy(apps, app, folder, alias));
}

/** The code of an app with these functions; `more` makes the content another one. */
export function codeOf(functions: readonly string[], more: object = {}): Folder {
  return { "main.json": JSON.stringify({ functions, ...more }) };
}

export async function* chunksOf(...parts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
}

export function contentHash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
