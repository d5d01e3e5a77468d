import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openBegunMark } from "./begun-mark.ts";

const folder = await mkdtemp(join(tmpdir(), "aloft-mark-"));
after(() => rm(folder, { recursive: true }));

test("what a program wrote to its descriptor 4 is there after its death, and after the mark was closed", () => {
  const mark = openBegunMark(folder, "one");
  assert.ok(mark !== null);
  assert.equal(mark.read(), 0);
  const guest = new URL("../../guest/node/begun-mark.ts", import.meta.url).href;
  const code = `
    const { openBegunMark } = await import(${JSON.stringify(guest)});
    const markBegun = openBegunMark();
    if (!markBegun(7) || !markBegun(4294967295)) process.exit(1);
    process.kill(process.pid, "SIGKILL");
  `;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "ignore", "inherit", "ignore", mark.descriptor],
  });
  assert.equal(run.signal, "SIGKILL");
  assert.equal(mark.read(), 4_294_967_295);
  mark.close();
  mark.close();
  assert.equal(mark.read(), 4_294_967_295);
  assert.equal(existsSync("/dev/shm/aloft-one.begun") || existsSync(join(folder, "aloft-one.begun")), false);
});

test("a guest without descriptor 4 says so", () => {
  const guest = new URL("../../guest/node/begun-mark.ts", import.meta.url).href;
  const code = `const { openBegunMark } = await import(${JSON.stringify(guest)}); console.log(openBegunMark());`;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" });
  assert.equal(run.stdout, "null\n", run.stderr);
});
