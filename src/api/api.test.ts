import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair } from "node:stream";
import { after, before, test } from "node:test";
import { codeOf, contentHash, deploy, deployRequest } from "../apps/apps.fixture.ts";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import { resources } from "./api.ts";
import { inject, openTestApi, type InjectedRequest, type TestApi } from "./inject.fixture.ts";

const folder = await mkdtemp(join(tmpdir(), "aloft-api-"));
let api: TestApi;
before(async () => {
  api = await openTestApi(folder);
  await deploy(api.apps, "shop", codeOf(["hello"]));
});
after(async () => {
  await api.close();
  await rm(folder, { recursive: true });
});

/** (name, request, status, members that the JSON body must have at the least) */
type Case = readonly [name: string, request: InjectedRequest, status: number, body: Readonly<Record<string, unknown>>];

const foreign = { host: "evil.example" };
const access: Case[] = [
  ["with its token", { path: "/v1/status" }, 200, { version: "1.2.3" }],
  ["without a token", { path: "/v1/status", headers: { authorization: null } }, 401, { code: "UNAUTHORIZED" }],
  ["with a wrong token", { path: "/v1/status", headers: { authorization: "Bearer x" } }, 401, { code: "UNAUTHORIZED" }],
  [
    "with another scheme",
    { path: "/v1/status", headers: { authorization: "Basic eDp5" } },
    401,
    { code: "UNAUTHORIZED" },
  ],
  [
    "to a path that is none, without a token",
    { path: "/x", headers: { authorization: null } },
    401,
    { code: "UNAUTHORIZED" },
  ],
  ["to a foreign host over loopback", { path: "/v1/status", headers: foreign }, 403, { code: "HOST_REFUSED" }],
  [
    "to a host that looks like loopback",
    { path: "/v1/status", headers: { host: "127.0.0.1.evil.example" } },
    403,
    { code: "HOST_REFUSED" },
  ],
  ["to localhost", { path: "/v1/status", headers: { host: "localhost:1" } }, 200, {}],
  ["to [::1]", { path: "/v1/status", headers: { host: "[::1]:8788" }, localAddress: "::1" }, 200, {}],
  ["to a name, not over loopback", { path: "/v1/status", headers: foreign, localAddress: "192.0.2.1" }, 200, {}],
  [
    "from a page of another site",
    { path: "/v1/status", headers: { origin: "https://evil.example" } },
    403,
    { code: "HOST_REFUSED" },
  ],
  ["from an opaque origin", { path: "/v1/status", headers: { origin: "null" } }, 403, { code: "HOST_REFUSED" }],
  ["from a page of this server", { path: "/v1/status", headers: { origin: "http://127.0.0.1:8788" } }, 200, {}],
];

const routing: Case[] = [
  [
    "to nothing",
    { path: "/v1/nothing" },
    404,
    { code: "NOT_FOUND", resources: resources.map((each) => `${each.method} ${each.path}`) },
  ],
  ["to a path that ends in a slash", { path: "/v1/apps/" }, 404, { code: "NOT_FOUND" }],
  [
    "with another method",
    { path: "/v1/apps/shop", method: "PUT" },
    405,
    { code: "METHOD_NOT_ALLOWED", allow: ["GET", "DELETE"] },
  ],
  ["with broken percent-encoding", { path: "/v1/apps/%zz" }, 400, { code: "REQUEST_INVALID" }],
  ["with an unknown query", { path: "/v1/apps?x=1" }, 400, { code: "REQUEST_INVALID", hint: "allowed: none" }],
  ["with a query twice", { path: "/v1/apps/shop/functions?alias=a&alias=b" }, 400, { code: "REQUEST_INVALID" }],
  [
    "with a body that is not JSON",
    { path: "/v1/apps/shop/rollback", method: "POST", body: "{" },
    400,
    { code: "REQUEST_INVALID" },
  ],
  [
    "with a body that is no object",
    { path: "/v1/apps/shop/rollback", method: "POST", json: [1] },
    400,
    { code: "REQUEST_INVALID" },
  ],
  [
    "with a body that is too large",
    { path: "/v1/apps/shop/rollback", method: "POST", body: Buffer.alloc(limits.apiBodyBytes + 1) },
    413,
    { code: "BODY_TOO_LARGE" },
  ],
];

const reading: Case[] = [
  ["for the apps", { path: "/v1/apps" }, 200, {}],
  ["for an app", { path: "/v1/apps/shop" }, 200, { name: "shop", functions: 1, domains: [] }],
  [
    "for an app that is not there",
    { path: "/v1/apps/shpo" },
    404,
    { code: "APP_NOT_FOUND", hint: 'did you mean "shop"?' },
  ],
  ["for an app by a path", { path: "/v1/apps/..%2Fshop" }, 404, { code: "APP_NOT_FOUND" }],
  [
    "for functions of an alias that is not there",
    { path: "/v1/apps/shop/functions?alias=x" },
    404,
    { code: "ALIAS_NOT_FOUND" },
  ],
  [
    "for functions of an alias that cannot be",
    { path: "/v1/apps/shop/functions?alias=a/b" },
    400,
    { code: "NAME_INVALID" },
  ],
  ["for variables of an app that is not there", { path: "/v1/apps/x/variables" }, 404, { code: "APP_NOT_FOUND" }],
  ["for deployments of an app that is not there", { path: "/v1/apps/x/deployments" }, 404, { code: "APP_NOT_FOUND" }],
  ["for logs of an app that is not there", { path: "/v1/apps/x/logs" }, 404, { code: "APP_NOT_FOUND" }],
  [
    "for logs of a level that is none",
    { path: "/v1/apps/shop/logs?level=loud" },
    400,
    { hint: "allowed: debug, info, warn, error" },
  ],
  [
    "for logs since a time that is none",
    { path: "/v1/apps/shop/logs?since=yesterday" },
    400,
    { code: "REQUEST_INVALID" },
  ],
  ["for too many logs", { path: "/v1/apps/shop/logs?limit=10001" }, 400, { hint: "a whole number from 1 to 10000" }],
  ["for invocations of an app without any", { path: "/v1/apps/shop/invocations" }, 200, { invocations: [] }],
  ["for an invocation that is not there", { path: `/v1/invocations/${"0".repeat(32)}` }, 404, { code: "NOT_FOUND" }],
  ["for an invocation that cannot be", { path: "/v1/invocations/x" }, 400, { code: "REQUEST_INVALID" }],
];

const writing: Case[] = [
  [
    "to roll back without an earlier deployment",
    { path: "/v1/apps/shop/rollback", method: "POST", json: {} },
    409,
    { code: "NOTHING_TO_ROLL_BACK" },
  ],
  [
    "to roll back with a member that is none",
    { path: "/v1/apps/shop/rollback", method: "POST", json: { to: "x" } },
    400,
    { code: "REQUEST_INVALID" },
  ],
  [
    "to set a variable to a number",
    { path: "/v1/apps/shop/variables", method: "PATCH", json: { set: { A: 1 } } },
    400,
    { code: "REQUEST_INVALID" },
  ],
  [
    "to set a reserved variable",
    { path: "/v1/apps/shop/variables", method: "PATCH", json: { set: { ALOFT_A: "" } } },
    400,
    { code: "VARIABLE_RESERVED" },
  ],
  [
    "to unset no list",
    { path: "/v1/apps/shop/variables", method: "PATCH", json: { unset: "A" } },
    400,
    { code: "REQUEST_INVALID" },
  ],
  [
    "to begin a deploy of an app that cannot be",
    { path: "/v1/apps/Shop/deploys", method: "POST", json: {} },
    400,
    { code: "NAME_INVALID" },
  ],
  [
    "to begin a deploy with nothing",
    { path: "/v1/apps/shop/deploys", method: "POST", json: {} },
    400,
    { code: "REQUEST_INVALID" },
  ],
  [
    "to send a file of a deploy that is none",
    { path: "/v1/apps/shop/deploys/99/files/x", method: "PUT", body: "x" },
    404,
    { code: "DEPLOY_NOT_FOUND" },
  ],
  [
    "to finish a deploy with a number that is none",
    { path: "/v1/apps/shop/deploys/0x1/finish", method: "POST" },
    404,
    { code: "DEPLOY_NOT_FOUND" },
  ],
  ["to remove an app that is not there", { path: "/v1/apps/x", method: "DELETE" }, 404, { code: "APP_NOT_FOUND" }],
];

for (const [name, request, status, expected] of [...access, ...routing, ...reading, ...writing]) {
  test(`a request ${name} is answered ${status}`, async () => {
    const answer = await inject(api, request);
    assert.equal(answer.status, status, answer.text);
    const body = answer.body as Record<string, unknown>;
    for (const [member, value] of Object.entries(expected)) assert.deepEqual(body[member], value, member);
    const type = status < 400 ? "application/json" : "application/problem+json";
    assert.equal(answer.headers["content-type"], type);
    assert.equal(answer.headers.allow, status === 405 ? "GET, DELETE" : undefined);
    assert.equal(answer.headers["www-authenticate"], status === 401 ? 'Bearer realm="aloft"' : undefined);
  });
}

test("a whole deploy goes through the API, and the app can be changed and removed", async () => {
  const code = codeOf(["one", "two"]);
  const text = code["main.json"] ?? "";
  const send = (method: string, path: string, rest: Partial<InjectedRequest> = {}) =>
    inject(api, { method, path: `/v1/apps/blog${path}`, ...rest });

  const begun = await send("POST", "/deploys", { json: deployRequest(code) });
  assert.deepEqual(begun.body, { number: 1, missing: [contentHash(text)] });
  const early = await send("POST", "/deploys/1/finish");
  assert.equal(early.status, 409);
  assert.deepEqual((early.body as { missing: unknown }).missing, [contentHash(text)]);
  const wrong = await send("PUT", `/deploys/1/files/${contentHash(text)}`, { body: text.replace("one", "owe") });
  assert.equal((wrong.body as { code: string }).code, "FILE_HASH_MISMATCH");
  const longer = await send("PUT", `/deploys/1/files/${contentHash(text)}`, { body: Buffer.alloc(200_000) });
  assert.equal((longer.body as { code: string }).code, "FILE_HASH_MISMATCH");
  assert.deepEqual((await send("PUT", `/deploys/1/files/${contentHash(text)}`, { body: text })).body, { stored: true });
  const deployed = (await send("POST", "/deploys/1/finish")).body as { changed: boolean; deployment: string };
  assert.equal(deployed.changed, true);

  const functions = (await send("GET", "/functions")).body as { functions: { name: string; urls: string[] }[] };
  assert.deepEqual(
    functions.functions.map((each) => each.urls[0]),
    ["http://blog.localhost:8787/one", "http://blog.localhost:8787/two"],
  );
  const changed = await send("PATCH", "/variables", { json: { set: { KEY: "a secret" } } });
  assert.equal(changed.status, 200);
  const listed = await send("GET", "/variables");
  assert.deepEqual(
    (listed.body as { variables: { name: string }[] }).variables.map((each) => each.name),
    ["KEY"],
  );
  for (const { text: shown } of [changed, listed, await send("GET", "")]) assert.ok(!shown.includes("a secret"));
  const deployments = (await send("GET", "/deployments")).body as { deployments: { id: string }[] };
  assert.deepEqual(
    deployments.deployments.map((each) => each.id),
    [deployed.deployment],
  );
  assert.deepEqual((await send("DELETE", "")).body, { deleted: true });
  assert.equal((await send("GET", "")).status, 404);
});

test("an invoked function's bytes come as they are, with what it took in headers", async () => {
  api.call = async ({ app, alias, function: name, payload }) => ({
    invocationId: "0".repeat(32),
    cold: true,
    waitUs: 5,
    handlerUs: 7,
    status: 201,
    contentType: "text/plain",
    body: Buffer.from(`${app} ${alias} ${name} ${Buffer.from(payload).toString()}`),
  });
  const path = "/v1/apps/shop/functions/hello/invoke?alias=preview";
  const answer = await inject(api, { method: "POST", path, body: "payload" });
  assert.equal(answer.status, 200);
  assert.equal(answer.text, "shop preview hello payload");
  const {
    "aloft-cold": cold,
    "aloft-wait-us": wait,
    "aloft-handler-us": handler,
    "aloft-status": status,
  } = answer.headers;
  assert.deepEqual(
    [cold, wait, handler, status, answer.headers["content-type"]],
    ["true", "5", "7", "201", "text/plain"],
  );
});

test("a failed function is a problem document, and its payload has a limit", async () => {
  api.call = () =>
    Promise.reject(new AloftError("FUNCTION_THREW", "no such link", { detail: { stack: "at main.ts:3" } }));
  const path = "/v1/apps/shop/functions/hello/invoke";
  const failed = await inject(api, { method: "POST", path, body: "" });
  assert.equal(failed.status, 500);
  assert.deepEqual(
    [(failed.body as { detail: string }).detail, (failed.body as { stack: string }).stack],
    ["no such link", "at main.ts:3"],
  );
  const large = await inject(api, { method: "POST", path, body: Buffer.alloc(limits.payloadBytes + 1) });
  assert.equal(large.status, 413);
});

test("the caller's departure aborts the call", async () => {
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  api.call = ({ signal }) =>
    new Promise((_, reject) => {
      signal?.addEventListener("abort", () => {
        resolve();
        reject(new AloftError("INVOCATION_CANCELLED", "gone"));
      });
      leave();
    });
  const [clientSide, serverSide] = duplexPair();
  const outgoing = request({
    createConnection: () => clientSide,
    method: "POST",
    path: "/v1/apps/shop/functions/hello/invoke",
    headers: { authorization: `Bearer ${api.token}`, host: "localhost" },
  });
  outgoing.on("error", () => {});
  const leave = (): void => void serverSide.destroy();
  api.api.server.emit("connection", serverSide);
  outgoing.end();
  await aborted;
});

test("a bug is told to the server and not to the caller", async () => {
  api.call = () => Promise.reject(new TypeError("undefined is not a secret"));
  const answer = await inject(api, { method: "POST", path: "/v1/apps/shop/functions/hello/invoke", body: "" });
  assert.equal(answer.status, 500);
  assert.equal((answer.body as { code: string }).code, "INTERNAL");
  assert.ok(!answer.text.includes("secret"));
  assert.equal(String(api.errors.at(-1)), "TypeError: undefined is not a secret");
});

test("docs/api.md describes every resource, and no other", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/api.md"), "utf8");
  const described = [...page.matchAll(/^### `(\w+ \S+)`$/gm)].map((heading) => heading[1]);
  const there = resources.map(
    ({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, (_, name: string) => name.toUpperCase())}`,
  );
  assert.deepEqual(described.toSorted(), there.toSorted());
});

test("metrics are plain text", async () => {
  const answer = await inject(api, { path: "/v1/metrics" });
  assert.equal(answer.text, "aloft_up 1\n");
});
