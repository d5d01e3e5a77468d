/** `runtime: command`: programs that know nothing of Aloft are apps, and fail in words that say why. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import { startTestServer } from "../kit/server.ts";
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
});
