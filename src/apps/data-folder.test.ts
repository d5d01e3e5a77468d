import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openDataFolder, openNewDataFolder } from "./data-folder.ts";

const base = await mkdtemp(join(tmpdir(), "aloft-data-"));
after(() => rm(base, { recursive: true }));

test("a new data folder is made with its parts, for the server's user alone", async () => {
  const folder = await openDataFolder(join(base, "new", "deep"));
  for (const part of [folder.root, folder.files, folder.deployments, folder.observe, folder.run]) {
    assert.equal((await stat(part)).mode & 0o777, 0o700);
  }
  folder.close();
  folder.close();
});

test("a folder in use is refused with its name and the process, and is free again once that is killed", async () => {
  const path = join(base, "locked");
  const holder = spawn(process.execPath, [join(import.meta.dirname, "data-folder.child.ts"), path], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(holder.stdout, "data");
  await assert.rejects(openDataFolder(path), {
    code: "DATA_LOCKED",
    message: `${path} is in use by another server (process ${holder.pid})`,
  });
  holder.kill("SIGKILL");
  await once(holder, "exit");
  (await openDataFolder(path)).close();
});

test("one process cannot open a folder twice", async () => {
  const folder = await openDataFolder(join(base, "twice"));
  await assert.rejects(openDataFolder(folder.root), { code: "DATA_LOCKED" });
  folder.close();
});

test("a folder of a newer format is left alone, and one whose format is unreadable is damaged", async () => {
  const path = join(base, "format");
  (await openDataFolder(path)).close();
  await writeFile(join(path, "format.json"), '{"format":3}');
  await assert.rejects(openDataFolder(path), { code: "DATA_TOO_NEW" });
  await writeFile(join(path, "format.json"), "{");
  await assert.rejects(openDataFolder(path), { code: "DATA_CORRUPT" });
});

test("a folder of an older format is of this one as soon as it was opened", async () => {
  const path = join(base, "older");
  await mkdir(path);
  await writeFile(join(path, "format.json"), '{"format":1}');
  (await openDataFolder(path)).close();
  assert.equal(await readFile(join(path, "format.json"), "utf8"), '{"format":2}\n');
});

test("a folder to restore into is empty, is no data folder before it is finished, and is empty again when given up", async () => {
  const path = join(base, "restored");
  const given = await openNewDataFolder(path);
  await assert.rejects(openNewDataFolder(path), { code: "DATA_NOT_EMPTY" });
  await writeFile(join(path, "something"), "");
  await given.abandon();
  assert.deepEqual(await readdir(path), []);
  const killed = await openNewDataFolder(path);
  await writeFile(killed.keyspaceFile, "");
  await assert.rejects(openDataFolder(path), { code: "DATA_LOCKED" });
  await killed.finish();
  (await openDataFolder(path)).close();
  await writeFile(join(path, "restore.unfinished"), "");
  await assert.rejects(openDataFolder(path), { code: "DATA_CORRUPT", message: /was not finished/ });
  await assert.rejects(openNewDataFolder(path), { code: "DATA_NOT_EMPTY" });
});

test("a path that is a file is not writable as a folder", async () => {
  const path = join(base, "file");
  await writeFile(path, "");
  await assert.rejects(openDataFolder(path), { code: "DATA_UNWRITABLE" });
  await assert.rejects(openDataFolder(join(path, "below")), { code: "DATA_UNWRITABLE" });
});

const isRoot = process.getuid?.() === 0 ? "root may write everywhere" : false;

test("a folder without the right to write is refused", { skip: isRoot }, async () => {
  const path = join(base, "readonly");
  await mkdir(path);
  await chmod(path, 0o500);
  await assert.rejects(openDataFolder(path), { code: "DATA_UNWRITABLE" });
  await chmod(path, 0o700);
});
