/** Folders of code to deploy, written when they are needed, and the command that deploys them. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ControlClient } from "../../src/cli/client.ts";
import { forEachParallel } from "../../src/lib/parallel.ts";
import { programPath } from "../peers/programs.ts";
import { type AloftServer, binPath } from "./server.ts";

/** A temporary folder that holds apps and goes when the benchmark is over. */
export class AppFolders {
  #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  static async create(): Promise<AppFolders> {
    return new AppFolders(await mkdtemp(join(tmpdir(), "aloft-bench-apps-")));
  }

  /** Writes `index.js` of the app `name`; again for a new version of it. */
  async write(name: string, source: string): Promise<string> {
    const folder = join(this.#root, name);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "index.js"), source);
    return folder;
  }

  async remove(): Promise<void> {
    await rm(this.#root, { recursive: true, force: true });
  }
}

/** The job, byte for byte what the workerd contestants run. */
export function jobSource(): Promise<string> {
  return readFile(programPath("worker.js"), "utf8");
}

/** Answers `text` and its process id under `/pid`; every text is a bundle of its own. */
export function textSource(text: string): string {
  return `export default {
  fetch(request) {
    if (request.url.endsWith("/pid")) return new Response(String(process.pid));
    return new Response(${JSON.stringify(text)});
  },
};
`;
}

/** Runs `aloft deploy` as a user would and resolves when it has ended well. */
export async function deploy(server: AloftServer, folder: string): Promise<void> {
  const child = spawn(process.execPath, [binPath, "deploy", folder, "--server", server.adminUrl, "--json"], {
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ALOFT_TOKEN: server.token },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`aloft deploy ${folder} ended with ${code}: ${output}`);
}

export interface App {
  readonly name: string;
  readonly source: string;
}

/**
 * `count` apps of one function at `GET /hello`, so that every other path has no route. The function is what the SDK's
 * `http` makes, written out: ten thousand bundles then need no bundler.
 */
export function routedApps(count: number): App[] {
  return Array.from({ length: count }, (_, index) => {
    const name = `routed-${index}`;
    const source = `const handler = () => new Response(${JSON.stringify(name)});
const declared = { kind: "http", route: "GET /hello", options: {}, handler };
export const hello = Object.assign(() => handler(), { [Symbol.for("aloft.function")]: declared });
`;
    return { name, source };
  });
}

const deploysAtOnce = 4;

/** Many apps straight through the control API, without the command's bundler. */
export async function deployAll(server: AloftServer, apps: readonly App[]): Promise<void> {
  const client = new ControlClient({ server: server.adminUrl, token: server.token });
  try {
    await forEachParallel(apps, deploysAtOnce, async ({ name, source }) => {
      const bytes = Buffer.from(source);
      const hash = createHash("sha256").update(bytes).digest("hex");
      const files = [{ path: "index.mjs", hash, bytes: bytes.length }];
      const begin = { alias: "production", runtime: "node", entry: "index.mjs", files, config: "" } as const;
      const { number, missing } = await client.beginDeploy(name, begin);
      if (missing.length > 0) await client.putFile(name, number, hash, bytes);
      await client.finishDeploy(name, number);
    });
  } finally {
    client.close();
  }
}

/** `count` apps with one small bundle each, no two alike: `prefix-0`, `prefix-1`, ... each answers its own name. */
export function textApps(prefix: string, count: number): App[] {
  return Array.from({ length: count }, (_, index) => {
    const name = `${prefix}-${index}`;
    return { name, source: textSource(name) };
  });
}
