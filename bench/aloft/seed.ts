/**
 * Writes many apps into a data folder with the platform's own service of apps, as deploying them would, but without
 * importing each one: what describing would find is known here, and nothing runs.
 */
import { createHash } from "node:crypto";
import { openApps } from "../../src/apps/apps.ts";
import { openDataFolder } from "../../src/apps/data-folder.ts";
import { openKeyspaceMetaStore } from "../../src/apps/meta/keyspace-meta-store.ts";
import type { DescribedFunction } from "../../src/contract/deployment.ts";
import type { Running } from "../../src/contract/running.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { forEachParallel } from "../../src/lib/parallel.ts";
import { openSqliteKeyspace } from "../../src/store/sqlite/sqlite-keyspace.ts";
import type { App } from "./apps.ts";

const deploysAtOnce = 16;

/** What `routedApps` export. */
const described: readonly DescribedFunction[] = [
  { name: "hello", style: "http", triggers: [{ kind: "http", method: "GET", path: "/hello" }], limits: {} },
];

const nothingRuns: Running = {
  assertRunnable: () => undefined,
  describe: () => Promise.resolve(described),
  prepare: () => Promise.resolve(),
  abandon: () => undefined,
  publish: () => undefined,
  runningRevisions: () => new Set(),
};

export async function seedApps(dataFolder: string, apps: readonly App[]): Promise<void> {
  const folder = await openDataFolder(dataFolder);
  const keyspace = await openSqliteKeyspace({ file: folder.keyspaceFile, clock: systemClock });
  const meta = await openKeyspaceMetaStore(keyspace);
  const service = await openApps({
    meta,
    files: folder.files,
    deployments: folder.deployments,
    images: folder.images,
    running: nothingRuns,
    // As the server says it; a deployment of another version would be described anew when it is deployed again.
    runtimeVersion: `node ${process.versions.node.split(".")[0]}`,
    address: () => ({ httpBase: "http://127.0.0.1", baseDomain: "localhost" }),
    onError: (error) => console.error(error),
  });
  try {
    await forEachParallel(apps, deploysAtOnce, async ({ name, source }) => {
      const bytes = Buffer.from(source);
      const hash = createHash("sha256").update(bytes).digest("hex");
      const files = [{ path: "index.mjs", hash, bytes: bytes.length }];
      const begin = { alias: "production", runtime: "node", entry: "index.mjs", files, config: "" };
      const { number, missing } = await service.beginDeploy(name, begin);
      if (missing.length > 0) await service.receiveFile(name, number, hash, once(bytes));
      await service.finishDeploy(name, number);
    });
  } finally {
    await service.close();
    await meta.close();
    await keyspace.close();
    folder.close();
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
