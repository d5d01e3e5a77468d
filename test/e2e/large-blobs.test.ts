/**
 * Blobs larger than any process may hold, by every way there is: the server, the handler's process and the command line stay
 * where they were, give or take some pieces. 300 MB (over the local API 160); with ALOFT_SOAK (`npm run soak`) 4 GB.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { after, before, test } from "node:test";
import { type AloftProcess, served } from "../kit/aloft-process.ts";
import { sendTo } from "../kit/link-client.ts";
import { watchPeak } from "../kit/peak-memory.ts";
import { pythonMissing } from "../kit/python.ts";
import { temporaryFolder, testToken } from "../kit/server.ts";

const MiB = 1024 * 1024;
const isSoak = process.env["ALOFT_SOAK"] !== undefined;
const size = (isSoak ? 4096 : 300) * MiB;
/** What travels as base64 takes several times as long. */
const localSize = (isSoak ? 4096 : 160) * MiB;
/** Some pieces, and garbage that is not collected yet: measured 0 to 110 MiB, and the same for 4 GB. */
const riseMax = 170 * MiB;

const localRiseMax = 110 * MiB;

const noPython = pythonMissing();
const ends: (() => Promise<void>)[] = [];
const scope = { after: (end: () => Promise<void>): void => void ends.push(end) };
let server: AloftProcess;
let folder: string;

const handler = `
  import { blob, http } from "aloft";
  const files = blob("files");
  function* pieces(size) {
    for (let at = 0; at < size; at += 65536) {
      const piece = new Uint8Array(65536);
      new DataView(piece.buffer).setFloat64(0, at);
      yield piece;
    }
  }
  export const all = http("/*", { timeout: "15m" }, async (request) => {
    switch (new URL(request.url).pathname) {
      case "/pid":
        return Response.json([process.pid]);
      case "/put":
        await files.put("handler", ReadableStream.from(pieces(await request.json())));
        return Response.json(await files.head("handler"));
      case "/get":
        return new Response((await files.get("handler")).body);
      case "/up":
        return new Response(await files.uploadUrl("linked"));
      case "/down":
        return new Response(await files.downloadUrl("linked"));
    }
  });
`;

/** Puts what the handler has made, and sums what it gets back. */
const program = `
  import { createServer, request } from "node:http";
  import { createHash } from "node:crypto";
  const socketPath = process.env.ALOFT_STATE_SOCKET;
  createServer(async ({ url }, response) => {
    const hash = createHash("sha256");
    const outgoing = request({ socketPath, method: url === "/pid" ? "GET" : url.slice(1, 4), path: "/blobs/files/local" });
    if (url === "/pid") return response.end(JSON.stringify([process.pid, process.ppid]));
    outgoing.once("response", async (answer) => {
      let bytes = 0;
      for await (const chunk of answer) { hash.update(chunk); bytes += chunk.length; }
      response.end(JSON.stringify({ status: answer.statusCode, hash: hash.digest("hex"), bytes }));
    });
    if (url.startsWith("/GET")) return outgoing.end();
    for (let left = Number(url.slice(5)); left > 0; left -= 65536) {
      const piece = Buffer.alloc(65536, left % 251);
      hash.update(piece);
      if (!outgoing.write(piece)) await new Promise((resolve) => outgoing.once("drain", resolve));
    }
    outgoing.end();
  }).listen(process.env.PORT);
`;

const pythonCode = `
import hashlib, http.client, json, os, socket

class State(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["ALOFT_STATE_SOCKET"])

def work(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("content-type", "application/json")])
    if path == "/pid":
        return [json.dumps([os.getpid()]).encode()]
    sha, state, size = hashlib.sha256(), State("state"), 0
    if path.startswith("/PUT"):
        def pieces():
            for left in range(int(path[5:]), 0, -65536):
                piece = bytes([left % 251]) * 65536
                sha.update(piece)
                yield piece
        state.request("PUT", "/blobs/files/local", pieces(), {"content-length": path[5:]})
        answer = state.getresponse()
        answer.read()
    else:
        state.request("GET", "/blobs/files/local")
        answer = state.getresponse()
        while True:
            piece = answer.read(65536)
            if not piece:
                break
            sha.update(piece)
            size += len(piece)
    return [json.dumps({"status": answer.status, "hash": sha.hexdigest(), "bytes": size}).encode()]
`;

before(async () => {
  folder = await temporaryFolder(scope, {
    "apps/large/index.ts": handler,
    "apps/plain/server.mjs": program,
    "apps/plain/aloft.json": JSON.stringify({
      functions: {
        work: { command: ["node", "server.mjs"], memoryMiB: 256, timeout: "15m", triggers: [{ http: "/*" }] },
      },
    }),
    "apps/snake/app.py": pythonCode,
    "apps/snake/aloft.json": JSON.stringify({
      functions: { work: { runtime: "python", handler: "app.work", timeout: "15m", triggers: [{ http: "/*" }] } },
    }),
  });
  server = await served(join(folder, "data"));
  scope.after(() => server.kill("SIGTERM"));
  for (const app of ["large", "plain", ...(noPython === null ? ["snake"] : [])])
    await server.deploy(join(folder, "apps", app));
});

after(async () => {
  for (const end of ends.toReversed()) await end();
});

function* pieces(seed: number): Generator<Buffer> {
  for (let at = 0; at < size; at += 65_536) {
    const piece = Buffer.alloc(65_536, seed);
    piece.writeDoubleLE(at);
    yield piece;
  }
}

/** Fails when one of the processes, the server among them, rises while `work` is done. */
async function inLittleMemory<T>(
  what: string,
  pids: readonly number[],
  work: () => Promise<T>,
  most = riseMax,
): Promise<T> {
  const watched = [server.child.pid ?? 0, ...pids];
  const peaks = await Promise.all(watched.map((pid) => watchPeak(pid)));
  const result = await work();
  for (const [index, peak] of peaks.entries()) {
    const risen = await peak.risen();
    assert.ok(risen < most, `${what}: ${index === 0 ? "the server" : "the function"} rose by ${risen} bytes`);
  }
  return result;
}

/** The body's hash, taken as it comes. */
async function hashOf(chunks: AsyncIterable<Uint8Array>): Promise<{ hash: string; bytes: number }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of chunks) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { hash: hash.digest("hex"), bytes };
}

/** Not by fetch, which waits no longer than five minutes for an answer to begin. */
async function ask<T>(app: string, path: string, body = ""): Promise<T> {
  const method = body === "" ? "GET" : "POST";
  const answer = await sendTo(`${server.http}${path}`, method, { body, headers: { "aloft-app": app } });
  const text = answer.body.toString();
  assert.equal(answer.status, 200, text);
  return (text.startsWith("http") ? text : JSON.parse(text)) as T;
}

test("by a handler", async () => {
  const pids = await ask<number[]>("large", "/pid");
  const { hash } = await inLittleMemory("put by a handler", pids, async () =>
    ask<{ hash: string }>("large", "/put", String(size)),
  );
  const got = await inLittleMemory("got by a handler", pids, async () =>
    hashOf((await server.fetch("large", "/get")).body as AsyncIterable<Uint8Array>),
  );
  assert.deepEqual(got, { hash, bytes: size });
});

test("through signed links", async () => {
  const up = await ask<string>("large", "/up");
  const sent = createHash("sha256");
  async function* body(): AsyncGenerator<Buffer> {
    for (const piece of pieces(1)) {
      sent.update(piece);
      yield piece;
    }
  }
  const put = await inLittleMemory("put through a link", [], () => sendTo(up, "PUT", { body: body() }));
  const hash = sent.digest("hex");
  assert.deepEqual([put.status, (JSON.parse(put.body.toString()) as { hash: string }).hash], [201, hash]);
  const { host, pathname, search, port } = new URL(await ask<string>("large", "/down"));
  const got = await inLittleMemory("got through a link", [], async () => {
    const outgoing = request({ host: "127.0.0.1", port, path: `${pathname}${search}`, headers: { host } }).end();
    const [response] = (await once(outgoing, "response")) as [AsyncIterable<Uint8Array>];
    return await hashOf(response);
  });
  assert.deepEqual(got, { hash, bytes: size });
});

function aloft(...words: string[]): { child: ChildProcess; done: Promise<string> } {
  const bin = join(import.meta.dirname, "..", "..", "bin", "aloft");
  const { PATH = "", HOME = "" } = process.env;
  const child = spawn(process.execPath, [bin, ...words, "--server", server.client.server], {
    env: { PATH, HOME, ALOFT_TOKEN: testToken },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const done = Promise.all([text(child.stdout), once(child, "close")]).then(([out, [code]]) => {
    assert.equal(code, 0, out);
    return out;
  });
  return { child, done };
}

test("by aloft blobs put and get", async () => {
  const [source, copy] = [join(folder, "source"), join(folder, "copy")];
  await pipeline(() => pieces(2), createWriteStream(source));
  for (const [what, words] of [
    ["put by the command line", ["put", "large", "files", "cli", source]],
    ["got by the command line", ["get", "large", "files", "cli", copy]],
  ] as const) {
    await inLittleMemory(what, [], async () => {
      const { child, done } = aloft("blobs", ...words);
      const peak = await watchPeak(child.pid ?? 0);
      let risen = 0;
      const looking = setInterval(
        () =>
          void peak.risen().then(
            (now) => (risen = now),
            () => {},
          ),
        20,
      );
      await done.finally(() => clearInterval(looking));
      assert.ok(risen > 0, "its memory was not seen");
      // From the moment it was started: Node itself takes some 60 MiB.
      assert.ok(risen < riseMax + 60 * MiB, `${what}: the command rose by ${risen} bytes`);
    });
  }
  assert.equal((await stat(copy)).size, size);
  assert.deepEqual(await hashOf(createReadStream(copy)), await hashOf(createReadStream(source)));
  await Promise.all([rm(source), rm(copy)]);
});

for (const [what, app, skip] of [
  ["a program, over the local API", "plain", null],
  ["Python, over the local API", "snake", noPython],
] as const) {
  test(`by ${what}`, { skip: skip ?? false }, async () => {
    const pids = await ask<number[]>(app, "/pid");
    const put = await inLittleMemory(
      `put by ${what}`,
      pids,
      () => ask<{ status: number; hash: string }>(app, `/PUT/${localSize}`),
      localRiseMax,
    );
    assert.equal(put.status, 204);
    const got = await inLittleMemory(`got by ${what}`, pids, () => ask<object>(app, "/GET"), localRiseMax);
    assert.deepEqual(got, { status: 200, hash: put.hash, bytes: localSize });
  });
}
