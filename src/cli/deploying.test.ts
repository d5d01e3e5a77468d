import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { DeployedJson } from "../contract/api.ts";
import { AloftError } from "../contract/errors.ts";
import { CannedApi, problem } from "./canned-api.suite.ts";
import { ControlClient } from "./client.ts";
import { deployBundle } from "./deploying.ts";
import type { Deployable, UploadProgress } from "./deploying.ts";

function bundleOf(contents: Readonly<Record<string, string>>): Deployable {
  const files = Object.entries(contents).map(([path, content]) => {
    const bytes = Buffer.from(content);
    const hash = createHash("sha256").update(bytes).digest("hex");
    return { path, hash, bytes: bytes.length, read: () => Promise.resolve(bytes) };
  });
  return { name: "shop", configText: "", runtime: "node", entry: "index.js", files };
}

const deployed: DeployedJson = {
  app: "shop",
  alias: "production",
  deployment: "3f".repeat(20),
  number: 7,
  changed: true,
  functions: [],
  urls: [],
};

test("only what the server lacks is uploaded, each content once", async () => {
  const bundle = bundleOf({ "index.js": "code", "a.txt": "same", "b.txt": "same", "known.txt": "known" });
  const [code, same] = bundle.files.map(({ hash }) => hash);
  await using api = await CannedApi.open({
    "POST /v1/apps/shop/deploys": { body: { number: 7, missing: [code, same] } },
    [`PUT /v1/apps/shop/deploys/7/files/${code}`]: { body: { stored: true } },
    [`PUT /v1/apps/shop/deploys/7/files/${same}`]: { body: { stored: true } },
    "POST /v1/apps/shop/deploys/7/finish": { body: deployed },
  });
  const client = new ControlClient({ server: api.url, token: "t0ken" });
  const steps: UploadProgress[] = [];
  const outcome = await deployBundle(client, bundle, "production", (progress) => steps.push(progress));
  client.close();

  assert.deepEqual(outcome, { deployed, uploaded: { files: 2, filesTotal: 2, bytes: 8, bytesTotal: 8 } });
  assert.deepEqual(
    steps.map(({ files }) => files),
    [1, 2],
  );
  const sent = api.requests.filter(({ method }) => method === "PUT").map(({ body }) => body.toString());
  assert.deepEqual(sent.toSorted(), ["code", "same"]);
  const begin = JSON.parse(api.requests[0]!.body.toString());
  assert.deepEqual(
    begin.files.map(({ path }: { path: string }) => path),
    ["index.js", "a.txt", "b.txt", "known.txt"],
  );
  assert.equal(begin.alias, "production");
});

test("an upload that the server refuses ends the deploy with its error", async () => {
  const bundle = bundleOf({ "index.js": "code" });
  const [code] = bundle.files.map(({ hash }) => hash);
  await using api = await CannedApi.open({
    "POST /v1/apps/shop/deploys": { body: { number: 8, missing: [code] } },
    [`PUT /v1/apps/shop/deploys/8/files/${code}`]: problem("FILE_HASH_MISMATCH", "the bytes differ"),
  });
  const client = new ControlClient({ server: api.url, token: null });
  await assert.rejects(deployBundle(client, bundle, "production"), {
    code: "FILE_HASH_MISMATCH",
    message: "the bytes differ",
  });
  client.close();
  assert.ok(api.requests.every(({ path }) => !path.endsWith("/finish")));
});

test("a problem document becomes the error it was made from", async () => {
  await using api = await CannedApi.open({
    "GET /v1/status": problem("NO_INSTANCE", "no instance in 10 s", { retryAfterMs: 1000 }),
  });
  const client = new ControlClient({ server: api.url, token: null });
  await assert.rejects(client.status(), (error) => {
    assert.ok(error instanceof AloftError);
    assert.deepEqual([error.code, error.status, error.detail], ["NO_INSTANCE", 503, { retryAfterMs: 1000 }]);
    return true;
  });
  client.close();
});
