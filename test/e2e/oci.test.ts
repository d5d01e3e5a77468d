/** The whole platform with the `oci` sandbox: what of it differs from processes. */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { ociMissing } from "../../src/sandbox/open-for-test.fixture.ts";
import { runFolderOf } from "../../src/sandbox/oci/oci-sandbox.ts";
import { pythonMissing } from "../kit/python.ts";
import { lastFirst } from "../kit/scope.ts";
import { startTestServer } from "../kit/server.ts";

const missing = await ociMissing();
if (missing !== null) console.log(`skipped: ${missing}`);

const settings = { sandbox: "oci", sandboxNetwork: "none" } as const;

suite("functions in containers", { skip: missing ?? false }, () => {
  test("an app with hundreds of files starts, reads them, and answers", async (t) => {
    const server = await startTestServer(lastFirst(t), { mode: "serve", settings });
    const data = Array.from({ length: 700 }, (_, n) => [`data/${n}.txt`, `file ${n}`] as const);
    await server.deployFiles("files", {
      "index.ts": `import { readFileSync, readdirSync } from "node:fs";
        export default { fetch: () => new Response(readdirSync("data").length + " " + readFileSync("data/699.txt", "utf8")) };`,
      "aloft.json": `{ "files": ["data"] }`,
      ...Object.fromEntries(data),
    });
    assert.equal(await (await server.fetch("files", "/")).text(), "700 file 699");
  });

  test("a function that takes more memory than it has is answered so, and the next request has a new instance", async (t) => {
    const server = await startTestServer(lastFirst(t), { mode: "serve", settings });
    await server.deployFiles("hungry", {
      "index.ts": `const held: Buffer[] = [];
        export default { fetch(request: Request) {
          if (request.url.endsWith("/eat")) for (;;) held.push(Buffer.alloc(1 << 20, 1));
          return new Response("fed");
        } };`,
      "aloft.json": `{ "functions": { "default": { "memoryMiB": 128 } } }`,
    });
    const response = await server.fetch("hungry", "/eat");
    assert.equal(response.status, 502);
    assert.equal(((await response.json()) as { code: string }).code, "FUNCTION_OUT_OF_MEMORY");
    assert.equal(await (await server.fetch("hungry", "/")).text(), "fed");
  });

  test("Python with all of its library, and a program that a shell starts, run as nobody", async (t) => {
    const server = await startTestServer(lastFirst(t), { mode: "serve", settings });
    await server.deployFiles("shell", {
      "server.mjs": `import { createServer } from "node:http";
        createServer((request, response) => response.end([process.getuid(), process.cwd(), process.env.WHO].join(" "))).listen(process.env.PORT);`,
      "aloft.json": `{ "command": ["sh", "-c", "export WHO=$(whoami); exec node server.mjs"] }`,
    });
    assert.equal(await (await server.fetch("shell", "/")).text(), "65534 /var/task nobody");
    if (pythonMissing() !== null) return;
    await server.deployFiles("snake", {
      "app.py": `
import bz2, ctypes, hashlib, lzma, os, sqlite3, ssl, subprocess, zlib

def handler(event, context):
    if event["rawPath"] == "/eat":
        held = []
        while True:
            held.append(bytearray(1 << 20))
    ssl.create_default_context()
    two = sqlite3.connect(":memory:").execute("select 1 + 1").fetchone()[0]
    with open("/tmp/x", "w") as file:
        file.write("mine")
    return f"{os.getuid()} {two} {os.getcwd()}"
`,
      "aloft.json": `{ "functions": { "default": { "memoryMiB": 128 } } }`,
    });
    assert.equal(await (await server.fetch("snake", "/")).text(), "65534 2 /var/task");
    const response = await server.fetch("snake", "/eat");
    assert.equal(((await response.json()) as { code: string }).code, "FUNCTION_OUT_OF_MEMORY");
    assert.equal(await (await server.fetch("snake", "/")).text(), "65534 2 /var/task");
  });

  test("a server that has stopped leaves nothing of its containers", async (t) => {
    const server = await startTestServer(lastFirst(t), { mode: "serve", settings });
    await server.deployFiles("hello", { "index.ts": "export default { fetch: () => new Response('hello') };" });
    assert.equal(await (await server.fetch("hello", "/")).text(), "hello");
    await server.close();
    const containers = join(server.dataDir, "run", "containers");
    assert.deepEqual(readdirSync(containers), []);
    assert.equal(existsSync(runFolderOf(containers)), false);
  });
});
