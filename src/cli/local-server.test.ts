import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findLocalServer, removeLocalServer, writeLocalServer } from "./local-server.ts";

let folder = "";
let below = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "aloft-local-"));
  below = join(folder, "shop", "src");
  await mkdir(below, { recursive: true });
});
after(() => rm(folder, { recursive: true }));

const server = { admin: "http://127.0.0.1:8788", token: "t0ken", pid: process.pid };

test("a running dev is found from the folders below, and no more when it has ended", async () => {
  writeLocalServer(folder, server);
  assert.deepEqual(findLocalServer(below), server);
  assert.equal((await stat(join(folder, ".aloft", "server.json"))).mode & 0o777, 0o600);
  removeLocalServer(folder);
  assert.equal(findLocalServer(below), null);
});

test("the file of another process stays when this one ends", () => {
  writeLocalServer(folder, { ...server, pid: 1 });
  removeLocalServer(folder);
  assert.equal(findLocalServer(below)?.pid, 1);
});

test("a file that others can read, or that names another machine, is not believed", async () => {
  writeLocalServer(folder, server);
  await chmod(join(folder, ".aloft", "server.json"), 0o644);
  assert.equal(findLocalServer(below), null);
  writeLocalServer(folder, { ...server, admin: "http://203.0.113.5:8788" });
  assert.equal(findLocalServer(below), null);
});
