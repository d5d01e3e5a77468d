/** `runtime: command`: programs that know nothing of Aloft are apps, and fail in words that say why. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { copyPackage } from "../kit/copied-package.ts";
import { pythonMissing } from "../kit/python.ts";
import { startTestServer, temporaryFolder } from "../kit/server.ts";
import { until } from "../kit/until.ts";

const server = await startTestServer({ after }, { mode: "serve" });

const plainServer = `
  import { createServer } from "node:http";
  let open = 0;
  const server = createServer(async (request, response) => {
    const { method, url, headers } = request;
    if (url === "/crash") process.exit(7);
    if (url === "/cut") { response.writeHead(200, { "content-length": "10" }); response.write("half"); request.socket.destroySoon(); return; }
    if (url === "/reset") { request.socket.destroy(); return; }
    if (url === "/echo") { response.writeHead(200, { "x-length": headers["content-length"] ?? "" }); request.pipe(response); return; }
    console.log("got " + url);
    response.setHeader("set-cookie", ["a=1", "b=2"]);
    response.end(JSON.stringify({ method, url, host: headers.host, pid: process.pid, KEY: process.env.KEY }));
  });
  server.listen(process.env[process.argv[2] ?? "PORT"]);
`;

suite("programs that answer HTTP by themselves", () => {
  test("a server on $PORT answers every path, and its output is logged", async () => {
    const deployed = await server.deployFiles("plain", {
      "server.mjs": plainServer,
      "aloft.json": `{ "command": ["node", "server.mjs"] }`,
    });
    assert.deepEqual(
      deployed.functions.map(({ name, style, runtime, group }) => ({ name, style, runtime, group })),
      [{ name: "default", style: "server", runtime: "command", group: "default" }],
    );
    const response = await server.fetch("plain", "/a/b?c=d%20e");
    assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
    assert.partialDeepStrictEqual(await response.json(), { method: "GET", url: "/a/b?c=d%20e" });
    await until("its line", async () =>
      (await server.client.listLogs("plain", {})).some(({ message }) => message === "got /a/b?c=d%20e"),
    );
  });

  test("it may listen on $ALOFT_SOCKET instead, and bodies stream both ways", async () => {
    await server.deployFiles("socket", {
      "server.mjs": plainServer,
      "aloft.json": `{ "command": ["node", "server.mjs", "ALOFT_SOCKET"], "ready": "/" }`,
    });
    const body = "0123456789".repeat(200_000);
    const response = await server.fetch("socket", "/echo", { method: "POST", body });
    assert.equal(response.headers.get("x-length"), String(body.length));
    assert.equal(await response.text(), body);
  });

  test("one that ends, breaks off or refuses is the app's fault, and the next request has another process", async () => {
    const codeOf = async (path: string): Promise<unknown> => {
      const response = await server.fetch("plain", path);
      return [response.status, ((await response.json()) as { code: string }).code];
    };
    const first = (await (await server.fetch("plain", "/")).json()) as { pid: number };
    assert.deepEqual(await codeOf("/reset"), [502, "FUNCTION_BAD_RESPONSE"]);
    assert.deepEqual(await codeOf("/cut"), [502, "FUNCTION_BAD_RESPONSE"]);
    assert.deepEqual(await codeOf("/crash"), [502, "FUNCTION_CRASHED"]);
    const next = (await (await server.fetch("plain", "/")).json()) as { pid: number };
    assert.notEqual(next.pid, first.pid);
  });

  test("what cannot be started is told at the deploy, with the program's own words", async () => {
    const failing: [name: string, files: Record<string, string>, code: string, message: RegExp][] = [
      ["missing", { "aloft.json": `{ "command": ["./server"] }` }, "DESCRIBE_FAILED", /server, which is not among/],
      ["plain-file", { server: "x", "aloft.json": `{ "command": ["./server"] }` }, "DESCRIBE_FAILED", /not executable/],
      [
        "unknown",
        { "aloft.json": `{ "command": ["no-such-program"] }` },
        "FUNCTION_START_FAILED",
        /no no-such-program/,
      ],
      [
        "ends",
        { "a.mjs": `console.error("no database"); process.exit(3);`, "aloft.json": `{ "command": ["node", "a.mjs"] }` },
        "FUNCTION_START_FAILED",
        /ended with exit code 3 before it was ready\nno database/,
      ],
      [
        "handler",
        { "aloft.json": `{ "command": ["node"], "handler": "a.b" }` },
        "CONFIG_INVALID",
        /"handler" is not of/,
      ],
    ];
    for (const [name, files, code, message] of failing) {
      await assert.rejects(server.deployFiles(name, files), { code, message });
    }
  });

  test("an unmodified Express app streams, and gets SIGTERM when a new deployment takes its place", async (t) => {
    const folder = await temporaryFolder(t, {
      "shop/server.js": `
        const express = require("express");
        const app = express();
        app.use(express.json());
        app.get("/health", (request, response) => response.sendStatus(health));
        app.get("/items/:id", (request, response) => response.json({ id: request.params.id, ip: request.ip }));
        app.post("/items", (request, response) => response.status(201).json(request.body));
        app.get("/ticks", (request, response) => {
          response.type("text/event-stream");
          let tick = 0;
          const timer = setInterval(() => {
            response.write("data: " + (tick += 1) + "\\n\\n");
            if (tick === 3) { clearInterval(timer); response.end(); }
          }, 5);
        });
        app.get("/endless", (request, response) => {
          console.log("endless begins");
          response.type("text/plain").write("begun");
          response.on("close", () => console.log("endless was left"));
        });
        let health = 503;
        const server = app.listen(process.env.PORT, () => setTimeout(() => (health = 200), 50));
        process.on("SIGTERM", () => server.close(() => { console.log("closed in order"); process.exit(0); }));
      `,
      "shop/aloft.json": `{ "command": ["node", "server.js"], "ready": "/health" }`,
    });
    const dir = join(folder, "shop");
    await copyPackage("express", dir);
    await server.deploy(dir);
    const logged = (text: string): Promise<true> =>
      until(text, async () => (await server.client.listLogs("shop", {})).some(({ message }) => message === text));
    assert.equal((await server.fetch("shop", "/health")).status, 200);
    assert.partialDeepStrictEqual(await (await server.fetch("shop", "/items/a%2Fb")).json(), { id: "a/b" });
    const headers = { "content-type": "application/json" };
    const made = await server.fetch("shop", "/items", { method: "POST", body: `{"name":"x"}`, headers });
    assert.deepEqual([made.status, await made.json()], [201, { name: "x" }]);
    assert.equal(await (await server.fetch("shop", "/ticks")).text(), "data: 1\n\ndata: 2\n\ndata: 3\n\n");
    const leaving = new AbortController();
    const endless = await server.fetch("shop", "/endless", { signal: leaving.signal });
    await logged("endless begins");
    leaving.abort();
    await assert.rejects(endless.text());
    await logged("endless was left");
    await writeFile(join(dir, "changed.txt"), "");
    await server.deploy(dir);
    await logged("closed in order");
  });

  test("Python's own http.server is an app", { skip: pythonMissing() ?? false }, async () => {
    await server.deployFiles("static", {
      "public/index.html": "<p>hello</p>",
      "serve.py": `
import http.server, functools, os
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="public")
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), handler).serve_forever()
`,
      "aloft.json": `{ "command": ["python3", "serve.py"] }`,
    });
    const page = await server.fetch("static", "/");
    assert.equal(page.headers.get("content-type"), "text/html");
    assert.equal(await page.text(), "<p>hello</p>");
    assert.equal((await server.fetch("static", "/missing")).status, 404);
  });

  const hasCompiler = spawnSync("gcc", ["--version"]).status === 0;
  if (!hasCompiler) console.log("skipped: there is no gcc on this machine");

  test("a compiled program is an app", { skip: !hasCompiler }, async (t) => {
    const folder = await temporaryFolder(t, { "compiled/aloft.json": `{ "command": ["./server"] }` });
    const source = join(import.meta.dirname, "..", "command", "server.c");
    const compiled = spawnSync("gcc", ["-O1", "-o", join(folder, "compiled", "server"), source], { encoding: "utf8" });
    assert.equal(compiled.status, 0, compiled.stderr);
    await server.deploy(join(folder, "compiled"));
    const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => server.fetch("compiled", `/${n}`)));
    for (const [n, answer] of answers.entries()) assert.equal(await answer.text(), `C got: GET /${n} HTTP/1.1\n`);
  });

  test("a process that is killed from outside fails its request, and nobody else's", async () => {
    const { pid } = (await (await server.fetch("plain", "/")).json()) as { pid: number };
    const body = new TransformStream<Uint8Array, Uint8Array>();
    const writer = body.writable.getWriter();
    const waiting = server.fetch("plain", "/echo", {
      method: "POST",
      body: body.readable,
      duplex: "half",
    });
    await writer.write(new TextEncoder().encode("begun"));
    const response = await waiting;
    process.kill(pid, "SIGKILL");
    await assert.rejects(response.text());
    await writer.abort().catch(() => {});
    const next = (await (await server.fetch("plain", "/")).json()) as { pid: number };
    assert.notEqual(next.pid, pid);
  });
});
