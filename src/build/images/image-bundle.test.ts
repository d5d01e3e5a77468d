import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { AloftError, type ErrorCode } from "../../contract/errors.ts";
import { imageArchitecture } from "../../contract/image.ts";
import { limits } from "../../contract/limits.ts";
import { file, folder, writeTar } from "../../lib/tar/tar-writer.fixture.ts";
import { bundleImage, type ImageBundle } from "./image-bundle.ts";
import { dockerArchive, indexOf, layoutFiles, makeImage, tarOfFiles, writeFiles } from "./image-writer.fixture.ts";

const root = mkdtempSync(join(tmpdir(), "aloft-images-"));
after(() => rmSync(root, { recursive: true, force: true }));

const lower = writeTar([folder("bin/"), file("bin/app", "first")]);
const upper = writeTar([file("bin/app", "second")]);
const config = { Entrypoint: ["/bin/app"], ExposedPorts: { "9000/tcp": {}, "53/udp": {} } };
const image = makeImage({ layers: [lower, upper], config, reference: "registry.example:5000/team/shop:1.2" });

let names = 0;
function place(name: string): string {
  const dir = join(root, String(++names));
  mkdirSync(dir);
  return join(dir, name);
}

function saved(name: string, content: Buffer): string {
  const path = place(name);
  writeFileSync(path, content);
  return path;
}

function savedFolder(files: ReadonlyMap<string, Buffer>, name = "layout"): string {
  const path = place(name);
  writeFiles(path, files);
  return path;
}

async function bundle(path: string, dir: string | null = null): Promise<ImageBundle> {
  return await bundleImage({ image: path, dir, architecture: process.arch });
}

suite("an image is read from", () => {
  const files = layoutFiles(image);
  const tar = tarOfFiles(files);
  const cases: readonly (readonly [string, () => string])[] = [
    ["the folder of an OCI layout", () => savedFolder(files)],
    ["the archive of an OCI layout", () => saved("a.tar", tar)],
    ["one compressed with gzip", () => saved("a.tar.gz", gzipSync(tar))],
    ["one compressed with zstd", () => saved("a.tar.zst", zstdCompressSync(tar))],
    [
      "what docker saves since 25, an OCI layout with a manifest.json",
      () => saved("a.tar", tarOfFiles(new Map([...files, ["manifest.json", Buffer.from("[]")]]))),
    ],
    ["what docker saved before", () => saved("a.tar", dockerArchive(image))],
  ];
  for (const [what, write] of cases) {
    test(what, async () => {
      const made = await bundle(write());
      assert.deepEqual([made.name, made.runtime, made.entry], ["shop", "image", ""]);
      const manifest = made.files.find(({ path }) => path === "image.json");
      const parsed = JSON.parse(Buffer.from((await manifest?.read()) ?? []).toString()) as {
        layers: { digest: string }[];
      };
      assert.deepEqual(
        parsed.layers.map(({ digest }) => digest),
        image.layerHashes.map((digest) => `sha256:${digest}`),
      );
      for (const part of made.files) {
        const content = await part.read();
        assert.deepEqual([hash("sha256", content), content.length], [part.hash, part.bytes], part.path);
        if (part.path !== "image.json") assert.equal(part.path, `blobs/sha256/${part.hash}`);
      }
      await made.close();
    });
  }

  test("docker's own format, where a layer that is there twice is a link", async () => {
    const twice = makeImage({ layers: [lower, upper, lower], config, compress: "none" });
    const made = await bundle(saved("shop.tar", dockerArchive(twice)));
    assert.equal(made.files.length, 4, "the manifest, the config and two layers");
  });

  test("an index of several platforms, within an index, beside what the build says about itself", async () => {
    const other = makeImage({ layers: [lower], architecture: "s390x" });
    const inner = {
      schemaVersion: 2,
      manifests: [
        { ...indexOf(other).manifests[0], platform: { os: "linux", architecture: "s390x" } },
        { ...indexOf(image).manifests[0], platform: { os: "linux", architecture: imageArchitecture(process.arch) } },
        { ...indexOf(other).manifests[0], platform: { os: "unknown", architecture: "unknown" } },
      ],
    };
    const bytes = Buffer.from(JSON.stringify(inner));
    const digest = hash("sha256", bytes);
    const outer = {
      manifests: [
        { mediaType: "application/vnd.oci.image.index.v1+json", digest: `sha256:${digest}`, size: bytes.length },
      ],
    };
    const all = layoutFiles({ ...image, blobs: new Map([...image.blobs, ...other.blobs, [digest, bytes]]) }, outer);
    const made = await bundle(savedFolder(all));
    assert.ok(made.files.some((part) => part.hash === image.configHash));
    const error = await refusal(savedFolder(all), "mips");
    assert.equal(error.code, "IMAGE_PLATFORM_MISMATCH");
  });

  test("nothing is left of what was decompressed", async () => {
    const before = leftovers();
    const made = await bundle(saved("a.tgz", gzipSync(tar)));
    await made.close();
    await assert.rejects(bundle(saved("a.tgz", gzipSync(Buffer.from("no archive".repeat(100))))));
    await assert.rejects(bundle(saved("a.tgz", gzipSync(tar).subarray(0, 200))));
    assert.deepEqual(leftovers(), before);
  });

  function leftovers(): string[] {
    return readdirSync(tmpdir()).filter((name) => name.startsWith("aloft-image-"));
  }
});

suite("the app's name is", () => {
  test("that of aloft.json, the folder's, the reference's, the file's", async () => {
    const dir = place("My Shop");
    mkdirSync(dir);
    const path = saved("whatever.tar", dockerArchive(image));
    assert.equal((await bundle(path, dir)).name, "my-shop");
    writeFileSync(join(dir, "aloft.json"), '{ "name": "store" }');
    const made = await bundle(path, dir);
    assert.deepEqual([made.name, made.configText], ["store", '{ "name": "store" }']);
    const tagOnly = layoutFiles({ ...image, reference: "latest" });
    assert.equal((await bundle(saved("Billing_v2.oci.tar.gz", gzipSync(tarOfFiles(tagOnly))))).name, "billing-v2");
    assert.equal((await bundle(savedFolder(tagOnly, "orders"))).name, "orders");
  });
});

async function refusal(path: string, architecture: string = process.arch): Promise<AloftError> {
  const error = await bundleImage({ image: path, dir: null, architecture }).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AloftError, String(error));
  return error;
}

suite("refused", () => {
  const files = layoutFiles(image);
  const [layer = ""] = image.layerHashes;
  const without = (path: string): Map<string, Buffer> => new Map([...files].filter(([each]) => each !== path));
  const withFile = (path: string, content: string | Buffer): Map<string, Buffer> =>
    new Map([...files, [path, Buffer.from(content)]]);
  const damaged = Buffer.from(files.get(`blobs/sha256/${layer}`) ?? "");
  damaged[40] = (damaged[40] ?? 0) ^ 1;
  const two = indexOf(image).manifests.concat(indexOf(makeImage({ layers: [upper] })).manifests);

  const cases: readonly (readonly [string, () => string, ErrorCode, RegExp])[] = [
    ["nothing at the path", () => place("nothing"), "IMAGE_INVALID", /neither a file nor a folder/],
    ["an empty folder", () => savedFolder(new Map([["x", Buffer.from("")]])), "IMAGE_INVALID", /neither an index.json/],
    ["a file of something else", () => saved("a.tar", Buffer.from("x".repeat(2000))), "IMAGE_INVALID", /checksum/],
    ["an archive that is cut", () => saved("a.tar", tarOfFiles(files).subarray(0, 3000)), "IMAGE_INVALID", /middle of/],
    [
      "an archive whose compression is cut",
      () => saved("a.tgz", gzipSync(tarOfFiles(files)).subarray(0, 300)),
      "IMAGE_INVALID",
      /decompressed/,
    ],
    ["an index that is no JSON", () => savedFolder(withFile("index.json", "{")), "IMAGE_INVALID", /index.json/],
    ["an index of nothing", () => savedFolder(withFile("index.json", '{"manifests":[]}')), "IMAGE_INVALID", /no image/],
    [
      "an index of two images",
      () => savedFolder(withFile("index.json", JSON.stringify({ manifests: two }))),
      "IMAGE_INVALID",
      /several images/,
    ],
    [
      "a digest that leads out",
      () => savedFolder(withFile("index.json", '{"manifests":[{"digest":"sha256:../../x"}]}')),
      "IMAGE_INVALID",
      /index.json/,
    ],
    [
      "a layer that is missing",
      () => savedFolder(without(`blobs/sha256/${layer}`)),
      "IMAGE_PART_MISSING",
      new RegExp(layer),
    ],
    [
      "a config that is missing",
      () => savedFolder(without(`blobs/sha256/${image.configHash}`)),
      "IMAGE_PART_MISSING",
      new RegExp(image.configHash),
    ],
    [
      "a layer that was changed",
      () => savedFolder(withFile(`blobs/sha256/${layer}`, damaged)),
      "IMAGE_DIGEST_MISMATCH",
      new RegExp(layer),
    ],
    [
      "a layer that was cut",
      () => savedFolder(withFile(`blobs/sha256/${layer}`, damaged.subarray(9))),
      "IMAGE_DIGEST_MISMATCH",
      /is listed with/,
    ],
    [
      "a manifest that was changed",
      () => savedFolder(withFile(`blobs/sha256/${image.manifestHash}`, image.manifest.replace("2", "2 "))),
      "IMAGE_DIGEST_MISMATCH",
      new RegExp(image.manifestHash),
    ],
    [
      "a config of docker's under a wrong name",
      () =>
        saved(
          "a.tar",
          dockerArchive({
            ...image,
            configHash: "0".repeat(64),
            blobs: new Map([...image.blobs, ["0".repeat(64), image.blobs.get(image.configHash) ?? Buffer.alloc(0)]]),
          }),
        ),
      "IMAGE_DIGEST_MISMATCH",
      /0000/,
    ],
    [
      "a layer of docker's that is missing",
      () => saved("a.tar", writeTar([file("manifest.json", '[{"Config":"c","Layers":["l"]}]'), file("c", "{}")])),
      "IMAGE_PART_MISSING",
      /hold l,/,
    ],
    [
      "an encrypted layer",
      () => savedFolder(layoutFiles(replaceInManifest("tar+gzip", "tar+gzip+encrypted"))),
      "IMAGE_INVALID",
      /encrypted/,
    ],
    [
      "a manifest of another version",
      () => savedFolder(layoutFiles(replaceInManifest('"schemaVersion":2', '"schemaVersion":1'))),
      "IMAGE_INVALID",
      /schemaVersion/,
    ],
    [
      "a config without layers",
      () => savedFolder(layoutFiles(replaceConfig('{"rootfs":{"type":"base"}}'))),
      "IMAGE_INVALID",
      /rootfs/,
    ],
  ];
  for (const [what, write, code, message] of cases) {
    test(what, async () => {
      const error = await refusal(write());
      assert.deepEqual([error.code, message.test(error.message)], [code, true], error.message);
    });
  }

  test("a layer over the limit, without being read", async () => {
    const dir = place("layout");
    writeFiles(
      dir,
      new Map([
        ["manifest.json", Buffer.from('[{"Config":"c","Layers":["l"]}]')],
        ["c", Buffer.from("{}")],
        ["l", Buffer.alloc(0)],
      ]),
    );
    truncateSync(join(dir, "l"), limits.imageLayerBytes + 1);
    assert.equal((await refusal(dir)).code, "DEPLOYMENT_TOO_LARGE");
  });

  function replaceInManifest(from: string, to: string): typeof image {
    const manifest = image.manifest.replace(from, to);
    const manifestHash = hash("sha256", manifest);
    return {
      ...image,
      manifest,
      manifestHash,
      blobs: new Map([...image.blobs, [manifestHash, Buffer.from(manifest)]]),
    };
  }

  function replaceConfig(text: string): typeof image {
    const configHash = hash("sha256", text);
    const blobs = new Map([...image.blobs, [configHash, Buffer.from(text)]]);
    const size = `"size":${image.blobs.get(image.configHash)?.length}`;
    const manifest = image.manifest.replace(image.configHash, configHash).replace(size, `"size":${text.length}`);
    const manifestHash = hash("sha256", manifest);
    return { ...image, configHash, manifest, manifestHash, blobs: blobs.set(manifestHash, Buffer.from(manifest)) };
  }
});
