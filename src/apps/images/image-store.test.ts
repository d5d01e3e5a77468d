import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { hash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { AloftError, type ErrorCode } from "../../contract/errors.ts";
import { file, folder, writeTar } from "../../lib/tar/tar-writer.fixture.ts";
import { type ContentStore, openContentStore } from "../content-store.ts";
import { type ImageLayer, type ImageStore, openImageStore } from "./image-store.ts";

const isRoot = process.geteuid?.() === 0;

interface Opened {
  readonly store: ImageStore;
  readonly content: ContentStore;
  readonly images: string;
  add(tar: Buffer): Promise<ImageLayer>;
}

async function open(t: TestContext, images?: string): Promise<Opened> {
  const base = mkdtempSync(join(tmpdir(), "aloft-image-store-"));
  mkdirSync(join(base, "files"));
  const content = await openContentStore(join(base, "files"));
  const place = images ?? join(base, "images");
  const store = await openImageStore({ folder: place, content, keepsOwners: isRoot });
  t.after(async () => {
    await store.close();
    rmSync(base, { recursive: true, force: true });
  });
  const add = async (tar: Buffer): Promise<ImageLayer> => ({
    hash: await content.put(gzipSync(tar)),
    diffId: hash("sha256", tar),
  });
  return { store, content, images: place, add };
}

function inside(images: string): string[] {
  return readdirSync(images, { recursive: true, encoding: "utf8" })
    .filter((path) => path.split("/").length === 2)
    .toSorted();
}

async function codeOf(work: Promise<unknown>): Promise<ErrorCode | null> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error === null) return null;
  if (!(error instanceof AloftError)) throw error;
  return error.code;
}

const lower = writeTar([folder("etc/"), file("etc/a", "lower"), file("etc/b", "b")]);
const upper = writeTar([file("etc/a", "upper"), file("etc/.wh.b")]);

suite("layers and roots", () => {
  test("a root is made of its layers, once, and layers are shared between roots", async (t) => {
    const { store, images, add } = await open(t);
    const layers = [await add(lower), await add(upper)];
    const [first, again] = await Promise.all([store.prepare(layers), store.prepare(layers)]);
    assert.equal(first, again);
    assert.deepEqual(readdirSync(join(store.rootPath(first), "etc")), ["a"]);
    assert.equal(readFileSync(join(store.rootPath(first), "etc/a"), "utf8"), "upper");
    const other = await store.prepare(layers.slice(0, 1));
    assert.notEqual(other, first);
    assert.deepEqual(
      inside(images),
      [...layers.map((layer) => `layers/${layer.hash}`), `roots/${first}`, `roots/${other}`].toSorted(),
    );
    assert.deepEqual([store.hasRoot(first), store.sizeOf(layers)], [true, { bytes: 11, files: 5 }]);
  });

  test("an image of no layers at all has an empty root", async (t) => {
    const { store } = await open(t);
    assert.deepEqual(readdirSync(store.rootPath(await store.prepare([]))), []);
  });

  test("what nobody holds is removed, and what runs or is held stays", async (t) => {
    const { store, images, add } = await open(t);
    const [one, two] = [await add(lower), await add(upper)];
    const both = await store.prepare([one, two]);
    const single = await store.prepare([one]);
    await store.collect(
      (layer) => layer === one.hash,
      (root) => root === both,
    );
    assert.deepEqual(inside(images), [`layers/${one.hash}`, `roots/${both}`, `roots/${single}`].toSorted());
    await store.collect(
      (layer) => layer === one.hash,
      () => false,
    );
    assert.deepEqual(inside(images), [`layers/${one.hash}`, `roots/${single}`]);
    await store.collect(
      () => false,
      () => false,
    );
    assert.deepEqual(inside(images), []);
    assert.equal(await store.prepare([one, two]), both, "it can be made again");
  });

  test("another config's claim about a layer that is there is refused, with its root there or not", async (t) => {
    const { store, add } = await open(t);
    const layer = await add(lower);
    await store.prepare([layer]);
    const claimed = { ...layer, diffId: "0".repeat(64) };
    assert.equal(await codeOf(store.prepare([claimed])), "IMAGE_DIGEST_MISMATCH");
    assert.equal(await codeOf(store.prepare([claimed, await add(upper)])), "IMAGE_DIGEST_MISMATCH");
  });

  test("a layer that fails leaves nothing, and those before it stay for the next try", async (t) => {
    const { store, content, images, add } = await open(t);
    const good = await add(lower);
    const bad = { hash: await content.put(Buffer.from("no archive".repeat(100))), diffId: "0".repeat(64) };
    assert.equal(await codeOf(store.prepare([good, bad])), "IMAGE_LAYER_INVALID");
    assert.deepEqual(inside(images), [`layers/${good.hash}`]);
    assert.equal(await codeOf(store.prepare([good])), null);
  });

  test("a layer whose content is gone is damage of the data folder", async (t) => {
    const { store } = await open(t);
    assert.equal(await codeOf(store.prepare([{ hash: "f".repeat(64), diffId: "" }])), "DATA_CORRUPT");
  });

  test("what an interrupted server was doing is gone at the next start", async (t) => {
    const { store, content, images, add } = await open(t);
    const root = await store.prepare([await add(lower)]);
    mkdirSync(join(images, ".tmp", "half", "tree"), { recursive: true });
    const next = await openImageStore({ folder: images, content, keepsOwners: isRoot });
    assert.deepEqual(readdirSync(join(images, ".tmp")), []);
    assert.ok(next.hasRoot(root));
    await next.close();
  });

  test("a server that stops does not wait for an image that is being unpacked", async (t) => {
    const { store, images, add } = await open(t);
    const big = await add(writeTar(Array.from({ length: 20 }, (_, n) => file(`f${n}`, randomBytes(2_000_000)))));
    const making = codeOf(store.prepare([big]));
    await store.close();
    assert.equal(await making, "SHUTTING_DOWN");
    assert.deepEqual(readdirSync(join(images, ".tmp")), []);
    assert.equal(await codeOf(store.prepare([big])), "SHUTTING_DOWN");
  });

  test(
    "a full disk is told, leaves nothing, and is got over",
    { skip: !isRoot && "mounting takes root" },
    async (t) => {
      const small = mkdtempSync(join(tmpdir(), "aloft-small-"));
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m,nr_inodes=200", "tmpfs", small]);
      t.after(() => {
        execFileSync("umount", [small]);
        rmSync(small, { recursive: true });
      });
      const { store, images, add } = await open(t, small);
      const big = await add(writeTar([file("big", Buffer.alloc(4_000_000))]));
      const many = await add(writeTar(Array.from({ length: 300 }, (_, n) => file(`f${n}`, ""))));
      assert.equal(await codeOf(store.prepare([big])), "DISK_FULL");
      assert.equal(await codeOf(store.prepare([many])), "DISK_FULL");
      assert.deepEqual([inside(images), readdirSync(join(images, ".tmp"))], [[], []]);
      const root = await store.prepare([await add(lower)]);
      assert.ok(existsSync(join(store.rootPath(root), "etc/a")));
    },
  );
});
