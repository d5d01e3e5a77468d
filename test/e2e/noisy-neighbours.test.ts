/**
 * Functions in containers that take all they can: each is stopped at its own limit, with its own code, and the app beside
 * it goes on answering. What that costs in time is for the benchmark (`bench/neighbours.ts`).
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { limits } from "../../src/contract/limits.ts";
import type { LogLine } from "../../src/contract/observing.ts";
import { ociMissing } from "../../src/sandbox/open-for-test.fixture.ts";
import { lastFirst } from "../kit/scope.ts";
import { startTestServer, type TestServer } from "../kit/server.ts";
import { until } from "../kit/until.ts";

const missing = await ociMissing();
if (missing !== null) console.log(`skipped: ${missing}`);
const hasCompiler = spawnSync("gcc", ["--version"]).status === 0;

const memoryMiB = 128;
const MiB = 1024 * 1024;

/** Forks until it may no more, and says how many there were; with its end they all end. */
const forkBomb = `
  #include <errno.h>
  #include <signal.h>
  #include <stdio.h>
  #include <string.h>
  #include <unistd.h>
  int main(void) {
    setpgid(0, 0);
    int count = 0;
    for (;; count += 1) {
      int child = fork();
      if (child == 0) for (;;) pause();
      if (child < 0) break;
    }
    printf("%s %d\\n", strerrorname_np(errno), count);
    fflush(stdout);
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    return 0;
  }`;

const rude = `
  import { execFile } from "node:child_process";
  import { openSync, closeSync, writeFileSync, writeSync, readdirSync, rmSync } from "node:fs";
  import { connect, createServer } from "node:net";

  /** Acts until that fails: how it failed, and how often it had not. */
  function exhaust(act) {
    for (let count = 0; ; count += 1) {
      try { act(count); } catch (error) { return { code: error.code, count }; }
    }
  }
  const held = [];
  const ways = {
    memory() { for (;;) held.push(Buffer.alloc(1 << 20, 1)); },
    loop() { for (;;); },
    forks: () => new Promise((resolve) => {
      execFile(process.cwd() + "/fork-bomb", (error, out) => {
        const [code, count] = out.trim().split(" ");
        resolve({ code, count: Number(count) });
      });
    }),
    descriptors() {
      const open = [];
      const end = exhaust(() => open.push(openSync("/etc/passwd", "r")));
      for (const each of open) closeSync(each);
      return end;
    },
    inodes: () => exhaust((count) => writeFileSync("/tmp/empty-" + count, "")),
    space() {
      const block = Buffer.alloc(1 << 20);
      return exhaust((count) => writeFileSync("/tmp/full-" + count, block));
    },
    clean() { for (const name of readdirSync("/tmp")) rmSync("/tmp/" + name); return {}; },
    logs() { for (let n = 0; n < 200_000; n += 1) console.log("line " + n); return {}; },
    stdout() {
      const block = Buffer.alloc(1 << 20, "x");
      for (let n = 0; n < 16; n += 1) {
        for (let at = 0; at < block.length; ) {
          try { at += writeSync(1, block, at); } catch (error) { if (error.code !== "EAGAIN") throw error; }
        }
      }
      return {};
    },
    async sockets() {
      const server = createServer(() => {}).listen(0, "127.0.0.1");
      await new Promise((resolve) => server.once("listening", resolve));
      server.on("error", () => {});
      const open = [];
      for (let count = 0; ; count += 1) {
        const code = await new Promise((resolve) => {
          const socket = connect(server.address().port, "127.0.0.1");
          open.push(socket);
          socket.once("connect", () => resolve(null)).once("error", (error) => resolve(error.code));
        });
        if (code === null && count < 100_000) continue;
        for (const socket of open) socket.destroy();
        server.close();
        return { code, count };
      }
    },
  };
  export default { async fetch(request) { return Response.json(await ways[new URL(request.url).pathname.slice(1)]()); } };`;

suite("an app beside others that take all they can", { skip: missing ?? false }, () => {
  const hooks = lastFirst({ after });
  let server: TestServer;

  before(async () => {
    const settings = { sandbox: "oci", sandboxNetwork: "none", zygotes: 2 } as const;
    server = await startTestServer(hooks, { mode: "serve", settings });
    await server.deployFiles("quiet", { "index.js": "export default { fetch: () => new Response('here') };" });
    const folder = mkdtempSync(join(tmpdir(), "aloft-noisy-"));
    hooks.after(() => rmSync(folder, { recursive: true }));
    const own = join(folder, "rude");
    execFileSync("mkdir", [own]);
    writeFileSync(join(own, "index.js"), rude);
    const functions = { default: { memoryMiB, timeout: "20s", concurrency: 1, maxInstances: 4 } };
    writeFileSync(join(own, "aloft.json"), JSON.stringify({ files: hasCompiler ? ["fork-bomb"] : [], functions }));
    if (hasCompiler) {
      writeFileSync(join(folder, "bomb.c"), `#define _GNU_SOURCE\n${forkBomb}`);
      execFileSync("gcc", ["-static", "-O1", "-o", join(own, "fork-bomb"), join(folder, "bomb.c")]);
    }
    await server.deploy(own);
  });

  /** Asks the quiet app again and again, which must answer each time, until the others have answered. */
  async function askQuietlyUntil(answered: Promise<unknown>): Promise<void> {
    const over = answered.then(() => "over");
    do {
      const response = await server.fetch("quiet", "/");
      assert.equal(await response.text(), "here");
    } while ((await Promise.race([over, Promise.resolve("")])) === "");
  }

  /** What the rude app answers. */
  async function besides(way: string): Promise<{ status: number; body: { code?: string; count: number } }> {
    const rudely = server.fetch("rude", `/${way}`);
    await askQuietlyUntil(rudely);
    const response = await rudely;
    return { status: response.status, body: (await response.json()) as { code?: string; count: number } };
  }

  test("memory: the instance ends, with FUNCTION_OUT_OF_MEMORY", async () => {
    const { status, body } = await besides("memory");
    assert.deepEqual([status, body.code], [502, "FUNCTION_OUT_OF_MEMORY"]);
  });

  test("processor time: endless loops end with FUNCTION_TIMEOUT, four of them beside each other too", async () => {
    await server.deployFiles("loops", {
      "index.js": "export default { fetch() { for (;;); } };",
      "aloft.json": `{ "functions": { "default": { "timeout": "1s", "concurrency": 1, "maxInstances": 4 } } }`,
    });
    const loops = Array.from({ length: 4 }, () => server.fetch("loops", "/"));
    await askQuietlyUntil(Promise.all(loops));
    for (const each of loops) {
      const response = await each;
      assert.equal(response.status, 504);
      assert.equal(((await response.json()) as { code: string }).code, "FUNCTION_TIMEOUT");
    }
  });

  test("processes: there are no more than its limit", { skip: hasCompiler ? false : "there is no gcc" }, async () => {
    const { body } = await besides("forks");
    assert.equal(body.code, "EAGAIN");
    assert.ok(body.count > 100 && body.count < limits.processesPerInstance, `${body.count}`);
  });

  test("open files: there are no more than its limit", async () => {
    const { body } = await besides("descriptors");
    assert.equal(body.code, "EMFILE");
    assert.ok(body.count > 1000 && body.count < limits.openFilesPerInstance, `${body.count}`);
  });

  test("sockets: there are no more than open files", async () => {
    const { body } = await besides("sockets");
    assert.ok(body.code === "EMFILE" || body.code === "ECONNRESET", `${body.code}`);
    assert.ok(body.count > 1000 && body.count < limits.openFilesPerInstance, `${body.count}`);
  });

  test("files in /tmp: there is an end to their number and to their bytes", async () => {
    const inodes = await besides("inodes");
    assert.equal(inodes.body.code, "ENOSPC");
    assert.ok(inodes.body.count > 1000 && inodes.body.count <= (memoryMiB * MiB) / 2 / 8192, `${inodes.body.count}`);
    await besides("clean");
    const space = await besides("space");
    assert.equal(space.body.code, "ENOSPC");
    assert.ok(space.body.count <= memoryMiB / 2, `${space.body.count}`);
    await besides("clean");
  });

  test("log lines: more than the rate are dropped, and a line says how many", async () => {
    assert.equal((await besides("logs")).status, 200);
    await until("the count of dropped lines", async () => {
      const lines = await linesOf("rude");
      return lines.some(
        ({ stream, message }) => stream === "platform" && /[0-9]{4,} .*(?:dropped|lines)/.test(message),
      );
    });
  });

  test("output without a line's end is cut into lines of a bounded length", async () => {
    assert.equal((await besides("stdout")).status, 200);
    const cut = await until("the output", async () =>
      (await linesOf("rude")).find(({ message }) => /^x{1000}/.test(message)),
    );
    assert.ok(Buffer.byteLength(cut.message) <= limits.logLineBytes);
  });

  async function linesOf(app: string): Promise<readonly LogLine[]> {
    return await server.client.listLogs(app, { limit: 1000 });
  }
});
