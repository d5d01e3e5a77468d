import assert from "node:assert/strict";
import { once } from "node:events";
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, suite, test as testAll, type TestContext } from "node:test";
import type { ImageProgramSpec, Sandbox, SandboxProcess, SandboxProgram } from "../../contract/sandbox.ts";
import { ociMissing, openForTest } from "../open-for-test.fixture.ts";
import { specOf } from "../sandbox.suite.ts";
import { findImageMode } from "./image-root.ts";
import { runFolderOf } from "./oci-sandbox.ts";
import { sharedLibrariesOf } from "./shared-libraries.ts";

const busybox = "/usr/bin/busybox";
const hasBusybox = existsSync(busybox) && sharedLibrariesOf(busybox).length === 0;
const missing = (await ociMissing()) ?? (hasBusybox ? null : `there is no static ${busybox} (busybox-static)`);
if (missing !== null) console.log(`skipped: ${missing}`);

/** Files of an image: root's, those of its user 1000, and some of a user that instances do not tell apart. */
function writeImage(root: string): void {
  for (const folder of ["bin", "etc", "home", "srv", "opt"]) mkdirSync(join(root, folder), { recursive: true });
  cpSync(busybox, join(root, "bin/busybox"));
  for (const name of ["sh", "cat", "httpd", "ls", "dd", "id", "stat", "sleep", "wget", "df"]) {
    symlinkSync("busybox", join(root, "bin", name));
  }
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1001::/home:/bin/sh\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\napp:x:1001:\n");
  writeFileSync(join(root, "srv/index.html"), "served");
  writeFileSync(join(root, "opt/hidden"), "hidden", { mode: 0o600 });
  chownSync(join(root, "home"), 1000, 1000);
  chownSync(join(root, "opt"), 77, 77);
  chownSync(join(root, "opt/hidden"), 77, 77);
}

const filesMatter = /runs in the image's files|own|fresh layer|killed/;
function testOnlyFiles(name: string, body: (t: TestContext) => Promise<void>): void {
  if (filesMatter.test(name)) void testAll(name, body);
}

for (const mode of ["overlay", "copy"] as const) {
  /** What does not depend on how the files got there is tested once. */
  const test = mode === "copy" ? testOnlyFiles : testAll;
  suite(`a program of an image, its files by ${mode}`, { skip: missing ?? false }, () => {
    const base = mkdtempSync(join(tmpdir(), "aloft-image-program-"));
    const image = join(base, "image");
    const folder = join(base, "containers");
    let sandbox: Sandbox;
    let companion: SandboxProcess;
    let ids = 0;
    before(async () => {
      writeImage(image);
      sandbox = await openForTest("oci", folder, { imageMode: mode });
      companion = sandbox.start(specOf("companion", `fs.writeSync(3, "up"); ${companionCode}`));
      companion.socket.on("error", () => {});
      await once(companion.socket, "data");
    });
    after(async () => {
      await sandbox.close();
      rmSync(base, { recursive: true, force: true });
    });

    function run(t: TestContext, script: string, over: Partial<ImageProgramSpec> = {}): SandboxProgram {
      const spec: ImageProgramSpec = {
        id: `program-${(ids += 1)}`,
        argv: ["/bin/sh", "-c", script],
        env: { PATH: "/bin" },
        memoryMiB: 64,
        sharesNetworkOf: "companion",
        waitsForPort: null,
        root: image,
        rootBytes: statSync(busybox).size + 1000,
        rootFiles: 30,
        workingDir: "/srv",
        uid: 0,
        gid: 0,
        groups: [],
        owners: [0, 1000],
        ...over,
      };
      const started = sandbox.startImage?.(spec);
      assert.ok(started !== undefined);
      t.after(async () => {
        started.kill();
        await started.exited;
      });
      return started;
    }

    async function said(t: TestContext, script: string, over: Partial<ImageProgramSpec> = {}): Promise<string> {
      const program = run(t, script, over);
      const [out, err] = await Promise.all([text(program.stdout), text(program.stderr)]);
      assert.deepEqual([err, await program.exited], ["", { code: 0, signal: null, oomKilled: false }]);
      return out;
    }

    test("it runs in the image's files, in its folder, with its environment alone", async (t) => {
      const out = await said(t, "pwd; cat index.html; echo; ls /; echo $COLOUR", {
        env: { PATH: "/bin", COLOUR: "red" },
      });
      assert.equal(out, "/srv\nserved\nbin\ndev\netc\nhome\nopt\nproc\nsrv\ntmp\nred\n");
    });

    test("root owns what is root's and may change it, and has no capability beyond the image's own users", async (t) => {
      const script =
        "id -u; stat -c %u /srv /home /opt; echo new > index.html; cat index.html; cat /opt/hidden 2>&1; " +
        "dd if=/proc/self/status 2>/dev/null | busybox grep -E 'Cap(Inh|Eff|Bnd|Amb)|NoNew|Seccomp:'; " +
        "busybox mount -t tmpfs none /srv 2>&1; (echo 1 > /proc/sys/kernel/panic) 2>&1; [ $(busybox ls -d /proc/[0-9]* | busybox wc -l) -lt 8 ] && echo alone";
      const lines = (await said(t, script)).trim().split("\n");
      assert.deepEqual(lines, [
        "0",
        "0",
        "1000",
        "65534",
        "new",
        "cat: can't open '/opt/hidden': Permission denied",
        // CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID.
        "CapInh:\t0000000000000000",
        "CapEff:\t00000000000000eb",
        "CapBnd:\t00000000000000eb",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "mount: permission denied (are you root?)",
        "/bin/sh: can't create /proc/sys/kernel/panic: Read-only file system",
        "alone",
      ]);
    });

    test("root gives files to another user and becomes it, which has no capability and no way back", async (t) => {
      const script =
        "busybox mkdir /srv/own && busybox chown app:app /srv/own && busybox su app -s /bin/sh -c '" +
        'id; echo x > /srv/own/file && stat -c "%u %g" /srv/own/file; ' +
        "(echo x > index.html) 2>/dev/null || echo refused; busybox chown 0 /srv/own/file 2>&1; " +
        "busybox grep CapEff /proc/self/status; busybox su root -s /bin/sh -c id 2>&1'; " +
        "busybox su app -s /bin/sh -c 'sleep 100 & echo $! > /srv/own/pid'; busybox kill $(cat /srv/own/pid) && echo killed";
      const lines = (await said(t, script, { env: { PATH: "/bin", HOME: "/" }, owners: [0, 1000, 1001] })).trim();
      assert.deepEqual(lines.split("\n"), [
        "uid=1000(app) gid=1001(app) groups=1001(app)",
        "1000 1001",
        "refused",
        "chown: /srv/own/file: Operation not permitted",
        "CapEff:\t0000000000000000",
        "su: must be suid to work properly",
        "killed",
      ]);
    });

    test("another user owns its own files, cannot change root's, and has no capability", async (t) => {
      const script =
        "busybox grep CapEff /proc/self/status; busybox grep CapBnd /proc/self/status; id; echo x > /home/file; stat -c '%u %g' /home/file; (echo x > /srv/file) 2>/dev/null || echo refused";
      const out = await said(t, script, { uid: 1000, gid: 1000, groups: [7], owners: [0, 1000, 7] });
      const none = "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n";
      assert.equal(out, `${none}uid=1000(app) gid=1000 groups=7\n1000 1000\nrefused\n`);
    });

    test("every start has a fresh layer, and the image's own files never change", async (t) => {
      const script = "ls /srv; echo changed > index.html; echo x > other; busybox rm /etc/passwd; ls /etc";
      const first = await said(t, script);
      assert.equal(await said(t, script), first);
      assert.equal(first, "index.html\ngroup\nhosts\nresolv.conf\n");
      assert.equal(readFileSync(join(image, "srv/index.html"), "utf8"), "served");
      assert.deepEqual(readdirSync(join(image, "etc")).toSorted(), ["group", "passwd"]);
    });

    test("its layer has an end, and counts as its memory", async (t) => {
      const script = "for f in a b; do dd if=/dev/zero of=/srv/$f bs=1M count=40 2>&1 | busybox grep space; done";
      assert.equal(await said(t, script, { memoryMiB: 128 }), "dd: error writing '/srv/b': No space left on device\n");
      const many = "i=0; while busybox touch $(busybox seq $i $((i+499))) 2>/dev/null; do i=$((i+500)); done; echo $i";
      assert.equal(await said(t, many), "4000\n");
    });

    test("programs may open /dev/stdout and /dev/stderr", async (t) => {
      const program = run(t, "echo out > /dev/stdout; echo err > /dev/stderr", { uid: 1000, gid: 1000 });
      assert.deepEqual(await Promise.all([text(program.stdout), text(program.stderr)]), ["out\n", "err\n"]);
    });

    test("it has the companion's network, may listen on any port there, and on nothing of the host's", async (t) => {
      const program = run(t, "trap 'exit 3' TERM; httpd -f -p 80 -h /srv & wait", { uid: 1000, gid: 1000 });
      companion.socket.write("80");
      const [answer] = (await once(companion.socket, "data")) as [Buffer];
      assert.equal(answer.toString(), "served");
      program.terminate();
      assert.deepEqual(await program.exited, { code: 3, signal: null, oomKilled: false });
    });

    test("memory over its limit is told apart from a crash", async (t) => {
      const program = run(t, "x=a; while :; do x=$x$x$x; done");
      assert.deepEqual(await program.exited, { code: null, signal: "SIGKILL", oomKilled: true });
      const crashed = run(t, "exit 7");
      assert.deepEqual(await crashed.exited, { code: 7, signal: null, oomKilled: false });
    });

    test("a program that is not there says so", async (t) => {
      const program = run(t, "", { argv: ["/bin/nothing"] });
      assert.match(await text(program.stderr), /nothing.*no such file/);
      assert.notEqual((await program.exited).code, 0);
    });

    test("a folder of the image that is a link leads nowhere outside", async (t) => {
      const evil = join(base, "evil");
      writeImage(evil);
      const outside = join(base, "outside");
      mkdirSync(outside);
      for (const name of ["tmp", "dev"]) symlinkSync(outside, join(evil, name));
      rmSync(join(evil, "etc"), { recursive: true });
      symlinkSync(outside, join(evil, "etc"));
      const program = run(t, "ls /", { root: evil });
      await Promise.all([text(program.stdout), text(program.stderr), program.exited]);
      assert.deepEqual(readdirSync(outside), []);
      const proc = join(base, "proc");
      writeImage(proc);
      symlinkSync(outside, join(proc, "proc"));
      const refused = run(t, "ls /", { root: proc });
      assert.notEqual((await refused.exited).code, 0);
      assert.deepEqual(readdirSync(outside), []);
    });

    test("killed at any moment of its start, it leaves no process, mount, cgroup or folder", async (t) => {
      const before = leftovers();
      for (let wait = 0; wait < 6; wait += 1) {
        const program = run(t, "sleep 1000");
        await new Promise((resolve) => setTimeout(resolve, wait * 12));
        program.kill();
        await program.exited;
      }
      const steady = run(t, "echo up; exec sleep 1000");
      await once(steady.stdout, "data");
      steady.kill();
      assert.equal((await steady.exited).signal, "SIGKILL");
      assert.deepEqual(leftovers(), before);
    });

    function leftovers(): unknown {
      const runFolder = runFolderOf(folder);
      const images = join(runFolder, "images");
      const group = readdirSync("/sys/fs/cgroup", { recursive: true, encoding: "utf8" });
      return {
        mounts: readFileSync("/proc/self/mountinfo", "utf8")
          .split("\n")
          .filter((line) => line.includes(runFolder)),
        folders: [readdirSync(folder), readdirSync(images), readdirSync(join(runFolder, "state"))],
        groups: group.filter((path) => path.includes(runFolder.split("/").at(-1) ?? "")).length,
        processes: readdirSync("/proc").filter((pid) => commandOf(pid).includes(runFolder)),
      };
    }
  });
}

const companionCode = `
const s = new net.Socket({ fd: 3 });
s.on("data", (port) => ask(Number(port)));
const ask = (port) => fetch("http://127.0.0.1:" + port).then((r) => r.text()).then((t) => s.write(t), () => setTimeout(ask, 5, port));
setInterval(() => {}, 1000);`;

function commandOf(pid: string): string {
  try {
    return /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/cmdline`, "utf8") : "";
  } catch {
    return "";
  }
}

testAll("the better way is found by trying it", { skip: missing ?? false }, () => {
  const folder = join(tmpdir(), `aloft-mode-${process.pid}`);
  const firstPort = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
  const before = readFileSync(firstPort, "utf8");
  assert.equal(findImageMode(folder), "overlay");
  assert.equal(readFileSync(firstPort, "utf8"), before, "the host's own network is as it was");
  assert.ok(!existsSync(folder));
});
