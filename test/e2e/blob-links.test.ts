/** Signed links of blobs over the real door: what they move, what they refuse, and that nobody else answers at their path. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { main } from "../../src/cli/main.ts";
import { sendTo } from "../kit/link-client.ts";
import { RawClient } from "../kit/raw-client.ts";
import { startTestServer, testToken, type TestServer } from "../kit/server.ts";
import { until } from "../kit/until.ts";

let server: TestServer;
const ends: (() => Promise<void>)[] = [];

const code = `
  import { blob, http, kv, queue } from "aloft";
  const files = blob("files");
  const heard = kv("heard");
  export const link = http("POST /link", async (request) => {
    const { way, key, ...options } = await request.json();
    return new Response(way === "up" ? await files.uploadUrl(key, options) : await files.downloadUrl(key, options));
  });
  export const read = http("GET /read", async (request) => {
    const found = await files.get(new URL(request.url).searchParams.get("key"));
    return found === null ? new Response("none", { status: 404 }) : new Response(found.body);
  });
  export const told = files.onCreated({ prefix: "told/" }, async ({ key, size, contentType }) => {
    await heard.set(key, { size, contentType });
  });
  export const hear = http("GET /heard", async (request) => Response.json(await heard.get(new URL(request.url).searchParams.get("key"))));
  export const later = queue("later", async ([message]) => {
    await heard.set("link", await files.downloadUrl("later/é ?&.txt"));
  });
  export const send = http("POST /later", async () => { await later.send(1); return new Response(); });
  export default { fetch: (request) => new Response("the app's own: " + new URL(request.url).pathname) };
`;

before(async () => {
  server = await startTestServer({ after: (end: () => Promise<void>) => void ends.push(end) });
  await server.deployFiles("first", { "index.ts": code });
  await server.deployFiles("album", { "index.ts": code });
  await server.deployFiles("album", { "index.ts": code }, "preview");
});

after(async () => {
  for (const end of ends.toReversed()) await end();
});

async function linkTo(way: "up" | "down", key: string, options: object = {}): Promise<string> {
  const response = await server.fetch("album", "/link", {
    method: "POST",
    body: JSON.stringify({ way, key, ...options }),
  });
  const url = await response.text();
  assert.equal(response.status, 200, url);
  return url;
}

const uploadsUnderWay = (): Promise<string[]> => readdir(join(server.dataDir, "run", "uploads"));
const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

test("what is put through a link is a blob as any other, and is got through one", async () => {
  const bytes = Buffer.alloc(1_500_000, "0123456789");
  const key = "told/a b+c/ü?.png";
  const put = await sendTo(await linkTo("up", key), "PUT", { body: bytes, headers: { "content-type": "image/png" } });
  assert.equal(put.status, 201, put.body.toString());
  assert.deepEqual(JSON.parse(put.body.toString()), { store: "files", key, size: 1_500_000, hash: hashOf(bytes) });
  const read = await server.fetch("album", `/read?key=${encodeURIComponent(key)}`);
  assert.ok(Buffer.from(await read.arrayBuffer()).equals(bytes));
  await until("the function is told of it", async () => {
    const heard = await (await server.fetch("album", `/heard?key=${encodeURIComponent(key)}`)).json();
    return JSON.stringify(heard) === `{"size":1500000,"contentType":"image/png"}`;
  });

  const link = await linkTo("down", key);
  const got = await sendTo(link, "GET");
  assert.equal(got.status, 200);
  assert.ok(got.body.equals(bytes));
  const head = await sendTo(link, "HEAD");
  assert.deepEqual([head.status, head.body.length, head.headers["content-length"]], [200, 0, "1500000"]);
  for (const { headers } of [got, head]) {
    assert.equal(headers["content-type"], "image/png");
    assert.equal(headers.etag, `"${hashOf(bytes)}"`);
    assert.equal(headers["content-disposition"], `attachment; filename="_?.png"; filename*=UTF-8''%C3%BC%3F.png`);
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.match(String(headers["content-security-policy"]), /default-src 'none'.*sandbox/);
    assert.equal(headers["referrer-policy"], "no-referrer");
  }
  const shown = await sendTo(await linkTo("down", key, { disposition: "inline", filename: "a.png" }), "HEAD");
  assert.equal(shown.headers["content-disposition"], `inline; filename="a.png"`);
});

test("a download is given in parts, and not again to who has it", async () => {
  const body = "0123456789".repeat(120_000);
  await sendTo(await linkTo("up", "parts"), "PUT", { body });
  const link = await linkTo("down", "parts");
  const etag = `"${hashOf(Buffer.from(body))}"`;
  const table: [headers: Record<string, string>, status: number, range: string | undefined, body: string][] = [
    [{ range: "bytes=1000001-1000007" }, 206, "bytes 1000001-1000007/1200000", "1234567"],
    [{ range: "bytes=-3" }, 206, "bytes 1199997-1199999/1200000", "789"],
    [{ range: "bytes=1199999-" }, 206, "bytes 1199999-1199999/1200000", "9"],
    [{ range: "bytes=0-9", "if-range": etag }, 206, "bytes 0-9/1200000", "0123456789"],
    [{ range: "bytes=0-9", "if-range": `"other"` }, 200, undefined, body],
    [{ range: "bytes=0-1,4-5" }, 200, undefined, body],
    [{ "if-none-match": `"other", W/${etag}` }, 304, undefined, ""],
    [{ "if-none-match": `"other"` }, 200, undefined, body],
  ];
  for (const [headers, status, range, expected] of table) {
    const answer = await sendTo(link, "GET", { headers });
    assert.deepEqual([answer.status, answer.headers["content-range"]], [status, range], JSON.stringify(headers));
    assert.ok(answer.body.toString() === expected, JSON.stringify(headers));
  }
  const none = await sendTo(link, "GET", { headers: { range: "bytes=1200000-" } });
  assert.deepEqual([none.status, none.code, none.headers["content-range"]], [416, "RANGE_INVALID", "bytes */1200000"]);
});

test("an empty blob is put and got", async () => {
  assert.equal((await sendTo(await linkTo("up", "empty"), "PUT")).status, 201);
  const link = await linkTo("down", "empty");
  const got = await sendTo(link, "GET");
  assert.deepEqual([got.status, got.body.length, got.headers["content-length"]], [200, 0, "0"]);
  assert.equal((await sendTo(link, "GET", { headers: { range: "bytes=0-" } })).status, 416);
});

test("what is no link of the app, or not for this, is refused and says why", async () => {
  const up = await linkTo("up", "refused", { maxBytes: 100, contentType: "text/plain" });
  const down = await linkTo("down", "refused");
  const changed = (url: string, change: (url: URL) => void): string => {
    const copy = new URL(url);
    change(copy);
    return copy.href;
  };
  const withQuery = (url: string, name: string, value: string): string =>
    changed(url, ({ searchParams }) => searchParams.set(name, value));
  const atHost = (url: string, app: string): string => changed(url, (copy) => (copy.hostname = `${app}.localhost`));
  const table: [url: string, method: string, status: number, code: string][] = [
    [withQuery(up, "max", "1000000"), "PUT", 403, "LINK_INVALID"],
    [withQuery(up, "key", "other"), "PUT", 403, "LINK_INVALID"],
    [withQuery(down, "key", "other"), "GET", 403, "LINK_INVALID"],
    [withQuery(down, "signature", "x".repeat(43)), "HEAD", 403, ""],
    [atHost(down, "first"), "GET", 403, "LINK_INVALID"],
    [atHost(down, "preview--album"), "GET", 403, "LINK_INVALID"],
    [atHost(down, "nobody"), "GET", 404, "APP_NOT_FOUND"],
    [changed(up, (url) => (url.pathname = "/.aloft/blob/download")), "GET", 403, "LINK_INVALID"],
    [up, "GET", 405, "METHOD_NOT_ALLOWED"],
    [up, "POST", 405, "METHOD_NOT_ALLOWED"],
    [down, "PUT", 405, "METHOD_NOT_ALLOWED"],
    [down, "DELETE", 405, "METHOD_NOT_ALLOWED"],
    [down, "GET", 404, "BLOB_NOT_FOUND"],
  ];
  for (const [url, method, status, code] of table) {
    const answer = await sendTo(url, method);
    assert.deepEqual([answer.status, answer.code], [status, code], `${method} ${url}`);
    if (status === 405) assert.equal(answer.headers.allow, url === up ? "PUT" : "GET, HEAD");
  }
  const html = { body: "<p>", headers: { "content-type": "text/html" } };
  assert.equal((await sendTo(up, "PUT", html)).code, "CONTENT_TYPE_REFUSED");
  assert.equal((await sendTo(down, "GET")).code, "BLOB_NOT_FOUND");
});

test("an upload over the link's size is cut off while it comes, and leaves nothing", async () => {
  const link = await linkTo("up", "sized", { maxBytes: 1_000_000 });
  const announced = await sendTo(link, "PUT", { body: Buffer.alloc(1_000_001) });
  assert.deepEqual([announced.status, announced.code], [413, "BODY_TOO_LARGE"]);
  let sent = 0;
  async function* endless(): AsyncGenerator<Buffer> {
    for (;;) {
      yield Buffer.alloc(100_000);
      sent += 100_000;
    }
  }
  const streamed = await sendTo(link, "PUT", { body: endless() });
  assert.deepEqual([streamed.status, streamed.code], [413, "BODY_TOO_LARGE"]);
  assert.ok(sent < 100_000_000, `${sent} bytes were taken`);
  assert.deepEqual(await uploadsUnderWay(), []);
  assert.equal((await server.fetch("album", "/read?key=sized")).status, 404);
  assert.equal((await sendTo(link, "PUT", { body: Buffer.alloc(1_000_000) })).status, 201);
});

test("an upload whose client goes away leaves nothing behind", async () => {
  const { pathname, search, host } = new URL(await linkTo("up", "aborted"));
  const client = await RawClient.open(server.http);
  client.send(`PUT ${pathname}${search} HTTP/1.1\r\nhost: ${host}\r\ncontent-length: 1000000\r\n\r\n`);
  client.send("x".repeat(500_000));
  await until("it has begun", async () => (await uploadsUnderWay()).length === 1);
  client.close();
  await until("it is gone", async () => (await uploadsUnderWay()).length === 0);
  assert.equal((await server.fetch("album", "/read?key=aborted")).status, 404);
  const record = await until("it has a record", async () =>
    (await server.client.listInvocations("album", { limit: 10 })).find((one) => one.status === 499),
  );
  assert.deepEqual([record.subject, record.function], ["PUT /.aloft/blob/upload", ""]);
});

test("a link that was for a new blob is good for one upload", async () => {
  const link = await linkTo("up", "once", { ifAbsent: true });
  assert.equal((await sendTo(link, "PUT", { body: "one" })).status, 201);
  const again = await sendTo(link, "PUT", { body: "two" });
  assert.deepEqual([again.status, again.code], [412, "BLOB_EXISTS"]);
  assert.equal(await (await server.fetch("album", "/read?key=once")).text(), "one");
});

test("a link is good until it expires", async () => {
  await sendTo(await linkTo("up", "short"), "PUT", { body: "x" });
  const link = await linkTo("down", "short", { expiresIn: "1s" });
  const answer = await until("it has expired", async () => {
    const answer = await sendTo(link, "GET");
    return answer.status === 200 ? null : answer;
  });
  assert.deepEqual([answer.status, answer.code], [403, "LINK_EXPIRED"]);
});

test("a page of another host may use a link", async () => {
  const link = await linkTo("up", "page");
  const asked = await sendTo(link, "OPTIONS", {
    headers: { origin: "https://elsewhere.example", "access-control-request-method": "PUT" },
  });
  assert.equal(asked.status, 204);
  assert.equal(asked.headers["access-control-allow-methods"], "PUT");
  assert.match(asked.headers["access-control-allow-headers"] ?? "", /content-type/);
  for (const answer of [asked, await sendTo(link, "PUT", { body: "x" }), await sendTo(link, "GET")])
    assert.equal(answer.headers["access-control-allow-origin"], "*");
});

test("a link leads to where its request came to, if the app answers there to everyone", async () => {
  const port = new URL(server.http).port;
  const ask = async (url: string, options = {}): Promise<string> =>
    (await sendTo(url, "POST", { body: '{"way":"down","key":"a"}', ...options })).body.toString();
  assert.match(await ask(`http://album.localhost:${port}/link`), new RegExp(`^http://album\\.localhost:${port}/`));
  assert.match(
    await ask(`http://preview--album.localhost:${port}/link`),
    new RegExp(`^http://preview--album\\.localhost:${port}/`),
  );
  // Only the header says which app is meant, and the link's client will not send it.
  assert.match(
    await ask(`http://127.0.0.1:${port}/link`, { headers: { "aloft-app": "album" } }),
    new RegExp(`^http://album\\.localhost:${port}/`),
  );
  assert.match(await ask(`http://127.0.0.1:${port}/link`), new RegExp(`^http://127\\.0\\.0\\.1:${port}/`));
  assert.match(await linkTo("down", "a", { origin: "https://cdn.example" }), /^https:\/\/cdn\.example\/\.aloft\//);
  await server.fetch("album", "/later", { method: "POST" });
  const later = await until(
    "an event's handler has one",
    async () => (await (await server.fetch("album", "/heard?key=link")).json()) as string | null,
  );
  assert.ok(later.startsWith(`http://album.localhost:${port}/.aloft/blob/download?`), later);
  assert.equal((await sendTo(later, "GET")).code, "BLOB_NOT_FOUND");
});

test("no app answers below /.aloft/, however it is written", async () => {
  for (const path of ["/.aloft", "/.aloft/", "/.aloft/blob", "/%2Ealoft/x", "/.%61loft/blob/upload/x"]) {
    const answer = await sendTo(`http://album.localhost:${new URL(server.http).port}${path}`, "GET");
    assert.deepEqual([answer.status, answer.code], [404, "ROUTE_NOT_FOUND"], path);
  }
  for (const path of ["/.aloftx", "/a/.aloft/", "//.aloft/x", "/.ALOFT/x"]) {
    const response = await server.fetch("album", path);
    assert.equal(await response.text(), `the app's own: ${path}`);
  }
  for (const route of ["/.aloft/blob/:x", "GET /.aloft", "/.aloft/*", "/.aloft*"]) {
    const files = {
      "index.ts": `import { http } from "aloft"; export const a = http("${route}", () => new Response());`,
    };
    await assert.rejects(server.deployFiles("claims", files), /belongs to the platform/, route);
  }
});

async function aloft(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const flags = ["--server", server.admin, "--token", testToken];
  const streams = { stdin: Object.assign(new PassThrough(), { isTTY: false }), stdout, stderr };
  const [out, err, code] = await Promise.all([
    text(stdout),
    text(stderr),
    main([...words, ...flags], streams).finally(() => [stdout, stderr].forEach((one) => one.end())),
  ]);
  return { code, out, err };
}

test("aloft blobs link prints links for both ways", async () => {
  const limited = ["--expires", "10m", "--max-size", "1KiB", "--type", "text/plain", "--once"];
  const up = await aloft("blobs", "link", "album", "files", "cli", "--upload", ...limited);
  assert.deepEqual([up.code, up.err], [0, ""]);
  const url = up.out.trim();
  assert.equal((await sendTo(url, "PUT", { body: Buffer.alloc(1025) })).code, "BODY_TOO_LARGE");
  assert.equal((await sendTo(url, "PUT", { body: "from the command line" })).status, 201);
  assert.equal((await sendTo(url, "PUT", { body: "again" })).code, "BLOB_EXISTS");
  const json = await aloft("blobs", "link", "album", "files", "cli", "--inline", "--filename", "a.txt", "--json");
  const down = JSON.parse(json.out) as { url: string; method: string; expiresAtMs: number };
  assert.equal(down.method, "GET");
  const got = await sendTo(down.url, "GET");
  assert.equal(got.body.toString(), "from the command line");
  assert.equal(got.headers["content-disposition"], `inline; filename="a.txt"`);
  for (const words of [
    ["--max-size", "1KiB"],
    ["--expires", "soon"],
    ["--upload", "--inline"],
  ]) {
    assert.equal((await aloft("blobs", "link", "album", "files", "cli", ...words)).code, 2, words.join(" "));
  }
  const long = await aloft("blobs", "link", "album", "files", "cli", "--expires", "31d");
  assert.deepEqual([long.code, /"expiresInMs" must be/.test(long.err)], [1, true]);
});
