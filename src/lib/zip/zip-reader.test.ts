import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { readZip, ZipError } from "./zip-reader.ts";
import { writeZip, type WrittenZipEntry } from "./zip-writer.fixture.ts";

test("files, folders and links are found, with what may be run", () => {
  const archive = writeZip([
    { path: "bin/", mode: 0o040755 },
    { path: "bin/tool", content: "#!/bin/sh\n".repeat(100), mode: 0o100755 },
    { path: "./lib//a.so", content: "so", isStored: true },
    { path: "lib/b.so", content: "a.so", mode: 0o120777 },
    { path: "ü", content: "", mode: 0 },
  ]);
  const entries = readZip(archive, 100, 10_000);
  assert.deepEqual(
    entries.map(({ path, kind, isExecutable, bytes }) => [path, kind, isExecutable, bytes]),
    [
      ["bin", "folder", true, 0],
      ["bin/tool", "file", true, 1000],
      ["lib/a.so", "file", false, 2],
      ["lib/b.so", "link", true, 4],
      ["ü", "file", false, 0],
    ],
  );
  assert.equal(entries[1]?.read().toString(), "#!/bin/sh\n".repeat(100));
  assert.equal(entries[3]?.read().toString(), "a.so");
});

test("what another tool has written is read", (t) => {
  const script = `
import sys, zipfile, io
out = io.BytesIO()
with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
    info = zipfile.ZipInfo("python/m.py"); info.external_attr = 0o100644 << 16; info.create_system = 3
    archive.writestr(info, "x = 1\\n" * 50)
    archive.comment = b"a comment"
sys.stdout.buffer.write(out.getvalue())`;
  const { status, stdout } = spawnSync("python3", ["-c", script]);
  if (status !== 0) return t.skip("there is no python3");
  const [entry] = readZip(stdout, 10, 1000);
  assert.deepEqual([entry?.path, entry?.read().toString()], ["python/m.py", "x = 1\n".repeat(50)]);
});

test("what is no archive, damaged, or leads out of it is refused", () => {
  const cases: readonly (readonly [WrittenZipEntry, RegExp])[] = [
    [{ path: "../x" }, /"\.\.\/x", which is no path inside it/],
    [{ path: "/etc/x" }, /no path inside/],
    [{ path: "a/../../x" }, /no path inside/],
    [{ path: "a\\b" }, /no path inside/],
    [{ path: "a\0b" }, /no path inside/],
    [{ path: "./" }, /no path inside/],
    [{ path: "a", flags: 1 }, /a is encrypted/],
    [{ path: "a", method: 12 }, /a is packed by the method 12/],
    [{ path: "a", bytes: 0xffff_ffff }, /a has 64-bit sizes/],
    [{ path: "a", content: "x".repeat(1001) }, /a has 1001 bytes, allowed are 1000/],
    [{ path: "a", content: "x", crc: 1 }, /a is damaged/],
    [{ path: "a", content: "x".repeat(2000), bytes: 10 }, /a is damaged/],
    [{ path: "a", content: "no deflate", isStored: true, method: 8 }, /a is damaged/],
  ];
  for (const [entry, message] of cases) {
    assert.throws(() => readZip(writeZip([entry]), 10, 1000).map((one) => one.read()), message, entry.path);
  }
  assert.throws(() => readZip(writeZip([{ path: "a" }, { path: "b" }]), 1, 1000), /2 entries, allowed are 1/);
  assert.throws(() => readZip(Buffer.from("PK"), 1, 1), /no zip archive/);
});

test("an archive of any bytes is read, or refused as one", () => {
  const whole = writeZip([
    { path: "a/b", content: "hello ".repeat(20) },
    { path: "c", content: "d", isStored: true },
  ]);
  const changes = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 4 });
  fc.assert(
    fc.property(changes, fc.nat(whole.length), (bytes, cut) => {
      const archive = Buffer.from(whole);
      for (const [at, byte] of bytes) archive[at] = byte;
      try {
        for (const entry of readZip(archive.subarray(0, cut === 0 ? whole.length : cut), 10, 10_000)) entry.read();
      } catch (error) {
        assert.ok(error instanceof ZipError, String((error as Error).stack));
      }
    }),
  );
});
