import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { emptyAppConfig } from "./empty-app-config.ts";
import { AloftError } from "./errors.ts";
import { assertImageConfig } from "./image-config.ts";
import { assertImagePlatform, parseImageConfig, parseImageManifest } from "./image.ts";
import { parseAppConfig } from "./app-config.ts";

const digest = `sha256:${"a".repeat(64)}`;
const rootfs = { type: "layers", diff_ids: [digest] };

function config(inner: unknown, outer: object = {}): ReturnType<typeof parseImageConfig> {
  return parseImageConfig(JSON.stringify({ os: "linux", architecture: "amd64", rootfs, config: inner, ...outer }));
}

suite("an image's config", () => {
  test("says what to start, as whom, where and with what", () => {
    const full = {
      Entrypoint: ["/bin/app", "--fast"],
      Cmd: ["serve"],
      Env: ["A=1", "B=x=y", "EMPTY=", "noname", "=x"],
      User: "web:web",
      WorkingDir: "srv",
      ExposedPorts: { "9000/tcp": {}, "443": {}, "53/udp": {}, "70000/tcp": {}, "x/tcp": {} },
    };
    const { argv, env, user, workingDir, port, diffIds } = config(full);
    assert.deepEqual(
      { argv, env, user, workingDir, port, diffIds },
      {
        argv: ["/bin/app", "--fast", "serve"],
        env: { A: "1", B: "x=y", EMPTY: "" },
        user: "web:web",
        workingDir: "/srv",
        port: 443,
        diffIds: ["a".repeat(64)],
      },
    );
  });

  test("may say nothing, or null", () => {
    for (const inner of [
      undefined,
      null,
      {},
      { Entrypoint: null, Cmd: null, Env: null, User: null, ExposedPorts: null },
    ]) {
      const { argv, env, user, workingDir, port } = config(inner);
      assert.deepEqual(
        { argv, env, user, workingDir, port },
        { argv: [], env: {}, user: "", workingDir: "/", port: null },
      );
    }
  });

  const bad: readonly (readonly [string, unknown, object?])[] = [
    ["an entry point that is no list", { Entrypoint: "/bin/app" }],
    ["an argument that is no text", { Cmd: [1] }],
    ["a zero byte", { Cmd: ["a\0b"] }],
    ["a thousand arguments and more", { Cmd: Array.from({ length: 1001 }, () => "x") }],
    ["a huge variable", { Env: [`A=${"x".repeat(300_000)}`] }],
    ["a layer that is no digest", {}, { rootfs: { type: "layers", diff_ids: ["md5:1"] } }],
    ["no layers", {}, { rootfs: undefined }],
  ];
  for (const [what, inner, outer] of bad) {
    test(`refused: ${what}`, () => {
      assert.throws(
        () => config(inner, outer),
        (error: AloftError) => error.code === "IMAGE_INVALID",
      );
    });
  }
});

test("a manifest names its parts, and nothing that lies elsewhere", () => {
  const part = { digest, size: 5 };
  const parsed = parseImageManifest(JSON.stringify({ schemaVersion: 2, config: part, layers: [part, part] }));
  assert.deepEqual(parsed.layers, [
    { hash: "a".repeat(64), bytes: 5 },
    { hash: "a".repeat(64), bytes: 5 },
  ]);
  for (const layer of [
    { ...part, size: -1 },
    { ...part, size: 1.5 },
    { ...part, digest: "sha512:00" },
    { ...part, digest: `${digest}/../x` },
    { ...part, urls: ["http://elsewhere/"] },
    { ...part, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip+encrypted" },
  ]) {
    const text = JSON.stringify({ schemaVersion: 2, config: part, layers: [layer] });
    assert.throws(
      () => parseImageManifest(text),
      (error: AloftError) => error.code === "IMAGE_INVALID",
      text,
    );
  }
});

test("whatever JSON comes, it is parsed or refused", () => {
  const known = fc.constantFrom(
    "schemaVersion",
    "config",
    "layers",
    "rootfs",
    "diff_ids",
    "Env",
    "ExposedPorts",
    "digest",
  );
  const json = fc.letrec((tie) => ({
    value: fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.dictionary(known, tie("value"), { maxKeys: 4 })),
  })).value;
  fc.assert(
    fc.property(json, (value) => {
      for (const parse of [parseImageManifest, parseImageConfig]) {
        try {
          parse(JSON.stringify(value));
        } catch (error) {
          assert.ok(error instanceof AloftError, String(error));
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("an image runs on machines of its kind", () => {
  assertImagePlatform({ os: "linux", architecture: "amd64" }, "x64");
  assertImagePlatform({ os: "", architecture: "" }, "arm64");
  for (const [os, architecture] of [
    ["linux", "arm64"],
    ["windows", "amd64"],
  ] as const) {
    assert.throws(() => assertImagePlatform({ os, architecture }, "x64"), /is linux\/amd64/);
  }
});

test("aloft.json beside an image says nothing of code", () => {
  assertImageConfig(emptyAppConfig, "");
  assertImageConfig(
    parseAppConfig('{ "command": ["/bin/x"], "ready": "/up", "functions": { "default": { "timeout": "5s" } } }'),
    "",
  );
  assertImageConfig(
    parseAppConfig('{ "functions": { "web": { "command": ["/web"] }, "jobs": { "command": ["/jobs"] } } }'),
    "",
  );
  assertImageConfig(parseAppConfig('{ "runtime": "provided", "handler": "app.handler" }'), "");
  for (const text of [
    '{ "entry": "index.ts" }',
    '{ "runtime": "python", "handler": "app.handler" }',
    '{ "files": ["data"] }',
    '{ "layers": ["a.zip"] }',
    '{ "functions": { "web": { "runtime": "python", "handler": "app.handler" } } }',
  ]) {
    const isRefusal = (error: AloftError): boolean => error.code === "CONFIG_INVALID";
    assert.throws(() => assertImageConfig(parseAppConfig(text), ""), isRefusal, text);
  }
});
