/** Backing up a server that is being written to, and what a server made from the archive knows. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, readdir, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { encodeTuple } from "../../src/contract/tuple.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { openSqliteKeyspace } from "../../src/store/sqlite/sqlite-keyspace.ts";
import { type AloftProcess, served } from "../kit/aloft-process.ts";
import { lastFirst } from "../kit/scope.ts";
import { temporaryFolder, testToken } from "../kit/server.ts";
import { until } from "../kit/until.ts";

const bin = join(import.meta.dirname, "..", "..", "bin", "aloft");

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function aloft(args: readonly string[], server?: AloftProcess): Promise<Ran> {
  const { PATH = "", HOME = "" } = process.env;
  const env = { PATH, HOME, ALOFT_TOKEN: testToken, ALOFT_SERVER: server?.client.server ?? "" };
  const ran = promisify(execFile)(process.execPath, [bin, ...args], { env });
  return await ran.then(
    ({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      out: error.stdout,
      err: error.stderr,
    }),
  );
}

function appOf(number: number): string {
  return `import { atomic, blob, kv } from "aloft";
    const last = kv("last"), files = blob("files");
    async function fetch(request) {
      const [, first, number] = new URL(request.url).pathname.split("/");
      if (first !== "state") return new Response("v${number} " + process.env.N);
      if (number === undefined) return new Response(await last.get("n") + " " + (await (await files.get("one")).text()));
      await atomic(async () => {
        await last.set("n", Number(number));
        await files.put("one", "blob-" + number);
      });
      return new Response("kept");
    }
    export default { fetch };`;
}

async function nextVersion(dataDir: string): Promise<number> {
  const file = join(dataDir, "keyspace.db");
  const keyspace = await openSqliteKeyspace({ file, clock: systemClock, reserveBytes: 0 });
  const write = { kind: "set", key: encodeTuple(["z", "test"]), value: Buffer.alloc(0) } as const;
  const outcome = await keyspace.commit({ checks: [], writes: [write] });
  await keyspace.close();
  return outcome.kind === "committed" ? outcome.version : 0;
}

test("rule 17: a backup taken under load holds everything acknowledged before, and restores into a server that goes on", async (t) => {
  const scope = lastFirst(t);
  const folder = await temporaryFolder(scope);
  const data = join(folder, "data");
  const server = await served(data);
  scope.after(() => server.kill("SIGKILL"));
  const acknowledged = { deploy: 0, variable: 0, state: 0 };
  const ballast = randomBytes(300_000);
  async function deploy(number: number): Promise<void> {
    const app = join(folder, "app");
    await mkdir(app, { recursive: true });
    await writeFile(join(app, "index.mjs"), appOf(number));
    await writeFile(join(app, "aloft.json"), `{ "files": ["ballast"] }`);
    await writeFile(join(app, "ballast"), Buffer.concat([ballast, Buffer.from(String(number))]));
    await server.deploy(app);
    acknowledged.deploy = number;
  }

  /** A key, and a blob that is put anew all the time. */
  async function setState(number: number): Promise<void> {
    const answered = await server.fetch("app", `/state/${number}`);
    assert.equal(await answered.text(), "kept");
    acknowledged.state = number;
  }
  async function setVariable(number: number): Promise<void> {
    // Of an alias that nothing runs under, so that only the keyspace has work with it.
    await server.client.changeVariables("app", "other", { set: { [`N${number % 50}`]: String(number) } });
    acknowledged.variable = number;
  }
  await deploy(1);
  await setVariable(1);
  await setState(1);

  // Deploys remove what the ones before the last ten have left, and variables change, all the time.
  const state = { isOver: false };
  const working = Promise.all([
    (async () => {
      for (let number = 2; !state.isOver; number += 1) await deploy(number);
    })(),
    (async () => {
      for (let number = 2; !state.isOver; number += 1) await setVariable(number);
    })(),
    (async () => {
      for (let number = 2; !state.isOver; number += 1) await setState(number);
    })(),
  ]);
  await until("eleven deploys", () => acknowledged.deploy >= 11);
  const before = { ...acknowledged };
  const archive = join(folder, "backup.tar");
  const saved = await aloft(["backup", archive, "--json"], server);
  state.isOver = true;
  await working;
  assert.equal(saved.code, 0, saved.err);
  assert.equal((await stat(archive)).mode & 0o777, 0o600);
  await server.kill("SIGKILL");
  const originalVersion = await nextVersion(data);

  // A damaged or cut archive is refused and leaves nothing.
  const whole = await readFile(archive);
  const target = join(folder, "restored");
  const broken = join(folder, "broken.tar");
  await writeFile(broken, whole);
  await truncate(broken, whole.length >> 1);
  const cut = await aloft(["restore", broken, "--data", target]);
  assert.equal(cut.code, 1);
  assert.match(cut.err, /ARCHIVE_DAMAGED.*ends in the middle/);
  whole[whole.length >> 1]! ^= 1;
  await writeFile(broken, whole);
  assert.match((await aloft(["restore", broken, "--data", target])).err, /ARCHIVE_DAMAGED/);
  assert.deepEqual(await readdir(target), []);
  assert.match((await aloft(["restore", archive, "--data", data])).err, /DATA_NOT_EMPTY/);

  const restored = await aloft(["restore", archive, "--data", target]);
  assert.equal(restored.code, 0, restored.err);
  assert.ok((await nextVersion(target)) > originalVersion);
  const second = await served(target);
  scope.after(() => second.kill("SIGKILL"));
  const text = await (await second.fetch("app", "/")).text();
  const live = Number(/^v(\d+) /.exec(text)?.[1]);
  assert.ok(live >= before.deploy && live <= acknowledged.deploy, `${text}, acknowledged before: v${before.deploy}`);
  const [kept = "", text1 = ""] = (await (await second.fetch("app", "/state")).text()).split(" ");
  assert.ok(Number(kept) >= before.state && Number(kept) <= acknowledged.state, `${kept}, before: ${before.state}`);
  assert.equal(text1, `blob-${kept}`);
  const names = (await second.client.listVariables("app", "other")).map(({ name }) => name);
  assert.ok(names.length >= Math.min(50, before.variable), `${names.length} names of ${before.variable}`);
  assert.ok((await second.client.listDeployments("app")).length >= 10);
  // Rolled back to what was not live: its contents are there as well.
  await second.client.rollback("app", { alias: "production" });
  assert.match(await (await second.fetch("app", "/")).text(), /^v\d+ /);
});

test("a backup to the output is the same archive; where no server is it fails and leaves no file", async (t) => {
  const scope = lastFirst(t);
  const folder = await temporaryFolder(scope, { "app/index.mjs": "export default { fetch: () => new Response() };" });
  const server = await served(join(folder, "data"));
  scope.after(() => server.kill("SIGKILL"));
  await server.deploy(join(folder, "app"));
  const { PATH = "", HOME = "" } = process.env;
  const env = { PATH, HOME, ALOFT_TOKEN: testToken, ALOFT_SERVER: server.client.server };
  const piped = await promisify(execFile)(process.execPath, [bin, "backup", "-"], {
    env,
    encoding: "buffer",
    maxBuffer: 2 ** 28,
  });
  assert.match(piped.stderr.toString(), /the output has the keyspace/);
  const archive = join(folder, "piped.tar");
  await writeFile(archive, piped.stdout);
  assert.equal((await aloft(["restore", archive, "--data", join(folder, "restored"), "--json"])).code, 0);
  const curl = await fetch(`${server.client.server}/v1/backup`, { headers: { authorization: `Bearer ${testToken}` } });
  assert.equal(curl.headers.get("content-type"), "application/x-tar");
  assert.equal(
    createHash("sha256")
      .update(Buffer.from(await curl.arrayBuffer()))
      .digest().length,
    32,
  );
  await server.kill("SIGTERM");
  const gone = await aloft(["backup", join(folder, "gone.tar")], server);
  assert.deepEqual([gone.code, (await readdir(folder)).filter((name) => name.startsWith("gone"))], [1, []]);
  assert.match(gone.err, /SERVER_UNREACHABLE/);
});
