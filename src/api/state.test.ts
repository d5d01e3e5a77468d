import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { codeOf, deploy } from "../apps/apps.fixture.ts";
import { inject, openTestApi, type TestApi } from "./inject.fixture.ts";

let folder: string;
let api: TestApi;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "aloft-api-state-"));
  api = await openTestApi(folder);
  await deploy(api.apps, "shop", codeOf(["hello"]));
});

after(async () => {
  await api.close();
  await rm(folder, { recursive: true, force: true });
});

async function ask(method: string, path: string, send: object = {}): Promise<[number, Record<string, unknown>]> {
  const { status, body } = await inject(api, { method, path: `/v1/apps/${path}`, ...send });
  return [status, body as Record<string, unknown>];
}

test("keys and values are set, seen, listed and deleted", async () => {
  const entry = "shop/kv/stock/entry?key=tea%2Fgreen";
  assert.deepEqual(await ask("PUT", entry, { json: { value: { json: 40 } } }), [200, { done: true }]);
  assert.deepEqual(await ask("PUT", entry, { json: { value: { json: 1 }, ifAbsent: true } }), [200, { done: false }]);
  const [, { version, ...shown }] = await ask("GET", entry);
  assert.deepEqual(shown, { key: "tea/green", value: { json: 40 } });
  assert.deepEqual(await ask("GET", "shop/kv"), [200, { stores: ["stock"] }]);
  assert.deepEqual(await ask("GET", "shop/kv?alias=preview"), [200, { stores: [] }]);
  const [, list] = await ask("GET", "shop/kv/stock?prefix=tea/&limit=10");
  assert.deepEqual(list, { entries: [{ ...shown, version }], next: null });
  assert.deepEqual(await ask("DELETE", `${entry}&ifVersion=0`), [200, { done: false }]);
  assert.deepEqual(await ask("DELETE", `${entry}&ifVersion=${String(version)}`), [200, { done: true }]);
  const [status, problem] = await ask("GET", entry);
  assert.deepEqual([status, problem["code"]], [404, "NOT_FOUND"]);
});

test("the bytes of a blob go in and out", async () => {
  const content = "shop/blobs/photos/content?key=a.png";
  const put = await ask("PUT", `${content}&contentType=image/png`, { body: "bytes" });
  assert.deepEqual(put, [200, { done: true }]);
  const got = await inject(api, { path: `/v1/apps/${content}` });
  assert.deepEqual([got.text, got.headers["content-type"]], ["bytes", "image/png"]);
  const [, entry] = await ask("GET", "shop/blobs/photos/entry?key=a.png");
  assert.equal((entry["value"] as { size: number }).size, 5);
  assert.deepEqual(await ask("GET", "shop/blobs"), [200, { stores: ["photos"] }]);
  assert.deepEqual(await ask("DELETE", "shop/blobs/photos/entry?key=a.png"), [200, { done: true }]);
  assert.equal((await ask("GET", content))[0], 404);
});

test("a link of a blob is given out, with what it is good for", async () => {
  const [status, link] = await ask("POST", "shop/blobs/photos/links", {
    json: { key: "a b.png", method: "PUT", maxBytes: 1000, expiresInMs: 5000 },
  });
  assert.deepEqual([status, link["method"], link["expiresAtMs"]], [200, "PUT", api.clock.nowMs() + 5000]);
  assert.match(
    String(link["url"]),
    /^http:\/\/shop\.localhost\/\.aloft\/blob\/upload\?store=photos&key=a%20b\.png&expires=\d+&max=1000&signature=[\w-]{43}$/,
  );
});

test("what is not right is refused with the reason", async () => {
  const cases: readonly [method: string, path: string, send: object, status: number, reason: RegExp][] = [
    ["GET", "nobody/kv", {}, 404, /no app "nobody"/],
    ["GET", "shop/kv/stock/entry", {}, 400, /"key" is missing/],
    ["GET", "shop/kv/stock?limit=0", {}, 400, /limit is "0"/],
    ["PUT", "shop/kv/stock/entry?key=a", { json: { value: 1 } }, 400, /"value" must be/],
    ["PUT", "shop/kv/stock/entry?key=a", { json: { value: { json: 1 }, ttl: 1 } }, 400, /no member "ttl"/],
    ["PUT", "shop/kv/stock/entry?key=a", { json: { value: { json: 1 }, expiresInMs: -1 } }, 400, /"expiresInMs" must/],
    ["PUT", "shop/blobs/photos/content?key=a&contentType=%0A", { body: "" }, 400, /"contentType" must be/],
    ["POST", "shop/blobs/photos/links", { json: {} }, 400, /"key" must be/],
    ["POST", "shop/blobs/photos/links", { json: { key: "a", maxSize: 1 } }, 400, /"maxSize" is not of a link for GET/],
    ["GET", `shop/kv/${"x".repeat(200)}`, {}, 400, /the name of a kv store/],
  ];
  for (const [method, path, send, status, reason] of cases) {
    const [got, problem] = await ask(method, path, send);
    assert.equal(got, status, path);
    assert.match(String(problem["detail"]), reason);
  }
  assert.deepEqual(api.errors, []);
});
