import assert from "node:assert/strict";
import { hash } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { AloftError, type ErrorCode } from "../../contract/errors.ts";
import { file, folder, hardLink, symlink, writeTar, type WrittenEntry } from "../../lib/tar/tar-writer.fixture.ts";
import { notesFileOf, treeOf, type LayerNotes } from "./layer-notes.ts";
import { unpackLayer } from "./layer-unpacker.ts";
import { mergeLayers } from "./root-merger.ts";

const root = mkdtempSync(join(tmpdir(), "aloft-layers-"));
after(() => rmSync(root, { recursive: true, force: true }));
const isRoot = process.geteuid?.() === 0;
const bounds = { bytesMax: 10_000_000, entriesMax: 1000 };

let count = 0;

/** A folder with the layer in `tree`, and a neighbour in which nothing may change. */
async function unpack(blob: Buffer, more: Partial<typeof bounds> = {}): Promise<{ layer: string; notes: LayerNotes }> {
  const layer = join(root, String(++count));
  mkdirSync(treeOf(layer), { recursive: true });
  writeFileSync(join(layer, "blob"), blob);
  writeFileSync(join(layer, "neighbour"), "untouched");
  const request = { blob: join(layer, "blob"), target: treeOf(layer), keepsOwners: isRoot, ...bounds, ...more };
  try {
    const notes = await unpackLayer(request);
    writeFileSync(notesFileOf(layer), JSON.stringify(notes));
    return { layer, notes };
  } finally {
    assert.equal(readFileSync(join(layer, "neighbour"), "utf8"), "untouched");
    assert.equal(lstatSync(join(layer, "neighbour")).nlink, 1);
    assert.deepEqual(
      readdirSync(layer).filter((name) => !["blob", "neighbour", "tree", "notes.json"].includes(name)),
      [],
    );
  }
}

async function merge(...layers: readonly (readonly WrittenEntry[])[]): Promise<string> {
  const unpacked = [];
  for (const entries of layers) unpacked.push((await unpack(writeTar(entries))).layer);
  const target = join(root, String(++count));
  mkdirSync(target);
  mergeLayers({ layers: unpacked, target, keepsOwners: isRoot });
  return target;
}

/** "etc/ 755", "etc/motd 644 hello", "mtab -> target" */
function list(folderPath: string, below = ""): string[] {
  return readdirSync(join(folderPath, below), { withFileTypes: true })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(below, entry.name);
      const at = join(folderPath, path);
      const mode = (lstatSync(at).mode & 0o7777).toString(8);
      if (entry.isDirectory()) return [`${path}/ ${mode}`, ...list(folderPath, path)];
      if (entry.isSymbolicLink()) return [`${path} -> ${readlinkSync(at)}`];
      return [`${path} ${mode} ${readFileSync(at, "utf8").slice(0, 20)}`.trimEnd()];
    });
}

async function refusal(work: Promise<unknown>): Promise<AloftError> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AloftError, String(error));
  return error;
}

suite("a layer is unpacked", () => {
  const entries = [
    folder("./"),
    folder("./tmp/", { mode: 0o1777 }),
    folder("usr/", { mode: 0o2755, gid: 50 }),
    file("usr/bin/sudo", "program", { mode: 0o6755, uid: 12, gid: 34, mtimeS: 1_600_000_000 }),
    hardLink("usr/bin/sudo2", "/usr/bin/sudo"),
    symlink("bin", "usr/bin", { uid: 12 }),
    symlink("etc/shadow", "/etc/shadow"),
    { path: "dev/null", flag: "3" },
    file("empty"),
  ];
  const expected = [
    "bin -> usr/bin",
    "empty 644",
    "etc/ 755",
    "etc/shadow -> /etc/shadow",
    "tmp/ 1777",
    "usr/ 755",
    "usr/bin/ 755",
    "usr/bin/sudo 755 program",
    "usr/bin/sudo2 755 program",
  ];
  const tar = writeTar(entries);
  for (const [what, blob] of [
    ["plain", tar],
    ["from gzip", gzipSync(tar)],
    ["from gzip in two parts", Buffer.concat([gzipSync(tar.subarray(0, 700)), gzipSync(tar.subarray(700))])],
    ["from zstd", zstdCompressSync(tar)],
  ] as const) {
    test(`${what}, with its modes and without setuid, setgid and devices`, async () => {
      const { layer, notes } = await unpack(blob);
      assert.deepEqual(list(treeOf(layer)), expected);
      assert.deepEqual(
        [notes.diffId, notes.bytes, notes.entries, notes.implied, notes.owners],
        [hash("sha256", tar), 7, 9, ["usr/bin", "etc"], [0, 12, 34, 50]],
      );
      const stats = lstatSync(join(treeOf(layer), "usr/bin/sudo"));
      assert.deepEqual([stats.nlink, stats.mtimeMs], [2, 1_600_000_000_000]);
      if (isRoot) {
        assert.deepEqual([stats.uid, stats.gid, lstatSync(join(treeOf(layer), "bin")).uid], [12, 34, 12]);
      }
    });
  }

  test("holes stay holes", async () => {
    const pax = { "GNU.sparse.map": "4000000,5", "GNU.sparse.size": "5000000" };
    const { layer, notes } = await unpack(writeTar([file("sparse", "bytes", { pax })]));
    const stats = lstatSync(join(treeOf(layer), "sparse"));
    assert.deepEqual([stats.size, notes.bytes, stats.blocks * 512 < 100_000], [5_000_000, 5_000_000, true]);
    assert.equal(readFileSync(join(treeOf(layer), "sparse")).toString("latin1", 4_000_000, 4_000_005), "bytes");
  });

  test("the later of two entries for one path counts, and a link to the earlier keeps that", async () => {
    const { layer } = await unpack(
      writeTar([file("a", "first"), hardLink("b", "a"), file("a", "second"), symlink("l", "x"), hardLink("m", "l")]),
    );
    assert.deepEqual(list(treeOf(layer)), ["a 644 second", "b 644 first", "l -> x", "m -> x"]);
  });

  test("whiteouts are noted, not made", async () => {
    const { layer, notes } = await unpack(
      writeTar([
        file("a/.wh.b"),
        file("c/.wh..wh..opq"),
        file(".wh..wh.plnk/1.2", "x"),
        file(".wh..wh.aufs"),
        file("d"),
      ]),
    );
    assert.deepEqual(list(treeOf(layer)), ["d 644"]);
    assert.deepEqual([notes.whiteouts, notes.opaque], [["a/b"], ["c"]]);
  });
});

suite("a hostile layer is refused:", () => {
  const huge = Buffer.alloc(2_000_000);
  const cases: readonly (readonly [string, readonly WrittenEntry[] | Buffer, RegExp, ErrorCode?])[] = [
    ["a path that goes up", [file("../neighbour", "x")], /"\.\.\/neighbour", which holds "\.\."/],
    ["a path that goes up later", [file("a/b/../../../neighbour", "x")], /holds "\.\."/],
    ["an absolute path that goes up", [file("/../neighbour", "x")], /holds "\.\."/],
    ["a folder that goes up", [folder("..")], /holds "\.\."/],
    ["a path in pax that goes up", [file("a", "x", { pax: { path: "../neighbour" } })], /holds "\.\."/],
    [
      "a sparse file whose name goes up",
      [file("a", "x", { pax: { "GNU.sparse.map": "0,1", "GNU.sparse.size": "1", "GNU.sparse.name": "../neighbour" } })],
      /holds "\.\."/,
    ],
    ["a write through a link that goes up", [symlink("a", ".."), file("a/neighbour", "x")], /through the link "a"/],
    ["a write through an absolute link", [symlink("etc", "/etc"), file("etc/passwd", "x")], /through the link "etc"/],
    [
      "a write through a link to a folder inside",
      [folder("b"), symlink("a", "b"), file("a/c", "x")],
      /through the link "a"/,
    ],
    [
      "a write through a link of a link",
      [symlink("a", "b"), symlink("b", ".."), folder("a/x")],
      /through the link "a"/,
    ],
    [
      "a write through a hard link of a link",
      [symlink("a", ".."), hardLink("b", "a"), file("b/neighbour", "x")],
      /through the link "b"/,
    ],
    ["a link through a link", [symlink("a", ".."), symlink("a/neighbour", "x")], /through the link "a"/],
    ["a hard link to a path that goes up", [hardLink("a", "../neighbour")], /hard link "a" to "\.\.\/neighbour"/],
    ["a hard link to the root", [hardLink("a", "/")], /which is no file/],
    ["a hard link to a folder", [folder("b"), hardLink("a", "b")], /to the folder "b"/],
    ["a hard link to itself", [hardLink("a", "a")], /to itself/],
    ["a hard link through a link", [symlink("a", ".."), hardLink("b", "a/neighbour")], /through the link "a"/],
    ["a hard link to a whiteout", [hardLink("a", ".wh.b")], /which is no file/],
    ["a file in a file", [file("a", "x"), file("a/b", "x")], /through "a", which is a file/],
    ["a folder that becomes a link", [folder("a"), symlink("a", "..")], /first as a folder/],
    [
      "a folder that was implied and becomes a link",
      [file("a/b"), symlink("a", ".."), file("a/neighbour", "x")],
      /first as a folder/,
    ],
    ["a root that is a link", [symlink("./", "..")], /in place of its root/],
    ["a root that is a file", [file("", "x", { spoil: (header) => header.write(".", 0) })], /in place of its root/],
    ["a block device", [{ path: "disk", flag: "4" }], /block device "disk"/],
    ["a character device", [{ path: "etc/mem", flag: "3" }], /character device "etc\/mem"/],
    ["a device through a link", [{ path: "dev/../mem", flag: "3" }], /holds "\.\."/],
    ["a named pipe", [{ path: "run/pipe", flag: "6" }], /named pipe "run\/pipe"/],
    ["a whiteout of ..", [file("a/.wh...")], /whiteout of a folder that must stay/],
    ["a whiteout of .", [file(".wh..")], /whiteout of a folder that must stay/],
    ["a whiteout of nothing", [file("a/.wh.")], /whiteout of a folder that must stay/],
    ["a whiteout that goes up", [file("../.wh.neighbour")], /holds "\.\."/],
    ["something in a whiteout", [file(".wh.a/b", "x")], /whiteout for a folder/],
    ["an endless path", [file("a", "", { pax: { path: "d/".repeat(2000) } })], /longer than 3072 bytes/],
    ["a long name", [file("a", "", { pax: { path: "n".repeat(256) } })], /part longer than 255 bytes/],
    ["a link to nothing", [symlink("a", "")], /path that cannot be/],
    ["a link to an endless path", [symlink("a", "", { pax: { linkpath: "d/".repeat(3000) } })], /path that cannot be/],
    ["an owner that is none", [file("a", "", { uid: 2 ** 32 - 1 })], /no user of Linux/],
    ["too many bytes in a file", [file("a", huge)], /allowed/, "DEPLOYMENT_TOO_LARGE"],
    [
      "too many bytes in holes",
      [file("a", "x", { pax: { "GNU.sparse.map": "0,1", "GNU.sparse.size": "9000000000000" } })],
      /allowed/,
      "DEPLOYMENT_TOO_LARGE",
    ],
    ["a bomb of zeros", gzipSync(Buffer.alloc(40_000_000)), /allowed/, "DEPLOYMENT_TOO_LARGE"],
    [
      "a bomb behind the archive's end",
      gzipSync(Buffer.concat([writeTar([file("a")]), Buffer.alloc(40_000_000)])),
      /allowed/,
      "DEPLOYMENT_TOO_LARGE",
    ],
    ["a bomb of zstd", zstdCompressSync(Buffer.alloc(40_000_000)), /allowed/, "DEPLOYMENT_TOO_LARGE"],
    [
      "too many entries",
      Array.from({ length: 60 }, (_, at) => folder(`f${at}`)),
      /more than the 50 files/,
      "DEPLOYMENT_TOO_LARGE",
    ],
    ["compression that is cut", gzipSync(writeTar([file("a", "x")])).subarray(0, 60), /cannot be decompressed/],
    [
      "compression of zstd that is cut",
      zstdCompressSync(Buffer.from(writeTar([file("a", "x")]))).subarray(0, 20),
      /decompressed|middle of/,
    ],
    [
      "compression that is damaged",
      Buffer.concat([gzipSync(writeTar([file("a", "x")])).subarray(0, 30), Buffer.alloc(99, 7)]),
      /cannot be decompressed/,
    ],
    ["no archive at all", Buffer.from("<html>not found</html>".repeat(50)), /checksum/],
    ["an archive that is cut", writeTar([file("a", "x".repeat(2000))]).subarray(0, 900), /middle of a file/],
  ];
  for (const [what, layer, message, code = "IMAGE_LAYER_INVALID"] of cases) {
    test(what, async () => {
      const blob = Buffer.isBuffer(layer) ? layer : writeTar(layer);
      const error = await refusal(unpack(blob, { bytesMax: 1_000_000, entriesMax: 50 }));
      assert.deepEqual([error.code, message.test(error.message)], [code, true], error.message);
    });
  }

  test("whatever entries it holds, nothing outside the folder changes and only refusals are thrown", async () => {
    const part = fc.constantFrom("a", "b", "c", "..", ".", "", ".wh.a", ".wh..wh..opq", "etc");
    const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
    const target = fc.oneof(path, fc.constantFrom("/", "..", "/etc", "../neighbour", "../../neighbour"));
    const entry = fc.record({
      path,
      linkPath: target,
      flag: fc.constantFrom("0", "0", "1", "2", "2", "5", "3", "6", "V"),
      content: fc.constantFrom("", "content"),
      mode: fc.integer({ min: 0, max: 0o7777 }),
    });
    const property = fc.asyncProperty(fc.array(entry, { minLength: 2, maxLength: 12 }), async (list) => {
      const tar = writeTar(list.map((one) => (one.flag === "0" ? one : { ...one, content: "" })));
      const neighbours = join(root, "neighbour");
      writeFileSync(neighbours, "untouched");
      await unpack(tar).catch((error: unknown) => assert.ok(error instanceof AloftError, String(error)));
      assert.equal(readFileSync(neighbours, "utf8"), "untouched");
      assert.equal(lstatSync(neighbours).nlink, 1);
    });
    await fc.assert(property, { numRuns: 300 });
    rmSync(join(root, "neighbour"));
  });
});

suite("layers become a root:", () => {
  const base = [
    folder("etc/"),
    file("etc/motd", "hello"),
    file("etc/os", "one"),
    folder("var/cache/", { mode: 0o700 }),
    file("var/cache/x", "x"),
    symlink("lib", "usr/lib"),
    folder("usr/lib/"),
  ];

  test("later ones add, replace and remove", async () => {
    const merged = await merge(
      base,
      [file("etc/os", "two"), file("etc/new", "new"), file("etc/.wh.motd"), file("var/.wh.cache")],
      [file("var/cache", "a file now"), symlink("etc/os", "new")],
    );
    assert.deepEqual(list(merged), [
      "etc/ 755",
      "etc/new 644 new",
      "etc/os -> new",
      "lib -> usr/lib",
      "usr/ 755",
      "usr/lib/ 755",
      "var/ 755",
      "var/cache 644 a file now",
    ]);
  });

  test("an opaque folder hides what was below, and not what comes with it", async () => {
    const merged = await merge(base, [
      file("var/cache/new", "n"),
      file("var/cache/.wh..wh..opq"),
      file("etc/.wh.os"),
      file("etc/os", "3"),
    ]);
    assert.deepEqual(
      list(merged).filter((line) => /cache|os/.test(line)),
      ["etc/os 644 3", "var/cache/ 700", "var/cache/new 644 n"],
    );
  });

  test("a folder that a layer only passes through keeps its mode; one that it lists takes the new one", async () => {
    const merged = await merge(base, [file("var/cache/y")], [folder("etc/", { mode: 0o750 })]);
    assert.ok(list(merged).includes("var/cache/ 700"));
    assert.ok(list(merged).includes("etc/ 750"));
  });

  test("files are shared, not copied, and a hard link may lead to a layer below", async () => {
    const merged = await merge(base, [hardLink("etc/again", "etc/motd")]);
    const stats = lstatSync(join(merged, "etc/motd"));
    assert.equal(stats.nlink, 3, "in the layer, and twice in the root");
    assert.equal(lstatSync(join(merged, "etc/again")).ino, stats.ino);
  });

  test("a folder in place of a link takes its place", async () => {
    const merged = await merge(base, [folder("lib/"), file("lib/a", "a")]);
    assert.deepEqual(
      list(merged).filter((line) => line.startsWith("lib")),
      ["lib/ 755", "lib/a 644 a"],
    );
  });

  const hostile: readonly (readonly [string, readonly WrittenEntry[], readonly WrittenEntry[], RegExp])[] = [
    [
      "a file through a link below",
      [symlink("a", "..")],
      [file("a/x", "x")],
      /"a\/x", which would be reached through "a"/,
    ],
    ["a file through an absolute link below", [symlink("a", root)], [file("a/x", "x")], /reached through "a"/],
    ["a whiteout through a link below", [symlink("a", "..")], [file("a/.wh.neighbour")], /reached through "a"/],
    ["an opaque folder through a link below", [symlink("a", "..")], [file("a/b/.wh..wh..opq")], /reached through "a"/],
    ["a hard link through a link below", [symlink("a", "..")], [hardLink("b", "a/neighbour")], /reached through "a"/],
    ["a hard link to nothing", [file("a")], [hardLink("b", "c")], /no file of the image/],
    ["a hard link to a folder below", [folder("a")], [hardLink("b", "a")], /no file of the image/],
    ["a file in a file below", [file("a", "x")], [file("a/b", "x")], /reached through "a"/],
  ];
  for (const [what, lower, upper, message] of hostile) {
    test(`refused: ${what}`, async () => {
      const error = await refusal(merge(lower, upper));
      assert.deepEqual([error.code, message.test(error.message)], ["IMAGE_LAYER_INVALID", true], error.message);
    });
  }

  test("a whiteout or an opaque mark of a link removes the link alone", async () => {
    const outside = join(root, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "file"), "stays");
    symlinkSync(outside, join(root, "to-outside"));
    const merged = await merge([symlink("a", outside), symlink("b", outside)], [file(".wh.a"), file("b/.wh..wh..opq")]);
    assert.deepEqual(list(merged), [`b -> ${outside}`]);
    assert.equal(readFileSync(join(outside, "file"), "utf8"), "stays");
  });
});
