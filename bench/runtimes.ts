/**
 * Runtimes: the same hello as a Lambda handler of Node and of Python, as a custom runtime in C, as a server of its own,
 * and as an image with a server in C; in both sandboxes. Cold: so many apps that have no instance, asked one after the other, the server started anew before.
 * Warm: one connection asks one of them again and again, so that what is measured is the way there and back.
 */
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleApp, type Bundle } from "../src/build/bundle.ts";
import { bundleImage } from "../src/build/images/image-bundle.ts";
import { dockerArchive, makeImage } from "../src/build/images/image-writer.fixture.ts";
import { ControlClient } from "../src/cli/client.ts";
import { deployBundle } from "../src/cli/deploying.ts";
import { file, writeTar } from "../src/lib/tar/tar-writer.fixture.ts";
import { AloftServer } from "./aloft/server.ts";
import { Connection, askOnce } from "./lib/client.ts";
import { type Report, type Table, formatMs } from "./lib/report.ts";
import { median, percentile } from "./lib/stats.ts";
import type { BenchOptions } from "./options.ts";

const appsEach = 8;
const spacingMs = 400;
const warmRequests = 400;
const ask = { method: "GET", path: "/", body: "" } as const;

interface Contender {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  /** Made in the folder by a command. */
  readonly compile?: (folder: string) => readonly string[];
  /** The program that was made becomes the only file of an image, which the process sandbox does not run. */
  readonly isImage?: boolean;
}

const bootstrapSource = join(import.meta.dirname, "..", "test", "lambda", "bootstrap.c");
const imageServerSource = join(import.meta.dirname, "..", "test", "kit", "image-server.c");

const contenders: readonly Contender[] = [
  { name: "node", files: { "index.mjs": `export const handler = async () => "hello";\n` } },
  {
    name: "python",
    files: { "app.py": `def handler(event, context):\n    return "hello"\n`, "aloft.json": pythonConfig() },
  },
  {
    name: "provided",
    files: { "aloft.json": `{ "runtime": "provided" }` },
    compile: (folder) => ["gcc", "-O2", "-o", join(folder, "bootstrap"), bootstrapSource],
  },
  {
    name: "command",
    files: {
      "server.mjs": `import { createServer } from "node:http";\ncreateServer((_request, response) => response.end("hello")).listen(process.env.PORT);\n`,
      "aloft.json": `{ "command": ["node", "server.mjs"] }`,
    },
  },
  {
    name: "image",
    files: {},
    compile: (folder) => ["gcc", "-static", "-O2", "-o", join(folder, "server"), imageServerSource],
    isImage: true,
  },
];

interface Sample {
  readonly sandbox: string;
  readonly contender: string;
  readonly coldUs: readonly number[];
  readonly warmUs: readonly number[];
}

export async function benchRuntimes(options: BenchOptions): Promise<Report> {
  const samples: Sample[] = [];
  const notes: string[] = [];
  for (const sandbox of ["process", "oci"]) {
    for (const contender of contenders) {
      if (options.contestants?.includes(contender.name) === false) continue;
      if (contender.isImage === true && sandbox === "process") continue;
      try {
        for (let round = 0; round < options.rounds; round += 1) {
          console.log(`runtimes: ${contender.name} in ${sandbox}, round ${round + 1}`);
          samples.push(await sampleOf(contender, sandbox));
        }
      } catch (error) {
        notes.push(`${contender.name} in ${sandbox} could not be measured: ${(error as Error).message}`);
      }
    }
  }
  return { part: "runtimes", tables: [tableOf(samples)], goals: [], notes, samples };
}

function pythonConfig(): string {
  return `{ "runtime": "python", "handler": "app.handler" }`;
}

async function sampleOf(contender: Contender, sandbox: string): Promise<Sample> {
  const folder = await mkdtemp(join(tmpdir(), "aloft-bench-runtimes-"));
  const dataFolder = join(folder, "data");
  // What is measured needs no network, and many a machine has none to give.
  const flags = ["--sandbox", sandbox, ...(sandbox === "oci" ? ["--sandbox-network", "none"] : [])];
  try {
    const names = Array.from({ length: appsEach }, (_, at) => `${contender.name}-${at}`);
    const deploying = await AloftServer.start({ dataFolder, flags });
    const client = new ControlClient({ server: deploying.adminUrl, token: deploying.token });
    for (const name of names) {
      const dir = await writeApp(join(folder, name), contender, name);
      const bundle = contender.isImage === true ? await bundleServerImage(dir) : await bundleApp({ dir });
      await deployBundle(client, bundle, "production");
    }
    client.close();
    await deploying.stop();
    const server = await AloftServer.start({ dataFolder, flags });
    try {
      await server.until("zygotes are ready and nothing runs", ({ groups, zygotes }) =>
        zygotes > 0 && groups.every(({ instances }) => instances === 0) ? true : null,
      );
      const coldUs: number[] = [];
      for (const name of names) {
        const answer = await askOnce({ url: server.url, host: `${name}.localhost` }, ask);
        if (answer.status !== 200) throw new Error(`${name} answered ${answer.status}: ${answer.body.slice(0, 200)}`);
        coldUs.push(answer.firstByteUs);
        await new Promise((resolve) => setTimeout(resolve, spacingMs));
      }
      return { sandbox, contender: contender.name, coldUs, warmUs: await warm(server, names[0] ?? "") };
    } finally {
      await server.stop();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** An image of one layer with the program of this folder, as `docker save` writes it. */
async function bundleServerImage(dir: string): Promise<Bundle> {
  const server = file("bin/server", await readFile(join(dir, "server")), { mode: 0o755 });
  const config = { Entrypoint: ["/bin/server"], Env: ["PORT=8080"], User: "1000:1000" };
  const image = `${dir}.tar`;
  await writeFile(image, dockerArchive(makeImage({ layers: [writeTar([server])], config })));
  return await bundleImage({ image, dir, architecture: process.arch });
}

async function writeApp(folder: string, { files, compile }: Contender, name: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (const [file, content] of Object.entries(files)) await writeFile(join(folder, file), content);
  if (compile === undefined) return folder;
  const [command = "", ...parameters] = compile(folder);
  const { status, stderr } = spawnSync(command, parameters, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} failed for ${name}: ${stderr}`);
  return folder;
}

async function warm(server: AloftServer, name: string): Promise<number[]> {
  const connection = new Connection({ url: server.url, host: `${name}.localhost` });
  const us: number[] = [];
  for (let count = 0; count < warmRequests; count += 1) us.push((await connection.ask(ask)).totalUs);
  connection.close();
  // The first ones find code that has not been compiled yet.
  return us.slice(warmRequests / 4);
}

function tableOf(samples: readonly Sample[]): Table {
  const keys = [...new Set(samples.map(({ sandbox, contender }) => `${contender} ${sandbox}`))];
  return {
    title: `runtimes: first byte of ${appsEach} apps without an instance, and ${warmRequests} requests of one connection (ms)`,
    columns: ["runtime, sandbox", "cold p50", "cold least", "cold most", "warm p50", "warm p99"],
    rows: keys.map((key) => {
      const own = samples.filter(({ sandbox, contender }) => `${contender} ${sandbox}` === key);
      const of = (pick: (sample: Sample) => number): string => formatMs(median(own.map(pick)));
      return [
        key.replace(" ", ", "),
        of(({ coldUs }) => percentile(coldUs, 0.5)),
        of(({ coldUs }) => Math.min(...coldUs)),
        of(({ coldUs }) => Math.max(...coldUs)),
        of(({ warmUs }) => percentile(warmUs, 0.5)),
        of(({ warmUs }) => percentile(warmUs, 0.99)),
      ];
    }),
  };
}
