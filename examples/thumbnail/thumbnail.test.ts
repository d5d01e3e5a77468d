import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import sharp from "sharp";
import { startTestServer } from "../../test/kit/server.ts";

const server = await startTestServer({ after });
const deployed = await server.deploy(import.meta.dirname);
const sample = await readFile(join(import.meta.dirname, "sample.jpg"));

async function post(query: string, body: Uint8Array<ArrayBuffer> | string): Promise<Response> {
  return await server.fetch("thumbnail", `/${query}`, { method: "POST", body });
}

async function sizeOf(response: Response): Promise<string> {
  assert.equal(response.status, 200);
  const { width, height, format } = await sharp(await response.arrayBuffer()).metadata();
  return `${format} ${width}x${height}`;
}

test("it is one function with a memory of its own", () => {
  assert.deepEqual(
    deployed.functions.map(({ name, group, limits }) => [name, group, limits.memoryMiB]),
    [["thumbnail", "thumbnail", 512]],
  );
});

test("an image is resized and brought to the format that was asked for", async () => {
  const table: [string, string][] = [
    ["", "jpeg 320x213"],
    ["?w=200", "jpeg 200x133"],
    ["?h=100", "jpeg 150x100"],
    ["?w=50&h=50&format=png", "png 50x50"],
    ["?w=64&format=webp", "webp 64x43"],
  ];
  for (const [query, expected] of table) {
    const response = await post(query, sample);
    assert.equal(response.headers.get("image-size"), expected.split(" ")[1]);
    assert.equal(await sizeOf(response), expected, query);
  }
  const png = await sharp({ create: { width: 40, height: 20, channels: 4, background: "#f00" } })
    .png()
    .toBuffer();
  assert.equal(await sizeOf(await post("?w=20&format=png", png)), "png 20x10");
});

test("an image that streams in is resized like one that is there at once", async () => {
  const chunks = Array.from({ length: Math.ceil(sample.length / 4096) }, (_, index) => {
    return sample.subarray(index * 4096, (index + 1) * 4096);
  });
  const response = await server.fetch("thumbnail", "/?w=30", {
    method: "POST",
    body: ReadableStream.from(chunks),
    duplex: "half",
  });
  assert.equal(await sizeOf(response), "jpeg 30x20");
});

test("what is wrong is said", async () => {
  const table: [string, Uint8Array<ArrayBuffer> | string, number, RegExp][] = [
    ["?w=0", sample, 400, /w and h are whole numbers/],
    ["?w=5000", sample, 400, /from 1 to 4096/],
    ["?format=gif", sample, 400, /format is one of/],
    ["", "this is not an image", 415, /not an image/],
    ["", sample.subarray(0, 2000), 415, /not an image/],
  ];
  for (const [query, body, status, message] of table) {
    const response = await post(query, body);
    assert.equal(response.status, status, query);
    assert.match(await response.text(), message);
  }
});
