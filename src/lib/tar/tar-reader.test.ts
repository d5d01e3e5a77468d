import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createReadStream, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import fc from "fast-check";
import { sourceOfChunks, sourceOfFile } from "./byte-source.ts";
import { type TarEntry, TarError, TarReader } from "./tar-reader.ts";
import { file, folder, hardLink, symlink, writeTar, type WrittenEntry } from "./tar-writer.fixture.ts";

const root = mkdtempSync(join(tmpdir(), "aloft-tar-"));
after(() => rmSync(root, { recursive: true, force: true }));

interface Read extends TarEntry {
  readonly content: Buffer;
}

/** In pieces of the size given, so that every boundary is crossed. */
async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readAll(reader: TarReader): Promise<Read[]> {
  const entries: Read[] = [];
  for (let entry = await reader.next(); entry !== null; entry = await reader.next()) {
    const content = Buffer.alloc(Math.min(entry.bytes, 4 * 1024 * 1024));
    for await (const { offset, bytes } of reader.content()) bytes.copy(content, offset);
    entries.push({ ...entry, content });
  }
  return entries;
}

async function read(archive: Buffer, size = 700): Promise<Read[]> {
  return await readAll(new TarReader(sourceOfChunks(inPieces(archive, size))));
}

suite("what is written is read", () => {
  test("kinds, sizes, owners and times", async () => {
    const entries = await read(
      writeTar([
        folder("etc/", { uid: 3, gid: 4, mtimeS: 1000 }),
        file("etc/motd", "hello", { mode: 0o4755, uid: 5_000_000, gid: 7 }),
        symlink("etc/mtab", "../proc/mounts"),
        hardLink("etc/motd2", "etc/motd"),
        { path: "dev/sda", flag: "4" },
        { path: "dev/tty", flag: "3" },
        { path: "run/pipe", flag: "6" },
        file("old/", "", { flag: "\0", magic: "" }),
      ]),
    );
    assert.deepEqual(
      entries.map(({ kind, path, linkPath }) => [kind, path, linkPath]),
      [
        ["folder", "etc/", ""],
        ["file", "etc/motd", ""],
        ["symlink", "etc/mtab", "../proc/mounts"],
        ["hardlink", "etc/motd2", "etc/motd"],
        ["block device", "dev/sda", ""],
        ["character device", "dev/tty", ""],
        ["fifo", "run/pipe", ""],
        ["folder", "old/", ""],
      ],
    );
    assert.deepEqual([entries[0]?.uid, entries[0]?.gid, entries[0]?.mtimeS], [3, 4, 1000]);
    const motd = entries[1];
    assert.deepEqual([motd?.mode, motd?.uid, motd?.bytes, motd?.content.toString()], [0o4755, 5_000_000, 5, "hello"]);
  });

  test("the front part of a long ustar path", async () => {
    const spoil = (header: Buffer): void => void header.write("very/long", 345);
    const [entry] = await read(writeTar([file("name", "x", { spoil })]));
    assert.equal(entry?.path, "very/long/name");
  });

  test("long names, large numbers and fractions of pax, once for all and for one entry", async () => {
    const long = "d/".repeat(300) + "é";
    const entries = await read(
      writeTar([
        { path: "global", flag: "g", content: Buffer.from("15 gid=4711111\n") },
        file("short", "12345", {
          pax: { path: long, uid: "3000000000", mtime: "12.75", "SCHILY.xattr.user.x": "\0\n" },
        }),
        symlink("link", "short", { pax: { linkpath: "t".repeat(500), gid: "5", mtime: "-3.5" } }),
        file("last", "1234567", { size: 0, pax: { size: "7" } }),
      ]),
    );
    assert.deepEqual(
      entries.map(({ path, linkPath, uid, gid, mtimeS }) => [path, linkPath, uid, gid, mtimeS]),
      [
        [long, "", 3_000_000_000, 4_711_111, 12],
        ["link", "t".repeat(500), 0, 5, 0],
        ["last", "", 0, 4_711_111, 1_700_000_000],
      ],
    );
    assert.equal(entries[2]?.content.toString(), "1234567");
  });

  test("an archive that ends without blocks of zeros, and an empty one", async () => {
    assert.equal((await read(writeTar([file("a", "b")], { end: false }))).length, 1);
    assert.deepEqual(await read(Buffer.alloc(0)), []);
  });

  test("whatever the sizes, and wherever the chunks end", async () => {
    const entries = fc.array(
      fc.record({
        path: fc.string({ minLength: 1, maxLength: 400, unit: fc.constantFrom("a", "/", ".", "ü", " ") }),
        content: fc.uint8Array({ maxLength: 3000 }),
        uid: fc.nat(),
      }),
      { maxLength: 8 },
    );
    const property = fc.asyncProperty(entries, fc.integer({ min: 1, max: 2000 }), async (list, size) => {
      const archive = writeTar(
        list.map(({ path, content, uid }) => file("x", Buffer.from(content), { uid, pax: { path } })),
      );
      const found = await read(archive, size);
      assert.deepEqual(
        found.map(({ path, content, uid }) => ({ path, content: new Uint8Array(content), uid })),
        list.map(({ path, content, uid }) => ({ path, content: new Uint8Array(content), uid })),
      );
    });
    await fc.assert(property, { numRuns: 60 });
  });
});

suite("what GNU tar writes", () => {
  const long = "n".repeat(180);
  writeFileSync(join(root, long), "long");
  const sparse = join(root, "sparse");
  writeFileSync(sparse, "begin");
  truncateSync(sparse, 3 * 1024 * 1024);
  writeFileSync(sparse, "end", { flag: "a" });
  // Each island is one part of the map: enough of them for the header's four and more than one block after it.
  const islands = Buffer.alloc(2 * 1024 * 1024);
  const manyHoles = join(root, "many");
  writeFileSync(manyHoles, "");
  truncateSync(manyHoles, islands.length);
  for (let at = 0; at < islands.length; at += 65_536) {
    islands.write(`island ${at}`, at);
    execFileSync("dd", ["of=many", "conv=notrunc", "bs=1", `seek=${at}`, "status=none"], {
      cwd: root,
      input: `island ${at}`,
    });
  }

  for (const parameters of [
    ["--format=gnu"],
    ["--format=pax", "--sparse-version=0.0"],
    ["--format=pax", "--sparse-version=0.1"],
    ["--format=pax", "--sparse-version=1.0"],
  ]) {
    test(`with ${parameters.join(" ")}: long names and holes`, async () => {
      const archive = execFileSync("tar", ["-cS", ...parameters, long, "sparse", "many"], { cwd: root });
      assert.ok(archive.length < 1024 * 1024, "the archive has the holes");
      const entries = await read(archive, 1000);
      assert.deepEqual(
        entries.map(({ path, bytes }) => [path, bytes]),
        [
          [long, 4],
          ["sparse", 3 * 1024 * 1024 + 3],
          ["many", islands.length],
        ],
      );
      const content = entries[1]?.content ?? Buffer.alloc(0);
      assert.deepEqual(
        [content.toString("latin1", 0, 5), content.toString("latin1", 3 * 1024 * 1024)],
        ["begin", "end"],
      );
      assert.ok(content.subarray(5, 3 * 1024 * 1024).every((byte) => byte === 0));
      assert.ok(entries[2]?.content.equals(islands));
    });
  }

  test("from a file, bodies are passed over without being read", async () => {
    const path = join(root, "a.tar");
    execFileSync("tar", ["-cf", path, long, "many"], { cwd: root });
    await using handle = await open(path);
    const source = sourceOfFile(handle, (await handle.stat()).size);
    const reader = new TarReader(source);
    assert.equal((await reader.next())?.path, long);
    assert.equal((await reader.next())?.path, "many");
    assert.equal(await reader.next(), null);
    const streamed = await readAll(new TarReader(sourceOfChunks(createReadStream(path))));
    assert.equal(streamed.length, 2);
  });
});

suite("what is no archive", () => {
  const sparseRecords = (map: string, size = "10"): NonNullable<WrittenEntry["pax"]> => ({
    "GNU.sparse.map": map,
    "GNU.sparse.size": size,
  });
  const noise = Buffer.from("this is not a header".padEnd(512, "."));
  const cases: readonly (readonly [string, Buffer, RegExp])[] = [
    ["something else", noise, /checksum/],
    ["a part of a header", noise.subarray(0, 100), /middle of a header/],
    ["a file that is cut", writeTar([file("a", "b".repeat(600))]).subarray(0, 1000), /middle of a file/],
    ["a size that nothing has", writeTar([file("a", "", { size: 2 ** 60 })]), /size is out of range/],
    [
      "a size in pax that nothing has",
      writeTar([file("a", "", { pax: { size: "9".repeat(30) } })]),
      /number that is none/,
    ],
    ["a negative owner", writeTar([file("a", "", { pax: { uid: "-1" } })]), /number that is none/],
    ["a negative size", writeTar([file("a", "", { spoil: (header) => header.fill(0xff, 124, 136) })]), /negative/],
    [
      "letters for a size",
      writeTar([file("a", "", { spoil: (header) => header.write("12x", 124) })]),
      /size is no number/,
    ],
    [
      "a huge extended header",
      writeTar([{ path: "x", flag: "x", size: 2 ** 33 }]),
      /extended header of 8589934592 bytes/,
    ],
    ["a huge long name", writeTar([{ path: "x", flag: "L", size: 2 ** 33 }]), /extended header of 8589934592 bytes/],
    [
      "an extended header that is cut",
      writeTar([{ path: "x", flag: "x", size: 900 }], { end: false }),
      /middle of an ext/,
    ],
    [
      "an extended header of nothing",
      writeTar([{ path: "x", flag: "x", content: "10 path=a\n" }]),
      /ends after an ext/,
    ],
    ["a record that is too long", writeTar([{ path: "x", flag: "x", content: "99 path=a\n" }]), /damaged extended/],
    ["a record without length", writeTar([{ path: "x", flag: "x", content: "path=a\n" }]), /damaged extended/],
    ["a record of no length", writeTar([{ path: "x", flag: "x", content: "0 path=a\n" }]), /damaged extended/],
    ["a zero byte in a path", writeTar([file("a", "", { pax: { path: "a\0b" } })]), /zero byte/],
    ["a name in another encoding", writeTar([file("a", "", { spoil: (header) => (header[0] = 0xe9) })]), /not UTF-8/],
    ["holes out of order", writeTar([file("a", "12", { pax: sparseRecords("5,1,2,1") })]), /bad list of holes/],
    ["holes beyond the end", writeTar([file("a", "12", { pax: sparseRecords("9,2") })]), /bad list of holes/],
    ["holes for other data", writeTar([file("a", "12", { pax: sparseRecords("0,1") })]), /does not fit its data/],
    ["a map without an end", writeTar([file("a", "9".repeat(512), { pax: sparse10("10") })]), /bad list of holes/],
    ["a map of millions", writeTar([file("a", "99999999\n".padEnd(512), { pax: sparse10("10") })]), /too many holes/],
    ["a map that is cut", writeTar([file("a", "3\n1\n", { pax: sparse10("10") })], { end: false }), /bad list|middle/],
  ];
  for (const [what, archive, expected] of cases) {
    test(what, async () => {
      await assert.rejects(read(archive), (error: Error) => error instanceof TarError && expected.test(error.message));
    });
  }

  function sparse10(size: string): NonNullable<WrittenEntry["pax"]> {
    return { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a", "GNU.sparse.realsize": size };
  }

  test("whatever bytes come, it ends with entries or with a TarError", async () => {
    const good = writeTar([
      folder("a/"),
      file("a/b", "content", { pax: { path: "a/longer", mtime: "1.5" } }),
      file("s", "12", { pax: sparseRecords("0,1,5,1") }),
      { path: "x", flag: "L", content: "long\0" },
      symlink("c", "d"),
    ]);
    const spoilt = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
    const property = fc.asyncProperty(spoilt, fc.nat(good.length), async (changes, end) => {
      const bytes = Buffer.from(good);
      for (const [at, value] of changes) bytes[at] = value;
      await read(bytes.subarray(0, end)).catch((error: unknown) => assert.ok(error instanceof TarError, String(error)));
    });
    await fc.assert(property, { numRuns: 400 });
  });
});
