/** What every driver of the Sandbox port does, told by programs that run in it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, type TestContext, test } from "node:test";
import { text } from "node:stream/consumers";
import type { Sandbox, SandboxProcess, SandboxSpec } from "../contract/sandbox.ts";

export type SandboxKind = "process" | "oci";

export interface SuiteOptions {
  readonly kind: SandboxKind;
  readonly open: (folder: string) => Promise<Sandbox>;
}

export function sandboxSuite({ kind, open }: SuiteOptions): void {
  suite(`the ${kind} sandbox`, () => {
    const base = mkdtempSync(join(tmpdir(), "aloft-sandbox-"));
    const folder = join(base, "instances");
    let sandbox: Sandbox;
    let ids = 0;
    before(async () => {
      sandbox = await open(folder);
    });
    after(async () => {
      await sandbox.close();
      rmSync(base, { recursive: true, force: true });
    });

    function start(t: TestContext, code: string, over: Partial<SandboxSpec> = {}): SandboxProcess {
      const started = sandbox.start(specOf(`id-${(ids += 1)}`, code, over));
      t.after(async () => {
        started.kill();
        await started.exited;
      });
      started.socket.on("error", () => {});
      return started;
    }

    test("a program speaks over descriptor 3, both ways", async (t) => {
      const { socket, exited } = start(
        t,
        `const s = new net.Socket({ fd: 3 }); s.once("data", (d) => s.end("you said " + d));`,
      );
      socket.write("hello");
      assert.equal(await text(socket), "you said hello");
      assert.deepEqual(await exited, { code: 0, signal: null, oomKilled: false });
    });

    test("what a program prints arrives on the stream it printed to", async (t) => {
      const { stdout, stderr } = start(t, `fs.writeSync(1, "out"); fs.writeSync(2, "err");`);
      assert.deepEqual(await Promise.all([text(stdout), text(stderr)]), ["out", "err"]);
    });

    test("a program has the environment it was given and nothing of the server's", async (t) => {
      const started = start(t, "say(process.env)", { env: { COLOUR: "red", EMPTY: "" } });
      const { TMPDIR, HOME, ...given } = JSON.parse(await text(started.socket)) as Record<string, string>;
      assert.deepEqual(given, { COLOUR: "red", EMPTY: "" });
      assert.match(TMPDIR ?? "", /^\//);
      assert.ok(HOME === undefined || HOME === "/tmp");
    });

    test("a program can write where TMPDIR says", async (t) => {
      const code = `const file = process.env.TMPDIR + "/x"; fs.writeFileSync(file, "kept"); say(fs.readFileSync(file, "utf8"))`;
      assert.equal(await text(start(t, code).socket), `"kept"`);
    });

    test("a program that is running reads the files it is given, wherever it finds them", async (t) => {
      const root = join(base, "deployment");
      mkdirSync(join(root, "lib"), { recursive: true });
      writeFileSync(join(root, "lib", "one.txt"), "one");
      for (let n = 0; n < 600; n += 1) writeFileSync(join(root, `${n}.txt`), String(n));
      const code = `const s = new net.Socket({ fd: 3 }); s.on("data", (d) => s.end(
        JSON.stringify([fs.readdirSync(String(d)).length, fs.readFileSync(d + "/lib/one.txt", "utf8"), fs.readFileSync(d + "/599.txt", "utf8")])));`;
      const started = start(t, code);
      started.socket.write(await started.place(root));
      assert.deepEqual(JSON.parse(await text(started.socket)), [601, "one", "599"]);
    });

    test("the exit of a program is told by its code", async (t) => {
      assert.deepEqual(await start(t, "process.exit(7)").exited, { code: 7, signal: null, oomKilled: false });
    });

    test("the exit of a program that crashed is told by its signal", async (t) => {
      const { code, signal, oomKilled } = await start(t, "process.abort()").exited;
      assert.equal(code, null);
      assert.match(String(signal), /^SIG(?:ABRT|SEGV|TRAP|ILL)$/);
      assert.equal(oomKilled, false);
    });

    test("a program that does not exist ends at once, without success", async (t) => {
      const started = start(t, "", { argv: ["/nowhere/program"], files: [] });
      started.stderr.resume();
      assert.notEqual((await started.exited).code, 0);
    });

    test("kill ends the program and everything it started, and is heard once however often it is called", async (t) => {
      const mark = `aloft-mark-${process.pid}-${(ids += 1)}`;
      const child = `child_process.spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", "${mark}"], { detached: true, stdio: "ignore" })`;
      const started = start(t, `${child}.once("spawn", () => fs.writeSync(3, "up")); setInterval(() => {}, 1000)`);
      await once(started.socket, "data");
      assert.ok(processesWith(mark).length > 0);
      started.kill();
      started.kill();
      const exit = await started.exited;
      assert.equal(exit.oomKilled, false);
      assert.deepEqual(exit.signal, "SIGKILL");
      if (kind === "oci") assert.deepEqual(processesWith(mark), []);
      else for (const pid of processesWith(mark)) process.kill(pid, "SIGKILL");
    });

    test("a program can be killed while it is being started", async (t) => {
      const started = [0, 1, 2, 5, 10, 20, 40].map((delayMs) => ({
        delayMs,
        one: start(t, "setInterval(() => {}, 1000)"),
      }));
      for (const { delayMs, one } of started) setTimeout(() => one.kill(), delayMs);
      for (const { one } of started) {
        const { code, signal } = await one.exited;
        assert.ok(signal !== null || code !== 0);
        assert.equal(existsSync(one.folder), false);
      }
    });

    test("what a program wrote to descriptor 4 is known, also after its end", async (t) => {
      const code = `const mark = Buffer.alloc(4); mark.writeUInt32LE(7); fs.writeSync(4, mark, 0, 4, 0); fs.writeSync(3, String(fs.fstatSync(4).size));
        new net.Socket({ fd: 3 }).once("data", () => { mark.writeUInt32LE(9); fs.writeSync(4, mark, 0, 4, 0); process.kill(process.pid, "SIGKILL"); process.abort(); });`;
      const started = start(t, code);
      assert.equal(started.readBegun(), 0);
      assert.equal(String(await once(started.socket, "data")), "4");
      assert.equal(started.readBegun(), 7);
      started.socket.write("on");
      await started.exited;
      assert.equal(started.readBegun(), 9);
    });

    test("when a program has ended nothing is kept of it", async (t) => {
      const started = start(t, "");
      assert.ok(existsSync(started.folder));
      await started.exited;
      assert.equal(existsSync(started.folder), false);
      assert.equal(started.memoryBytes(), null);
    });

    test("memory is that of the program itself, as it grows", async (t) => {
      const code = `const s = new net.Socket({ fd: 3 }); fs.writeSync(3, "up"); let held;
        s.on("data", () => { held = Buffer.alloc(64 << 20, 1); fs.writeSync(3, "held"); });`;
      const started = start(t, code);
      await once(started.socket, "data");
      const before = started.memoryBytes() ?? 0;
      assert.ok(before > 2 << 20 && before < 64 << 20, `${before}`);
      started.socket.write("grow");
      await once(started.socket, "data");
      const grownBy = (started.memoryBytes() ?? 0) - before;
      assert.ok(grownBy > 60 << 20 && grownBy < 80 << 20, `${grownBy}`);
    });

    test("a program that was started in the background can be brought to the front", async (t) => {
      const started = start(t, `fs.writeSync(3, "up"); setInterval(() => {}, 1000)`, { priority: "background" });
      await once(started.socket, "data");
      started.setPriority("normal");
      started.setPriority("background");
      started.kill();
      await started.exited;
      started.setPriority("normal");
    });

    test("programs have nothing of each other's folders", async (t) => {
      const [one, other] = [start(t, "setInterval(() => {}, 1000)"), start(t, "setInterval(() => {}, 1000)")];
      assert.notEqual(one.folder, other.folder);
      assert.notEqual(one.id, other.id);
    });

    test("a program that shares another's network speaks to it over the loopback", async (t) => {
      const code = `const server = net.createServer((s) => s.end("hello")).listen(0, "127.0.0.1", () => fs.writeSync(3, String(server.address().port)));`;
      const one = start(t, code, { network: true });
      const [port] = (await once(one.socket, "data")) as [Buffer];
      const asking = `net.connect(${port.toString()}, "127.0.0.1").on("data", (d) => say(String(d))).on("error", (e) => say(e.code));`;
      assert.equal(await text(start(t, asking, { sharesNetworkOf: one.id }).socket), `"hello"`);
      if (kind === "oci") assert.equal(await text(start(t, asking, { network: true }).socket), `"ECONNREFUSED"`);
    });

    test("a program whose network is to be shared has to run", (t) => {
      if (kind === "process") return;
      assert.throws(() => start(t, "", { sharesNetworkOf: "nobody" }), { code: "SANDBOX_START_FAILED" });
    });

    test("what a killed server left is ended and removed by the next one", async () => {
      const mark = `aloft-mark-${process.pid}-${(ids += 1)}`;
      const left = join(base, "left");
      const owner = spawn(process.execPath, [join(import.meta.dirname, "sandbox-owner.child.ts"), kind, left, mark]);
      let complaint = "";
      owner.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
      const [first] = (await Promise.race([once(owner.stdout, "data"), once(owner, "close")])) as [unknown];
      assert.equal(String(first), "up\n", complaint);
      assert.ok(processesWith(mark).length > 0);
      owner.kill("SIGKILL");
      await once(owner, "close");
      const next = await open(left);
      assert.deepEqual(readdirSync(left), []);
      // The kernel takes a moment from the signal to the end.
      while (processesWith(mark).length > 0) await new Promise((resolve) => setImmediate(resolve));
      await next.close();
    });

    test("close ends whatever runs", async () => {
      const own = await open(join(base, "closing"));
      const started = [0, 1].map((n) => own.start(specOf(`closing-${n}`, "setInterval(() => {}, 1000)")));
      await own.close();
      for (const one of started) assert.notEqual((await one.exited).code, 0);
      assert.deepEqual(readdirSync(join(base, "closing")), []);
    });
  });
}

const prelude = `const fs = require("node:fs"), net = require("node:net"), child_process = require("node:child_process");
  const say = (value) => new net.Socket({ fd: 3 }).end(JSON.stringify(value));`;

/** `code` runs as CommonJS, with `fs`, `net`, `child_process` and `say(value)`, which answers on the socket and ends it. */
export function specOf(id: string, code: string, over: Partial<SandboxSpec> = {}): SandboxSpec {
  const argv = [process.execPath, "-e", prelude + code];
  return { id, argv, files: [process.execPath], env: {}, memoryMiB: 256, network: false, ...over };
}

/** Processes of this host, zombies excepted, that have this word in their command line. */
export function processesWith(mark: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && hasWord(pid, mark));
}

function hasWord(pid: number, mark: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(mark);
  } catch {
    return false;
  }
}
