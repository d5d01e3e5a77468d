import assert from "node:assert/strict";
import { after, test } from "node:test";
import { inflateSync } from "node:zlib";
import { pythonMissing } from "../../test/kit/python.ts";
import { startTestServer } from "../../test/kit/server.ts";

const skip = pythonMissing() ?? false;

/** Of a greyscale PNG with one byte a pixel and no filters: its size and its pixels. */
function readPng(bytes: Buffer): { pixels: number; at: (column: number, row: number) => number } {
  assert.equal(bytes.toString("latin1", 1, 4), "PNG");
  const pixels = bytes.readUInt32BE(16);
  const data: Buffer[] = [];
  for (let at = 8; at < bytes.length; at += 12 + bytes.readUInt32BE(at)) {
    if (bytes.toString("latin1", at + 4, at + 8) === "IDAT")
      data.push(bytes.subarray(at + 8, at + 8 + bytes.readUInt32BE(at)));
  }
  const lines = inflateSync(Buffer.concat(data));
  assert.equal(lines.length, pixels * (pixels + 1));
  return { pixels, at: (column, row) => lines[row * (pixels + 1) + 1 + column] ?? -1 };
}

test("an image is rendered as it was asked for", { skip }, async () => {
  const server = await startTestServer({ after });
  await server.deploy(import.meta.dirname);
  const images = await Promise.all(
    ["?pixels=64", "?pixels=32&x=-1.5&y=0&width=0.5"].map(async (query) => {
      const response = await server.fetch("python-fractal", `/${query}`);
      assert.equal(response.headers.get("content-type"), "image/png");
      return readPng(Buffer.from(await response.arrayBuffer()));
    }),
  );
  const [whole, part] = images;
  assert.equal(whole?.pixels, 64);
  assert.equal(whole?.at(32, 32), 0, "the middle belongs to the set");
  assert.ok((whole?.at(0, 0) ?? 0) > 200, "the corner leaves it at once");
  assert.equal(part?.pixels, 32);
  const refused = await server.fetch("python-fractal", "/?pixels=5000");
  assert.equal(refused.status, 400);
  assert.equal((await server.fetch("python-fractal", "/other")).status, 404);
});
