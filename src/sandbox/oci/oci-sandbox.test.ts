import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { getPriority, setPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { suite, type TestContext, test } from "node:test";
import type { Sandbox, SandboxProcess, SandboxSpec } from "../../contract/sandbox.ts";
import { ociMissing, openForTest } from "../open-for-test.fixture.ts";
import { sandboxSuite, specOf } from "../sandbox.suite.ts";
import { Cgroup, findCgroupPlace } from "./cgroups.ts";
import { groupNameOf, runFolderOf } from "./oci-sandbox.ts";
import { raiseServer } from "./server-priority.ts";

const missing = await ociMissing();
if (missing === null) {
  sandboxSuite({ kind: "oci", open: (folder) => openForTest("oci", folder) });
} else {
  console.log(`skipped: ${missing}`);
}

suite("what only the oci sandbox does", { skip: missing ?? false }, () => {
  async function open(t: TestContext): Promise<{ sandbox: Sandbox; folder: string }> {
    const base = mkdtempSync(join(tmpdir(), "aloft-oci-"));
    const folder = join(base, "containers");
    const sandbox = await openForTest("oci", folder);
    t.after(async () => {
      await sandbox.close();
      rmSync(base, { recursive: true, force: true });
    });
    return { sandbox, folder };
  }

  async function run(t: TestContext, code: string, over: Partial<SandboxSpec> = {}): Promise<SandboxProcess> {
    const { sandbox } = await open(t);
    const started = sandbox.start(specOf("one", code, over));
    started.socket.on("error", () => {});
    return started;
  }

  test("a program that takes more memory than it has is ended, and that is told apart from a crash", async (t) => {
    const { exited } = await run(t, "const held = []; for (;;) held.push(Buffer.alloc(1 << 20, 1))", { memoryMiB: 64 });
    assert.deepEqual(await exited, { code: null, signal: "SIGKILL", oomKilled: true });
  });

  test("files in /tmp count as memory, and there is an end to them", async (t) => {
    const code = `const block = Buffer.alloc(4 << 20); try { for (let n = 0; ; n += 1) fs.writeFileSync("/tmp/" + n, block); } catch (e) { say([e.code, fs.readdirSync("/tmp").length]) }`;
    const started = await run(t, code, { memoryMiB: 128 });
    assert.deepEqual(JSON.parse(await text(started.socket)), ["ENOSPC", 17]);
  });

  test("a program gets no more threads and processes than its limit", async (t) => {
    // libuv makes all threads of its pool at the first use, and aborts when it cannot have them.
    const code = `fs.readFile("/etc/passwd", () => say("read"))`;
    const few = await run(t, code, { env: { UV_THREADPOOL_SIZE: "200" } });
    assert.equal(await text(few.socket), `"read"`);
    const many = await run(t, code, { env: { UV_THREADPOOL_SIZE: "300" } });
    assert.equal((await many.exited).signal, "SIGSEGV");
  });

  test("every instance has a user of its own on this host, and is nobody inside", async (t) => {
    const { sandbox, folder } = await open(t);
    const code = `fs.writeSync(3, String(process.getuid()) + " " + process.getgid()); setInterval(() => {}, 1000)`;
    const started = ["a", "b"].map((id) => sandbox.start(specOf(id, code)));
    const users = [];
    for (const one of started) {
      const [said] = (await once(one.socket, "data")) as [Buffer];
      assert.equal(said.toString(), "65534 65534");
      const [pid = 0] = groupOf(folder, one.id).processes();
      users.push(statSync(`/proc/${pid}`).uid);
    }
    assert.equal(new Set(users).size, 2);
    for (const user of users) assert.ok(user >= 1_900_000_000 && user < 1_900_065_536, `${user}`);
  });

  test("the server's threads come before containers, which start at the usual priority", async (t) => {
    const { sandbox, folder } = await open(t);
    const before = getPriority();
    t.after(() => setPriority(before));
    raiseServer();
    assert.equal(getPriority(), -10);
    const code = `fs.writeSync(3, "up"); setInterval(() => {}, 1000)`;
    for (const [priority, nice] of [["normal", 0] as const, ["background", 10] as const]) {
      const started = sandbox.start(specOf(priority, code, { priority }));
      started.socket.on("error", () => {});
      await once(started.socket, "data");
      const threads = [started.pid, ...groupOf(folder, priority).threads()];
      assert.ok(threads.length > 4);
      assert.deepEqual(new Set(threads.map((thread) => getPriority(thread))), new Set([nice]));
      started.kill();
      await started.exited;
    }
  });

  test("priority is the weight of the instance's own group", async (t) => {
    const { sandbox, folder } = await open(t);
    const started = sandbox.start(
      specOf("one", `fs.writeSync(3, "up"); setInterval(() => {}, 1000)`, { priority: "background" }),
    );
    await once(started.socket, "data");
    const shares = (): string => {
      const [cpu = ""] = groupOf(folder, "one").folders.filter((path) => existsSync(join(path, "cpu.shares")));
      return cpu === "" ? "" : readFileSync(join(cpu, "cpu.shares"), "utf8").trim();
    };
    if (shares() === "") {
      t.skip("this host has cgroups of version 2");
      return;
    }
    assert.equal(shares(), "102");
    started.setPriority("normal");
    assert.equal(shares(), "1024");
    started.setPriority("background");
    assert.equal(shares(), "102");
  });

  test("what a program is given it can neither change nor remove", async (t) => {
    const { sandbox, folder } = await open(t);
    const root = join(folder, "..", "deployment");
    mkdirSync(root);
    writeFileSync(join(root, "index.mjs"), "1", { mode: 0o444 });
    const code = `const s = new net.Socket({ fd: 3 }); const why = (act) => { try { act(); return "done"; } catch (e) { return e.code; } };
      s.on("data", (d) => s.end(JSON.stringify([why(() => fs.appendFileSync(d + "/index.mjs", "x")), why(() => fs.unlinkSync(d + "/index.mjs")),
        why(() => fs.writeFileSync(d + "/new", "")), why(() => fs.chmodSync(d + "/index.mjs", 0o777)), why(() => fs.renameSync(d + "/index.mjs", d + "/b"))])));`;
    const started = sandbox.start(specOf("one", code));
    started.socket.write(await started.place(root));
    const refusals = JSON.parse(await text(started.socket)) as string[];
    for (const refusal of refusals) assert.match(refusal, /^(?:EROFS|EACCES)$/);
    assert.equal(refusals.length, 5);
    assert.equal(readFileSync(join(root, "index.mjs"), "utf8"), "1");
  });

  test("nothing is left on the host: no group, no folder, no note of the runtime", async (t) => {
    const base = mkdtempSync(join(tmpdir(), "aloft-oci-"));
    t.after(() => rmSync(base, { recursive: true, force: true }));
    const sandbox = await openForTest("oci", base);
    const started = sandbox.start(specOf("one", ""));
    await started.exited;
    for (const folder of groupOf(base, "one").folders) assert.equal(existsSync(folder), false, folder);
    assert.equal(existsSync(join(runFolderOf(base), "state", groupNameOf(base, "one"))), false);
    await sandbox.close();
    assert.equal(existsSync(runFolderOf(base)), false);
  });
});

function groupOf(folder: string, id: string): Cgroup {
  const place = findCgroupPlace(
    readFileSync("/proc/self/cgroup", "utf8"),
    readFileSync("/proc/self/mountinfo", "utf8"),
  );
  return new Cgroup(place, groupNameOf(folder, id));
}
