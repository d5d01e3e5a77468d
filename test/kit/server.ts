/**
 * A real server for tests: a temporary data folder, ports of its own, real processes. Everything is gone when the test
 * has ended.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { bundleApp } from "../../src/build/bundle.ts";
import { ControlClient } from "../../src/cli/client.ts";
import { deployBundle } from "../../src/cli/deploying.ts";
import { loadSettings, type Settings } from "../../src/config.ts";
import type { DeployedJson } from "../../src/contract/api.ts";
import { type RunningServer, startServer } from "../../src/server.ts";

/** What a test's end is hooked to; `node:test`'s context and its `before`/`after` hooks both do. */
type Scope = Pick<TestContext, "after"> | { after(fn: () => Promise<void>): void };

export const testToken = "test-token-0123456789";

export interface TestServerOptions {
  readonly mode?: "serve" | "dev";
  readonly settings?: Partial<Settings>;
}

export interface TestServer extends RunningServer {
  readonly dataDir: string;
  readonly client: ControlClient;
  /** Bundles and deploys a folder or a file, as `aloft deploy` does. */
  deploy(path: string, alias?: string): Promise<DeployedJson>;
  /** Writes the files into a folder of the app's name and deploys it. */
  deployFiles(app: string, files: Readonly<Record<string, string>>, alias?: string): Promise<DeployedJson>;
  /** A request to an app. */
  fetch(app: string, path: string, init?: RequestInit): Promise<Response>;
}

export async function startTestServer(scope: Scope, options: TestServerOptions = {}): Promise<TestServer> {
  const folder = await mkdtemp(join(tmpdir(), "aloft-test-"));
  const settings: Settings = {
    ...(await loadSettings({ env: {} })),
    dataDir: join(folder, "data"),
    port: 0,
    adminPort: 0,
    adminToken: testToken,
    sandbox: "process",
    zygotes: 1,
    ...options.settings,
  };
  const server = await startServer(settings, { mode: options.mode ?? "dev" });
  scope.after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const client = new ControlClient({ server: server.admin, token: settings.adminToken });

  async function deploy(path: string, alias = "production"): Promise<DeployedJson> {
    const { deployed } = await deployBundle(client, await bundleApp({ dir: path }), alias);
    return deployed;
  }

  return {
    ...server,
    dataDir: settings.dataDir,
    client,
    deploy,
    async deployFiles(app, files, alias) {
      const dir = join(folder, "apps", app);
      await rm(dir, { recursive: true, force: true });
      await writeFiles(dir, files);
      return await deploy(dir, alias);
    },
    fetch: async (app, path, init = {}) => {
      const headers = new Headers(init.headers);
      headers.set("aloft-app", app);
      return await fetch(`${server.http}${path}`, { redirect: "manual", ...init, headers });
    },
  };
}

export async function temporaryFolder(scope: Scope, files: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "aloft-test-"));
  scope.after(async () => {
    await rm(folder, { recursive: true, force: true });
  });
  await writeFiles(folder, files);
  return folder;
}

async function writeFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
}
