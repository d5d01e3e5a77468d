import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { UploadLink } from "../../contract/blob-links.ts";
import { AloftError } from "../../contract/errors.ts";
import { limits } from "../../contract/limits.ts";
import { ManualClock } from "../../lib/clock.ts";
import { openMemoryKeyspace } from "../../store/memory/memory-keyspace.ts";
import { openState, type State } from "../open-state.ts";

async function open(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "aloft-links-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const clock = new ManualClock();
  const keyspace = openMemoryKeyspace({ clock });
  const uploads = join(folder, "uploads");
  const opened: State[] = [];
  t.after(async () => {
    for (const state of opened) await state.close();
  });
  async function start(): Promise<State> {
    const state = await openState({
      keyspace,
      blobs: join(folder, "blobs"),
      uploads,
      originOf: (app) => `http://${app}.localhost`,
      onError: (error) => assert.fail(String(error)),
    });
    opened.push(state);
    return state;
  }
  const state = await start();
  return { state, start, clock, uploads };
}

async function give(state: State, args: object): Promise<URLSearchParams> {
  const { url } = await state.managing.linkBlob("shop", "production", "files", { key: "a", ...args });
  return new URL(url).searchParams;
}

const code = (expected: string) => (error: unknown) => error instanceof AloftError && error.code === expected;

async function* bytes(...parts: string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
}

test("a link is good for its app, alias, method, store and key, and for what else it says", async (t) => {
  const { state } = await open(t);
  const put = await give(state, { method: "PUT", maxBytes: 10, contentType: "image/*", ifAbsent: true });
  const { link } = await state.links.check("shop", "production", "PUT", put);
  const { expiresAtMs, ...rest } = link as UploadLink;
  assert.ok(expiresAtMs > 0);
  assert.deepEqual(rest, {
    method: "PUT",
    store: "files",
    key: "a",
    bytesMax: 10,
    contentType: "image/*",
    ifAbsent: true,
  });
  const changed = (name: string, value: string | null): URLSearchParams => {
    const query = new URLSearchParams(put);
    if (value === null) query.delete(name);
    else query.set(name, value);
    return query;
  };
  const wrong: URLSearchParams[] = [
    changed("store", "other"),
    changed("key", "b"),
    changed("expires", String(expiresAtMs + 1)),
    changed("max", "11"),
    changed("max", "1e9"),
    changed("type", null),
    changed("absent", null),
    changed("signature", null),
    changed("signature", "AAAA"),
    changed(
      "signature",
      (put.get("signature") ?? "").replace(/^./, (first) => (first === "A" ? "B" : "A")),
    ),
    changed("filename", "x"),
    new URLSearchParams(`${put.toString()}&key=a`),
    new URLSearchParams(),
  ];
  for (const query of wrong) {
    await assert.rejects(state.links.check("shop", "production", "PUT", query), code("LINK_INVALID"), query.toString());
  }
  await assert.rejects(state.links.check("shop", "production", "GET", put), code("LINK_INVALID"));
  await assert.rejects(state.links.check("shop", "preview", "PUT", put), code("LINK_INVALID"));
  await assert.rejects(state.links.check("other", "production", "PUT", put), code("LINK_INVALID"));
});

test("a link ends when it has expired, by the store's clock, and with the app that gave it out", async (t) => {
  const { state, clock } = await open(t);
  const query = await give(state, { expiresInMs: 5000 });
  clock.advance(4999);
  await state.links.check("shop", "production", "GET", query);
  clock.advance(1);
  await assert.rejects(state.links.check("shop", "production", "GET", query), code("LINK_EXPIRED"));

  const later = await give(state, {});
  await state.retire("shop");
  await assert.rejects(state.links.check("shop", "production", "GET", later), code("LINK_INVALID"));
});

test("links go on after a restart, and on every node of the store", async (t) => {
  const { state, start } = await open(t);
  const given = await Promise.all([give(state, {}), give(state, { method: "PUT" })]);
  const next = await start();
  await next.links.check("shop", "production", "GET", given[0]);
  await next.links.check("shop", "production", "PUT", given[1]);
  await state.links.check("shop", "production", "GET", await give(next, {}));
});

test("an upload that ends with an error, or comes too late for its condition, leaves nothing behind", async (t) => {
  const { state, uploads } = await open(t);
  const query = await give(state, { method: "PUT", ifAbsent: true });
  const { link, environment } = await state.links.check("shop", "production", "PUT", query);
  assert.equal(link.method, "PUT");
  const cut = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from("some");
    throw new Error("cut");
  };
  await assert.rejects(state.links.put(environment, link, null, cut()), /cut/);
  assert.deepEqual(await readdir(uploads), []);
  const both = await Promise.allSettled(
    ["one", "two"].map((text) => state.links.put(environment, link, null, bytes(text))),
  );
  assert.deepEqual(both.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
  const refused = both.find(({ status }) => status === "rejected") as PromiseRejectedResult;
  assert.ok(code("BLOB_EXISTS")(refused.reason), String(refused.reason));
  await assert.rejects(state.links.put(environment, link, null, bytes("three")), code("BLOB_EXISTS"));
  assert.deepEqual(await readdir(uploads), []);
});

test("an upload is of the content type that its link is for", async (t) => {
  const { state } = await open(t);
  const table: [wanted: string | undefined, given: string | null, stored: string | null][] = [
    [undefined, null, "application/octet-stream"],
    [undefined, "text/plain", "text/plain"],
    ["image/png", null, "image/png"],
    ["image/png", "image/PNG", "image/PNG"],
    ["text/plain", "text/plain; charset=utf-8", "text/plain; charset=utf-8"],
    ["image/*", "image/png", "image/png"],
    ["image/*", null, null],
    ["image/*", "text/html", null],
    ["image/png", "image/jpeg", null],
  ];
  for (const [contentType, given, stored] of table) {
    const query = await give(state, { method: "PUT", contentType });
    const { link, environment } = await state.links.check("shop", "production", "PUT", query);
    const put = state.links.put(environment, link as UploadLink, given, bytes("x"));
    if (stored === null) {
      await assert.rejects(put, code("CONTENT_TYPE_REFUSED"));
      continue;
    }
    await put;
    const found = await state.managing.openBlob("shop", "production", "files", "a");
    assert.equal(found?.entry.value.contentType, stored);
    for await (const chunk of found?.chunks ?? []) assert.equal(Buffer.from(chunk).toString(), "x");
  }
});

test("what is no link is refused with the place", async (t) => {
  const { state } = await open(t);
  const table: [args: object, reason: RegExp][] = [
    [{ key: "" }, /"key" must not be empty/],
    [{ key: "k".repeat(2000) }, /the key has at least/],
    [{ method: "POST" }, /"method" must be/],
    [{ maxBytes: 5 }, /"maxBytes" is not of a link for GET/],
    [{ method: "PUT", inline: true }, /"inline" is not of a link for PUT/],
    [{ expiresInMs: 999 }, /"expiresInMs" must be/],
    [{ expiresInMs: limits.blobLinkMaxMs + 1 }, /"expiresInMs" must be/],
    [{ method: "PUT", maxBytes: -1 }, /"maxBytes" must be/],
    [{ method: "PUT", contentType: "png" }, /"contentType" must be/],
    [{ method: "PUT", contentType: "a/b\nc" }, /"contentType" must be/],
    [{ disposition: "shown" }, /"disposition" must be/],
    [{ filename: "../a" }, /"filename" must have/],
    [{ origin: "https://example.com/path" }, /"origin" must be/],
    [{ origin: "javascript:alert(1)" }, /"origin" must be/],
  ];
  for (const [args, reason] of table) await assert.rejects(give(state, args), reason);
});
