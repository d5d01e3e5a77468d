/** State as handlers use it: a real server, a real sandboxed process, the SDK. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { before, after, test } from "node:test";
import { main } from "../../src/cli/main.ts";
import { until } from "../kit/until.ts";
import { startTestServer, testToken, temporaryFolder, type TestServer } from "../kit/server.ts";

let server: TestServer;
const ends: (() => Promise<void>)[] = [];

before(async () => {
  server = await startTestServer({ after: (end: () => Promise<void>) => void ends.push(end) });
  await server.deployFiles("shop", { "index.ts": shop });
  await server.deployFiles("album", { "index.ts": album });
});

after(async () => {
  for (const end of ends.toReversed()) await end();
});

const shop = `
  import { AsyncLocalStorage } from "node:async_hooks";
  import { atomic, fn, http, kv } from "aloft";
  const stock = kv<unknown>("stock");
  const count = kv<number>("count");

  export const put = http("PUT /stock/:key", async (request, { params }) => {
    const isDone = await stock.set(params.key, await request.json(), { ifAbsent: request.headers.has("if-absent") });
    return Response.json(isDone);
  });
  export const get = http("GET /stock/:key", async (_request, { params }) =>
    Response.json(await stock.getEntry(params.key)));
  export const list = http("GET /stock", async (request) => {
    const { searchParams } = new URL(request.url);
    const found = [];
    const options = { prefix: searchParams.get("prefix") ?? "", reverse: searchParams.has("reverse") };
    for await (const { key } of stock.list({ ...options, limit: 1500 })) found.push(key);
    return Response.json(found);
  });
  export const bytes = http("GET /bytes", async () => {
    await stock.set("bytes", new Uint8Array([0, 255, 7]));
    return Response.json([...((await stock.get("bytes")) as Uint8Array)]);
  });
  export const many = fn(async ({ n }: { n: number }) => {
    await atomic(async () => {
      for (let i = 0; i < n; i++) await stock.set("many/" + String(i).padStart(5, "0"), i);
    });
  });
  export const unawaited = http("POST /unawaited", () => {
    void stock.set("unawaited", 1);
    return new Response("sent");
  });
  export const failing = http("POST /failing", () => {
    void stock.set("k".repeat(2000), 1);
    return new Response("sent");
  });
  export const caught = http("POST /caught", async () => {
    const code = await stock.set("k".repeat(2000), 1).catch((error) => error.code);
    return new Response(code);
  });
  export const add = http("POST /add", async () => {
    const sum = await atomic(async () => {
      const sum = ((await count.get("n")) ?? 0) + 1;
      await count.set("n", sum);
      if ((await count.get("n")) !== sum) throw new Error("it does not see its own write");
      return sum;
    });
    return Response.json(sum);
  });
  export const thrown = http("POST /thrown", async () => {
    const message = await atomic(async () => {
      await count.set("n", -1);
      throw new Error("no");
    }).catch((error) => error.message);
    return Response.json([message, await count.get("n")]);
  });
  let inside;
  export const ended = http("POST /ended", () => {
    inside = AsyncLocalStorage.snapshot();
    return new Response("sent");
  });
  export const late = http("POST /late", async () =>
    new Response(await inside(() => stock.set("late", 1).catch((error) => error.code))));
  export const follow = http("GET /follow/:key", async (_request, { params }) => {
    const lines = new ReadableStream({
      async start(controller) {
        for await (const { value } of stock.watch(params.key)) {
          controller.enqueue(new TextEncoder().encode(JSON.stringify(value) + "\\n"));
          if (value === "end") break;
        }
        controller.close();
      },
    });
    return new Response(lines);
  });
  export const crowd = http("POST /crowd/:count", async (_request, { params }) => {
    const seats = kv("seats");
    const keys = Array.from({ length: Number(params.count) }, (_, n) => "seat " + n);
    const watching = keys.map(async (key) => {
      for await (const { value } of seats.watch(key)) if (value !== null) return value;
    });
    for (const key of keys) await seats.set(key, 1);
    return Response.json((await Promise.all(watching)).length);
  });
`;

async function ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<unknown> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const response = await server.fetch("shop", path, { ...init, ...(headers === undefined ? {} : { headers }) });
  const text = await response.text();
  return text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : text;
}

test("what one request has written the next one reads, with its version", async () => {
  assert.equal(await ask("PUT", "/stock/apple", { left: 3 }), "true");
  const entry = (await ask("GET", "/stock/apple")) as { value: unknown; version: number };
  assert.deepEqual(entry.value, { left: 3 });
  assert.ok(entry.version > 0);
  assert.equal(await ask("PUT", "/stock/apple", 1, { "if-absent": "1" }), "false");
  assert.equal(await ask("GET", "/stock/pear"), "null");
  assert.deepEqual(await ask("GET", "/bytes"), [0, 255, 7]);
});

test("a list goes over its pages, both ways", async () => {
  for (const n of [900, 1000])
    await server.client.invoke("shop", "many", "production", Buffer.from(JSON.stringify({ n })));
  const keys = Array.from({ length: 1000 }, (_, n) => `many/${String(n).padStart(5, "0")}`);
  assert.deepEqual(await ask("GET", "/stock?prefix=many/"), keys);
  assert.deepEqual(await ask("GET", "/stock?prefix=many/&reverse"), keys.toReversed());
});

test("rule 13: an answer is not sent before what its handler has begun to write is durable", async () => {
  for (let n = 0; n < 20; n++) {
    await ask("PUT", "/stock/unawaited", 0);
    assert.equal(await ask("POST", "/unawaited"), "sent");
    assert.equal(((await ask("GET", "/stock/unawaited")) as { value: unknown }).value, 1);
  }
});

test("rule 13: a write that fails and that nobody awaits makes the answer an error", async () => {
  const failed = await server.fetch("shop", "/failing", { method: "POST" });
  assert.equal(failed.status, 500);
  assert.equal(((await failed.json()) as { code: string }).code, "FUNCTION_THREW");
  assert.equal(await ask("POST", "/caught"), "KEY_INVALID");
});

test("rule 15: blocks that read and write the same key at once all have their effect, once each", async () => {
  const sums = await Promise.all(Array.from({ length: 100 }, () => ask("POST", "/add")));
  assert.deepEqual(
    sums.map(Number).toSorted((a, b) => a - b),
    Array.from({ length: 100 }, (_, n) => n + 1),
  );
});

test("a block that throws has written nothing", async () => {
  const [message, n] = (await ask("POST", "/thrown")) as [string, number];
  assert.equal(message, "no");
  assert.notEqual(n, -1);
});

test("a write of an invocation that has ended is refused", async () => {
  assert.equal(await ask("POST", "/ended"), "sent");
  assert.equal(await ask("POST", "/late"), "INVOCATION_ENDED");
  assert.equal(await ask("GET", "/stock/late"), "null");
});

test("a watch tells of the changes of a key to a client that stays", async () => {
  const response = await server.fetch("shop", "/follow/tea");
  const got: string[] = [];
  for await (const chunk of response.body!) {
    for (const line of Buffer.from(chunk).toString().trim().split("\n")) got.push(line);
    const next = { null: 1, "1": 2, "2": "end" }[got.at(-1)!];
    if (next !== undefined) await ask("PUT", "/stock/tea", next);
  }
  assert.deepEqual(got, ["null", "1", "2", '"end"']);
});

test("an instance that watches many keys goes on reading and writing", async () => {
  assert.equal(await ask("POST", "/crowd/600"), "600");
});

test("an app that was deleted and deployed again has no state", async () => {
  await server.deployFiles("gone", { "index.ts": shop });
  const put = { method: "PUT", body: "1" };
  assert.equal(await (await server.fetch("gone", "/stock/a", put)).text(), "true");
  await server.client.deleteApp("gone");
  await server.deployFiles("gone", { "index.ts": shop });
  assert.equal(await (await server.fetch("gone", "/stock/a")).text(), "null");
});

const album = `
  import { blob, http, kv } from "aloft";
  const photos = blob("photos");
  export const put = http("PUT /photos/:id", { timeout: "5m" }, async (request, { params }) => {
    await photos.put(params.id, request, { metadata: { by: "ann" } });
    return Response.json(await photos.head(params.id));
  });
  export const get = http("GET /photos/:id", async (request, { params }) => {
    const [, start, end] = /^bytes=(\\d+)-(\\d+)$/.exec(request.headers.get("range") ?? "") ?? [];
    const range = start === undefined ? {} : { start: Number(start), end: Number(end) + 1 };
    const photo = await photos.get(params.id, range);
    if (photo === null) return new Response("none", { status: 404 });
    return new Response(photo.body, { headers: { "content-type": photo.contentType } });
  });
  export const rest = http("POST /rest", async () => {
    await photos.put("text", "hällo");
    await photos.copy("text", "copy");
    await photos.delete("text");
    const names = [];
    for await (const { key } of photos.list()) names.push(key);
    return Response.json([await photos.head("text"), await (await photos.get("copy")).text(), names.includes("copy")]);
  });
  const heard = kv("heard");
  export const made = photos.onCreated({ prefix: "event/" }, async ({ key, size, type }) => {
    await heard.set(type + " " + key, size);
  });
  export const gone = photos.onDeleted({ prefix: "event/" }, async ({ key, type }) => {
    await heard.set(type + " " + key, true);
  });
  export const hear = http("GET /heard", async () => {
    const found = [];
    for await (const { key, value } of heard.list()) found.push([key, value]);
    return Response.json(found);
  });
  export const events = http("POST /events", async () => {
    await photos.put("event/a", "hello");
    await photos.put("other", "hello");
    await photos.delete("event/a");
    return new Response();
  });
  export const sum = http("POST /sum/:id", { timeout: "5m" }, async (_request, { params }) => {
    let bytes = 0;
    for await (const chunk of (await photos.get(params.id)).body) bytes += chunk.length;
    return Response.json({ bytes, rss: process.memoryUsage.rss() });
  });
`;

test("blobs are put, read in part, copied and listed by a handler", async () => {
  const bytes = Buffer.alloc(1_500_000, "0123456789");
  const put = await server.fetch("album", "/photos/a", {
    method: "PUT",
    body: bytes,
    headers: { "content-type": "image/png" },
  });
  const info = (await put.json()) as { size: number; hash: string; contentType: string; metadata: object };
  const hash = createHash("sha256").update(bytes).digest("hex");
  assert.deepEqual(
    [info.size, info.hash, info.contentType, info.metadata],
    [1_500_000, hash, "image/png", { by: "ann" }],
  );
  const whole = await server.fetch("album", "/photos/a");
  assert.equal(whole.headers.get("content-type"), "image/png");
  assert.ok(Buffer.from(await whole.arrayBuffer()).equals(bytes));
  const part = await server.fetch("album", "/photos/a", { headers: { range: "bytes=1000001-1000007" } });
  assert.equal(await part.text(), "1234567");
  const rest = await server.fetch("album", "/rest", { method: "POST" });
  assert.deepEqual(await rest.json(), [null, "hällo", true]);
});

test("a blob of hundreds of megabytes takes the memory of a few pieces, in the handler and in the server", async () => {
  const megabytes = 90; // a request body has 100 MiB at most
  const chunk = Buffer.alloc(1024 * 1024, 7);
  const before = process.memoryUsage.rss();
  let most = 0;
  async function* body(): AsyncGenerator<Buffer> {
    for (let n = 0; n < megabytes; n++) {
      most = Math.max(most, process.memoryUsage.rss() - before);
      yield chunk;
    }
  }
  const stream = ReadableStream.from(body());
  const put = await server.fetch("album", "/photos/large", {
    method: "PUT",
    body: stream,
    duplex: "half",
  });
  assert.equal(((await put.json()) as { size: number }).size, megabytes * chunk.length);
  const summed = await server.fetch("album", "/sum/large", { method: "POST" });
  const { bytes, rss } = (await summed.json()) as { bytes: number; rss: number };
  assert.equal(bytes, megabytes * chunk.length);
  const bound = 80 * 1024 * 1024;
  assert.ok(most < bound, `the server grew by ${most} bytes`);
  assert.ok(rss < 230 * 1024 * 1024, `the handler's process has ${rss} bytes`);
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

test("aloft kv and aloft blobs show and mend what an app has stored", async (t) => {
  const folder = await temporaryFolder(t, { "a.txt": "some bytes" });
  assert.deepEqual(await aloft("kv", "set", "shop", "stock", "cli/a", "40"), {
    code: 0,
    out: "set cli/a of shop/stock\n",
    err: "",
  });
  assert.equal(((await ask("GET", "/stock/cli%2Fa")) as { value: unknown }).value, 40);
  await aloft("kv", "set", "shop", "stock", "cli/b", "not JSON");
  const list = await aloft("kv", "list", "shop", "stock", "--prefix", "cli/", "--json");
  const entries = JSON.parse(list.out) as { key: string; value: unknown }[];
  assert.deepEqual(
    entries.map(({ key, value }) => [key, value]),
    [
      ["cli/a", { json: 40 }],
      ["cli/b", { json: "not JSON" }],
    ],
  );
  assert.match((await aloft("kv", "list", "shop", "stock", "--prefix", "cli/")).out, /cli\/a +40 +\d+/);
  assert.equal((await aloft("kv", "get", "shop", "stock", "cli/a")).out, "40\n");
  assert.equal((await aloft("kv", "delete", "shop", "stock", "cli/a")).code, 0);
  const gone = await aloft("kv", "get", "shop", "stock", "cli/a", "--json");
  assert.deepEqual([gone.code, (JSON.parse(gone.out) as { code: string }).code], [1, "NOT_FOUND"]);
  assert.match((await aloft("kv", "list", "shop")).out, /stock\n/);
  assert.equal((await aloft("kv", "lisst", "shop")).code, 2);
  assert.equal((await aloft("kv", "get", "shop", "stock")).code, 2);

  const put = await aloft("blobs", "put", "shop", "files", "a", join(folder, "a.txt"), "--type", "text/plain");
  assert.deepEqual([put.code, put.err], [0, ""]);
  assert.match((await aloft("blobs", "list", "shop", "files")).out, /a +10 B +text\/plain/);
  assert.equal((await aloft("blobs", "get", "shop", "files", "a")).out, "some bytes");
  await aloft("blobs", "get", "shop", "files", "a", join(folder, "copy.txt"));
  assert.equal(await readFile(join(folder, "copy.txt"), "utf8"), "some bytes");
  assert.equal((await aloft("blobs", "delete", "shop", "files", "a")).code, 0);
  assert.equal((await aloft("blobs", "get", "shop", "files", "a")).code, 1);
  assert.equal((await aloft("blobs", "put", "shop", "files", "a", join(folder, "none"))).code, 2);
});

test("a function is told of blobs that are put and deleted, by their prefix", async () => {
  await server.fetch("album", "/events", { method: "POST" });
  const expected = [
    ["created event/a", 5],
    ["deleted event/a", true],
  ];
  await until("both are heard", async () => {
    const heard: unknown = await (await server.fetch("album", "/heard")).json();
    return JSON.stringify(heard) === JSON.stringify(expected);
  });
});
