import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { main } from "./main.ts";

test("a download that is cut is told as that, and leaves the file as it was", async (t) => {
  const server = createServer((_request, response) => {
    response.write("half of ", () => response.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const folder = await mkdtemp(join(tmpdir(), "aloft-blobs-"));
  t.after(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const file = join(folder, "a.txt");
  await writeFile(file, "former");
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const streams = { stdin: Object.assign(new PassThrough(), { isTTY: false }), stdout, stderr };
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const [err, code] = await Promise.all([
    text(stderr),
    main(["blobs", "get", "shop", "files", "a", file, "--server", address, "--token", "t"], streams).finally(() =>
      [stdout, stderr].forEach((one) => one.end()),
    ),
  ]);
  assert.equal(code, 1);
  assert.match(err, /SERVER_UNREACHABLE: the connection to .* was cut/);
  assert.equal(await readFile(file, "utf8"), "former");
  assert.deepEqual(await readdir(folder), ["a.txt"]);
});
