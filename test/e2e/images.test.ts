/** Images as apps, from the archive to the answer, and what is refused on the way. */
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { bundleImage } from "../../src/build/images/image-bundle.ts";
import {
  dockerArchive,
  type ImageRecipe,
  layoutFiles,
  makeImage,
  tarOfFiles,
  type WrittenImage,
} from "../../src/build/images/image-writer.fixture.ts";
import { deployBundle } from "../../src/cli/deploying.ts";
import type { DeployedJson } from "../../src/contract/api.ts";
import { AloftError, type ErrorCode } from "../../src/contract/errors.ts";
import { file, folder, hardLink, symlink, writeTar } from "../../src/lib/tar/tar-writer.fixture.ts";
import { ociMissing } from "../../src/sandbox/open-for-test.fixture.ts";
import { runFolderOf } from "../../src/sandbox/oci/oci-sandbox.ts";
import { type AloftProcess, served } from "../kit/aloft-process.ts";
import { lastFirst } from "../kit/scope.ts";
import { startTestServer, temporaryFolder, testToken, type TestServer } from "../kit/server.ts";
import { until } from "../kit/until.ts";

const missing = await ociMissing();
if (missing !== null) console.log(`skipped: ${missing}`);

const work = mkdtempSync(join(tmpdir(), "aloft-e2e-images-"));
after(() => rmSync(work, { recursive: true, force: true }));
const settings = { sandbox: "oci", sandboxNetwork: "none" } as const;

/** The program, and the users that the image has. */
let base: Buffer;
const config = {
  Entrypoint: ["/bin/server"],
  ExposedPorts: { "80/tcp": {} },
  Env: ["COLOUR=red"],
  WorkingDir: "/data",
};

before(() => {
  const program = join(work, "server");
  execFileSync("gcc", ["-static", "-O1", "-o", program, join(import.meta.dirname, "../kit/image-server.c")]);
  base = writeTar([
    folder("bin/"),
    file("bin/server", readFileSync(program), { mode: 0o755 }),
    file("etc/passwd", "root:x:0:0::/root:\nweb:x:1000:1000::/home/web:\ncache:x:101:102::/:\n"),
    file("etc/group", "root:x:0:\nweb:x:1000:\nmedia:x:44:web,cache\ncache:x:102:\n"),
    folder("data/", { uid: 1000, gid: 1000 }),
  ]);
});

function imageOf(over: Partial<ImageRecipe> = {}): WrittenImage {
  return makeImage({ layers: [base], config, ...over });
}

let names = 0;
function saved(content: Buffer): string {
  const path = join(work, `${(names += 1)}.tar`);
  writeFileSync(path, content);
  return path;
}

async function deployImage(server: TestServer, app: string, archive: Buffer, aloftJson = "{}"): Promise<DeployedJson> {
  const dir = join(work, `${app}-${(names += 1)}`, app);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "aloft.json"), aloftJson);
  const bundle = await bundleImage({ image: saved(archive), dir, architecture: process.arch });
  const { deployed } = await deployBundle(server.client, bundle, "production");
  await bundle.close();
  return deployed;
}

/** As a client does that looks at nothing: what the server itself refuses. */
async function deployBlindly(server: TestServer, app: string, image: WrittenImage): Promise<DeployedJson> {
  const files = [...image.blobs].map(([digest, bytes]) => ({ path: `blobs/sha256/${digest}`, bytes }));
  files.push({ path: "image.json", bytes: Buffer.from(image.manifest) });
  const list = files.map(({ path, bytes }) => {
    const hash = createHash("sha256").update(bytes).digest("hex");
    return { path, hash, bytes: bytes.length, read: async () => bytes };
  });
  const bundle = { name: app, configText: "", runtime: "image", entry: "", files: list } as const;
  return (await deployBundle(server.client, bundle, "production")).deployed;
}

async function refusal(deploying: Promise<unknown>): Promise<AloftError> {
  const error = await deploying.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AloftError, String(error));
  return error;
}

async function textOf(server: TestServer, app: string, path: string): Promise<string> {
  return await (await server.fetch(app, path)).text();
}

suite("an image is an app", { skip: missing ?? false }, () => {
  const scope = lastFirst({ after });
  let server: TestServer;
  before(async () => {
    server = await startTestServer(scope, { mode: "serve", settings });
  });

  test("deployed with the command line, from what docker saves", async () => {
    const path = join(work, "greeter.tar.gz");
    writeFileSync(path, gzipSync(dockerArchive(imageOf({ reference: "registry.example/team/greeter:2" }))));
    const { stdout } = await promisify(execFile)(join(import.meta.dirname, "../../bin/aloft"), [
      ...["deploy", "--image", path, "--server", server.admin, "--token", testToken, "--json"],
    ]);
    const deployed = JSON.parse(stdout) as DeployedJson;
    assert.equal(deployed.app, "greeter");
    assert.deepEqual(
      deployed.functions.map(({ name, runtime, style }) => [name, runtime, style]),
      [["default", "image", "server"]],
    );
    assert.equal(await textOf(server, "greeter", "/any/path"), "hello from an image");
  });

  test("it has its folder, its environment, its port and the app's variables", async () => {
    await server.client.changeVariables("about", "production", { set: { SECRET: "s3" } });
    await deployImage(server, "about", tarOfFiles(layoutFiles(imageOf())));
    const [first, ...env] = (await textOf(server, "about", "/about")).split("\n");
    assert.equal(first, "uid=0 gid=0 cwd=/data args=/bin/server ");
    const known = env.filter((line) => !/^ALOFT_(?:DEPLOYMENT|STATE_URL)=/.test(line)).toSorted();
    assert.deepEqual(known, [
      "ALOFT_APP=about",
      "COLOUR=red",
      "HOME=/root",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "PORT=80",
      "SECRET=s3",
    ]);
    const logs = await server.client.listLogs("about", {});
    assert.deepEqual(
      logs.map(({ message, stream }) => [message, stream]),
      [["listening on 80", "stdout"]],
    );
  });

  test("it runs as its own user, with groups and a port of its own choice, and a command of aloft.json", async () => {
    const own = { ...config, User: "web", ExposedPorts: {}, Cmd: ["more"] };
    const aloftJson = '{ "command": ["/bin/server", "x y"], "functions": { "default": { "concurrency": 1 } } }';
    await deployImage(server, "user", tarOfFiles(layoutFiles(imageOf({ config: own, compress: "zstd" }))), aloftJson);
    const about = await textOf(server, "user", "/about");
    assert.match(about, /^uid=1000 gid=1000 cwd=\/data args=\/bin\/server x y \n/);
    assert.match(about, /\nHOME=\/home\/web\n/);
    assert.match(about, /\nPORT=8080/);
    assert.equal(await textOf(server, "user", "/keep"), "1");
    assert.equal(await textOf(server, "user", "/keep"), "2");
  });

  test("one that begins as root gives files to its user and becomes it, as many entry points do", async () => {
    // The user owns nothing in the image: it is known from its list of users alone.
    await deployImage(
      server,
      "become",
      dockerArchive(imageOf({ config: { ...config, Cmd: ["become", "101", "102"] } })),
    );
    assert.match(await textOf(server, "become", "/about"), /^uid=101 gid=102 cwd=\/own /);
    assert.equal(await textOf(server, "become", "/keep"), "1");
    // Whom the image starts as another user cannot.
    const own = { ...config, User: "web", Cmd: ["become", "101", "102"] };
    const error = await refusal(deployImage(server, "cannot", dockerArchive(imageOf({ config: own }))));
    assert.equal(error.code, "FUNCTION_START_FAILED");
    assert.match(
      error.message,
      /exit code 4 before it was ready\nbecome: (?:Permission denied|Operation not permitted)$/,
    );
  });

  test("it is told of blobs, as aloft.json says", async () => {
    const options = { on: ["created", "deleted"], prefix: "in/" };
    const triggers = [{ http: "/*" }, { blob: "files", options }];
    const aloftJson = JSON.stringify({ functions: { default: { triggers } } });
    await deployImage(server, "listener", dockerArchive(imageOf()), aloftJson);
    const place = { kind: "blobs", app: "listener", alias: "production", store: "files" } as const;
    const oneByte = { byteLength: 1, chunks: () => Readable.from([Buffer.from("x")]) };
    for (const key of ["in/a", "out/b"]) await server.client.putBlob({ ...place, key }, oneByte, "text/plain");
    await server.client.deleteEntry({ ...place, key: "in/a" });
    const records = await until("both are told", async () => {
      const records = await server.client.listInvocations("listener", { function: "default", limit: 10 });
      return records.length === 2 && records;
    });
    assert.deepEqual(records.map(({ trigger, subject, outcome }) => `${trigger} ${subject} ${outcome}`).toSorted(), [
      "blob files created in/a ok",
      "blob files deleted in/a ok",
    ]);
  });

  test("it keeps state over HTTP, which nobody reaches without the first part of its paths", async () => {
    const aloftJson = '{ "functions": { "default": { "maxInstances": 1 } } }';
    await deployImage(server, "counter", dockerArchive(imageOf({ config: { ...config, User: "web" } })), aloftJson);
    assert.equal(await textOf(server, "counter", "/count"), "404 204 1");
    assert.equal(await textOf(server, "counter", "/count"), "404 204 2");
    // On a port of its own, wherever the program listens.
    const onThatPort = { ...config, ExposedPorts: { "9002/tcp": {} } };
    await deployImage(server, "counter", dockerArchive(imageOf({ config: onThatPort })), aloftJson);
    assert.equal(await textOf(server, "counter", "/count"), "404 204 3");
  });

  test("each instance has a fresh layer: what a crashed one wrote is gone", async () => {
    await deployImage(server, "crash", tarOfFiles(layoutFiles(imageOf({ config: { ...config, User: "1000:1000" } }))));
    assert.equal(await textOf(server, "crash", "/keep"), "1");
    const crashed = await server.fetch("crash", "/crash");
    assert.deepEqual([crashed.status, ((await crashed.json()) as { code: string }).code], [502, "FUNCTION_CRASHED"]);
    assert.equal(await textOf(server, "crash", "/keep"), "1");
    const hungry = await server.fetch("crash", "/eat");
    assert.deepEqual(
      [hungry.status, ((await hungry.json()) as { code: string }).code],
      [502, "FUNCTION_OUT_OF_MEMORY"],
    );
    assert.equal(await textOf(server, "crash", "/keep"), "1");
  });

  test("layers are stored once, and yet no app gets another's without sending it", async () => {
    const layers = join(server.dataDir, "images", "layers");
    await deployImage(server, "first", tarOfFiles(layoutFiles(imageOf())));
    const before = readdirSync(layers).length;
    const upper = writeTar([file("data/hello", "h")]);
    const second = imageOf({ layers: [base, upper] });
    const begun = await server.client.beginDeploy("second", {
      alias: "production",
      runtime: "image",
      entry: "",
      config: "",
      files: [...second.blobs].map(([hash, bytes]) => ({ path: `blobs/sha256/${hash}`, hash, bytes: bytes.length })),
    });
    assert.ok(begun.missing.includes(second.layerHashes[0] ?? ""), "the shared layer is asked for");
    await deployImage(server, "second", tarOfFiles(layoutFiles(second)));
    assert.equal(await textOf(server, "second", "/"), "hello from an image");
    assert.equal(readdirSync(layers).length, before + 1);
  });

  test("one that speaks the Lambda Runtime API is a Lambda function", async () => {
    const bootstrap = join(work, "bootstrap");
    const source = join(import.meta.dirname, "../lambda/bootstrap.c");
    await promisify(execFile)("gcc", ["-static", "-O1", "-o", bootstrap, source]);
    const layer = writeTar([file("var/runtime/bootstrap", readFileSync(bootstrap), { mode: 0o755 })]);
    const image = makeImage({
      layers: [layer],
      config: { Entrypoint: ["/var/runtime/bootstrap"], WorkingDir: "/var/task" },
    });
    const deployed = await deployImage(server, "lambda", tarOfFiles(layoutFiles(image)), '{ "runtime": "provided" }');
    assert.deepEqual(
      deployed.functions.map(({ name, runtime, style, limits }) => [name, runtime, style, limits.concurrency]),
      [["default", "provided", "lambda", 1]],
    );
    const { body } = await server.client.invoke("lambda", "default", "production", Buffer.from('{"a":1}'));
    assert.deepEqual(JSON.parse(body.toString()), { language: "c", event: { a: 1 } });
    const again = await (await server.fetch("lambda", "/x?y=z")).json();
    assert.equal((again as { event: { rawPath: string } }).event.rawPath, "/x");
  });

  test("a rollback goes back to the image before", async () => {
    await deployImage(server, "back", tarOfFiles(layoutFiles(imageOf())));
    const next = { ...config, Env: ["COLOUR=blue"] };
    await deployImage(server, "back", tarOfFiles(layoutFiles(imageOf({ config: next }))));
    assert.match(await textOf(server, "back", "/about"), /COLOUR=blue/);
    await server.client.rollback("back", { alias: "production" });
    assert.match(await textOf(server, "back", "/about"), /COLOUR=red/);
  });

  test("when its app is removed, nothing of it stays but what others share", async () => {
    const images = join(server.dataDir, "images");
    for (const { name } of await server.client.listApps()) if (name !== "first") await server.client.deleteApp(name);
    await untilCollected(() => readdirSync(join(images, "roots")).length === 1);
    assert.equal(readdirSync(join(images, "layers")).length, 1);
    assert.equal(await textOf(server, "first", "/"), "hello from an image");
    await server.client.deleteApp("first");
    await untilCollected(() => readdirSync(join(images, "roots")).length === 0);
    assert.deepEqual([readdirSync(join(images, "layers")), readdirSync(join(images, ".tmp"))], [[], []]);
    assert.deepEqual(containersOf(server), []);
  });

  async function untilCollected(isSo: () => boolean): Promise<void> {
    // What still ran keeps its files until the next collecting, which the next deploy begins.
    for (let tries = 0; tries < 100 && !isSo(); tries += 1) {
      await server.deployFiles("other", { "index.ts": `export default { fetch: () => new Response("${tries}") };` });
    }
    assert.ok(isSo());
  }
});

function containersOf(server: TestServer): string[] {
  return readdirSync(join(runFolderOf(join(server.dataDir, "run", "containers")), "images"));
}

suite("an image that cannot be an app", { skip: missing ?? false }, () => {
  const scope = lastFirst({ after });
  let server: TestServer;
  before(async () => {
    server = await startTestServer(scope, { mode: "serve", settings });
    await deployImage(server, "neighbour", dockerArchive(imageOf()));
  });

  const broken = (entry: Parameters<typeof writeTar>[0][number]): WrittenImage =>
    imageOf({ layers: [base, writeTar([entry])] });
  const withLayer = (blob: Buffer): WrittenImage => {
    const image = imageOf({ layers: [base, blob], compress: "none" });
    return image;
  };
  const cases: readonly (readonly [string, () => WrittenImage, ErrorCode, RegExp])[] = [
    [
      "a layer that is no archive",
      () => withLayer(Buffer.from("no archive".repeat(100))),
      "IMAGE_LAYER_INVALID",
      /checksum/,
    ],
    [
      "a layer whose compression is cut",
      () => withLayer(gzipSync(base).subarray(0, 2000)),
      "IMAGE_LAYER_INVALID",
      /decompressed/,
    ],
    [
      "a layer that is another one than the config says",
      () => imageOf({ diffIds: ["0".repeat(64)] }),
      "IMAGE_DIGEST_MISMATCH",
      /sha256:0000/,
    ],
    ["another number of layers than the config says", () => imageOf({ diffIds: [] }), "IMAGE_INVALID", /0 layers/],
    ["a layer that was not sent", () => without(imageOf()), "IMAGE_PART_MISSING", /blobs\/sha256/],
    ["an escaping path", () => broken(file("../../escaped", "x")), "IMAGE_LAYER_INVALID", /holds "\.\."/],
    [
      "a write through a link of the same layer",
      () => imageOf({ layers: [base, writeTar([symlink("a", "/"), file("a/x", "x")])] }),
      "IMAGE_LAYER_INVALID",
      /through the link/,
    ],
    [
      "a write through a link of a layer below",
      () => imageOf({ layers: [base, writeTar([symlink("a", "/etc")]), writeTar([file("a/cron.d", "x")])] }),
      "IMAGE_LAYER_INVALID",
      /reached through/,
    ],
    ["a hard link out", () => broken(hardLink("a", "/../../etc/shadow")), "IMAGE_LAYER_INVALID", /holds "\.\."/],
    ["a device", () => broken({ path: "sda", flag: "4" }), "IMAGE_LAYER_INVALID", /block device/],
    ["a whiteout of ..", () => broken(file("data/.wh...")), "IMAGE_LAYER_INVALID", /whiteout/],
    ["another kind of machine", () => imageOf({ architecture: "s390x" }), "IMAGE_PLATFORM_MISMATCH", /linux\/s390x/],
    ["another system", () => imageOf({ os: "windows" }), "IMAGE_PLATFORM_MISMATCH", /windows/],
    ["no program", () => imageOf({ config: {} }), "IMAGE_COMMAND_MISSING", /entry point/],
    [
      "a user that it does not have",
      () => imageOf({ config: { ...config, User: "nobody-here" } }),
      "IMAGE_USER_UNKNOWN",
      /nobody-here/,
    ],
    [
      "a group that it does not have",
      () => imageOf({ config: { ...config, User: "web:nogroup" } }),
      "IMAGE_USER_UNKNOWN",
      /nogroup/,
    ],
    [
      "a program that is not there",
      () => imageOf({ config: { Entrypoint: ["/bin/nothing"] } }),
      "FUNCTION_START_FAILED",
      /\/bin\/nothing/,
    ],
    [
      "a program that ends at once",
      () => imageOf({ config: { ...config, Cmd: ["fail"] } }),
      "FUNCTION_START_FAILED",
      /exit code 3 before it was ready\nthe database is missing/,
    ],
  ];
  for (const [what, make, code, message] of cases) {
    test(what, async () => {
      const error = await refusal(deployBlindly(server, "bad", make()));
      assert.deepEqual([error.code, message.test(error.message)], [code, true], error.message);
    });
  }

  test("a program that never listens, and a Lambda program that never asks for an event", async () => {
    const idle = imageOf({ config: { ...config, Cmd: ["idle"] } });
    const [http, lambda] = await Promise.all([
      refusal(deployBlindly(server, "bad", idle)),
      refusal(deployImage(server, "bad-lambda", tarOfFiles(layoutFiles(idle)), '{ "runtime": "provided" }')),
    ]);
    assert.equal(http.code, "FUNCTION_START_FAILED");
    assert.match(http.message, /80/);
    assert.equal(lambda.code, "FUNCTION_START_FAILED");
    assert.match(lambda.message, /^Sandbox\.Timedout: the runtime did not ask for a first event within 28 s$/);
  });

  test("a Lambda program that ends at once", async () => {
    const image = imageOf({ config: { ...config, Cmd: ["fail"] } });
    const error = await refusal(
      deployImage(server, "bad-lambda", tarOfFiles(layoutFiles(image)), '{ "runtime": "provided" }'),
    );
    assert.equal(error.code, "FUNCTION_START_FAILED");
    assert.match(error.message, /exit code 3 before it was ready\nthe database is missing/);
  });

  test("none of them left anything, and the neighbour goes on answering", async () => {
    await server.deployFiles("other", { "index.ts": `export default { fetch: () => new Response("other") };` });
    assert.equal(await textOf(server, "neighbour", "/"), "hello from an image");
    assert.equal(await textOf(server, "other", "/"), "other");
    assert.deepEqual((await server.client.listApps()).map(({ name }) => name).toSorted(), ["neighbour", "other"]);
    const images = join(server.dataDir, "images");
    assert.deepEqual(
      ["layers", "roots", ".tmp"].map((name) => readdirSync(join(images, name)).length),
      [1, 1, 0],
    );
    assert.equal(containersOf(server).length, 1, "only the neighbour's program runs");
    assert.ok(!existsSync(join(server.dataDir, "escaped")));
  });

  function without(image: WrittenImage): WrittenImage {
    image.blobs.delete(image.layerHashes[0] ?? "");
    return image;
  }
});

test("a server that was killed leaves a program; the next one ends it and serves the image again", async (t) => {
  if (missing !== null) return t.skip(missing);
  const dataDir = await temporaryFolder(t);
  const flags = ["--sandbox", "oci", "--sandbox-network", "none"];
  const first = await served(dataDir, ...flags);
  t.after(() => first.kill());
  const path = saved(dockerArchive(imageOf({ reference: "shop:1", config: { ...config, User: "web" } })));
  const bundle = await bundleImage({ image: path, dir: null, architecture: process.arch });
  await deployBundle(first.client, bundle, "production");
  const answer = async (server: AloftProcess): Promise<string> => await (await server.fetch("shop", "/keep")).text();
  assert.equal(await answer(first), "1");
  await first.kill("SIGKILL");
  assert.equal(programs(dataDir).length, 1, "the program goes on");
  // As after a restore from a backup of everything but what can be made again.
  rmSync(join(dataDir, "images"), { recursive: true });
  const second = await served(dataDir, ...flags);
  t.after(() => second.kill());
  assert.deepEqual(programs(dataDir), []);
  assert.equal(await answer(second), "1");
  assert.equal(programs(dataDir).length, 1);
  await second.kill("SIGTERM");
  assert.deepEqual(programs(dataDir), []);
  const runFolder = runFolderOf(join(dataDir, "run", "containers"));
  assert.equal(existsSync(runFolder), false);
  assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(runFolder));
});

/** Programs of this server's images: they have one of its mounts as their root. */
function programs(dataDir: string): string[] {
  const images = join(runFolderOf(join(dataDir, "run", "containers")), "images");
  return readdirSync("/proc").filter((pid) => {
    try {
      const isServer = /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8") === "/bin/server\0";
      return isServer && readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(images);
    } catch {
      return false;
    }
  });
}

test("the process sandbox refuses an image before anything is sent", async (t) => {
  const server = await startTestServer(lastFirst(t), { mode: "serve" });
  const image = makeImage({ layers: [writeTar([file("a")])], config });
  const error = await refusal(deployBlindly(server, "image", image));
  assert.equal(error.code, "SANDBOX_UNAVAILABLE");
  assert.match(error.hint ?? "", /--sandbox oci/);
  assert.deepEqual(await server.client.listApps(), []);
});
