/**
 * Code that means harm, in both sandboxes. `oci` has to refuse all of it. `process` refuses nearly nothing, and is asked
 * as well so that it shows what the probes are worth; docs/sandbox.md has the table of both.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { ociMissing } from "../../src/sandbox/open-for-test.fixture.ts";
import { lastFirst, type Scope } from "../kit/scope.ts";
import { startTestServer, type TestServer } from "../kit/server.ts";
import { forgedFrame, jsProbes, systemCallProbes, type Target, type Verdict } from "./probes.ts";

const noOci = await ociMissing();
if (noOci !== null) console.log(`skipped: ${noOci}`);
const hasCompiler = spawnSync("gcc", ["--version"]).status === 0;
if (!hasCompiler) console.log("skipped: system calls, for there is no gcc");

interface Answer {
  readonly verdict: Verdict;
  readonly how: string;
}

for (const sandbox of ["oci", "process"] as const) {
  suite(`escapes from the ${sandbox} sandbox`, { skip: sandbox === "oci" && noOci !== null ? noOci : false }, () => {
    const hooks = lastFirst({ after });
    const verdicts = new Map<string, Verdict>();
    let server: TestServer;
    let target: Target;

    before(async () => {
      server = await startTestServer(hooks, { mode: "serve", settings: { sandbox, sandboxNetwork: "none" } });
      await server.deployFiles("victim", { "index.ts": "export default { fetch: () => new Response('here') };" });
      assert.equal(await (await server.fetch("victim", "/")).text(), "here");
      const folder = mkdtempSync(join(tmpdir(), "aloft-escape-"));
      hooks.after(async () => rmSync(folder, { recursive: true }));
      writeAttacker(join(folder, "attacker"));
      await server.deploy(join(folder, "attacker"));
      target = await targetOf(server, hooks);
    });

    async function ask(name: string): Promise<Response> {
      return await server.fetch("attacker", "/", { method: "POST", body: JSON.stringify({ name, target }) });
    }

    for (const { name, about } of [...jsProbes, ...(hasCompiler ? systemCallProbes : [])]) {
      test(`${sandbox === "oci" ? "code inside cannot" : "asked to"} ${about}`, async (t) => {
        const response = await ask(name);
        assert.equal(response.status, 200);
        const { verdict, how } = (await response.json()) as Answer;
        verdicts.set(name, verdict);
        t.diagnostic(`${name}: ${verdict}, ${how.slice(0, 80)}`);
        if (sandbox === "oci") assert.equal(verdict, "refused", how);
        // By the kernel, and not because the program itself could not run.
        if (verdict === "refused" && isSystemCall(name)) assert.match(how, /^refused E[A-Z]+$/);
      });
    }

    test("a frame for an invocation that it was not given ends the instance, and the next one answers", async () => {
      const response = await ask("forged-frame");
      assert.equal(response.status, 502);
      assert.match(await response.text(), /WIRE_VIOLATION/);
      assert.equal((await ask("parent")).status, 200);
    });

    test("the other app has noticed nothing", async () => {
      assert.equal(await (await server.fetch("victim", "/")).text(), "here");
    });

    test("where nothing is refused, the probes reach what they are after", { skip: sandbox === "oci" }, (t) => {
      if (process.getuid?.() !== 0) {
        t.skip("without root the host itself refuses some");
        return;
      }
      const wrong = [...jsProbes, ...systemCallProbes].filter(
        (one) => (verdicts.get(one.name) ?? one.process) !== one.process,
      );
      t.diagnostic(`otherwise than in the table: ${wrong.map(({ name }) => name).join(", ")}`);
      // A machine may lack a disk or a second network interface, and its kernel may be built without some of the calls.
      assert.ok(wrong.length <= 15, wrong.map(({ name }) => name).join(", "));
    });
  });
}

function isSystemCall(name: string): boolean {
  return systemCallProbes.some((one) => one.name === name);
}

function writeAttacker(folder: string): void {
  const probes = jsProbes.map(({ name, run }) => `${JSON.stringify(name)}: ${run.toString()}`);
  probes.push(`"forged-frame": ${forgedFrame.toString()}`);
  const index = `const probes = { ${probes.join(",\n")} };
    const { execFileSync } = process.getBuiltinModule("node:child_process");
    export default { async fetch(request) {
      const { name, target } = await request.json();
      try {
        if (!(name in probes)) {
          const how = execFileSync(process.cwd() + "/system-calls", [name], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
          return Response.json({ verdict: how.split(" ")[0], how });
        }
        const reached = await probes[name](target);
        return Response.json(reached === null ? { verdict: "refused", how: "nothing there" } : { verdict: "reached", how: String(reached) });
      } catch (error) {
        return Response.json({ verdict: "refused", how: String(error.code ?? error) });
      }
    } };`;
  mkdirSync(folder);
  writeFileSync(join(folder, "index.js"), index);
  writeFileSync(join(folder, "aloft.json"), JSON.stringify({ files: hasCompiler ? ["system-calls"] : [] }));
  if (!hasCompiler) return;
  const source = join(import.meta.dirname, "system-calls.c");
  // Static, for there is no library inside but Node's.
  execFileSync("gcc", ["-static", "-O1", "-o", join(folder, "system-calls"), source]);
}

async function targetOf(server: TestServer, hooks: Scope): Promise<Target> {
  const folder = mkdtempSync(join(tmpdir(), "aloft-escape-"));
  const hostFile = join(folder, "file");
  const secret = "known-to-the-host";
  writeFileSync(hostFile, secret);
  const abstractSocket = `aloft-escape-${process.pid}`;
  const listeners = [join(folder, "socket"), `\0${abstractSocket}`].map((path) => createServer().listen(path));
  await Promise.all(listeners.map((listener) => once(listener, "listening")));
  hooks.after(async () => {
    for (const listener of listeners) listener.close();
    rmSync(folder, { recursive: true });
  });
  return {
    serverPid: process.pid,
    pids: descendantsOf(process.pid),
    dataDir: server.dataDir,
    hostFile,
    secret,
    adminUrl: server.admin,
    httpUrl: server.http,
    socketPath: join(folder, "socket"),
    abstractSocket,
  };
}

function descendantsOf(pid: number): number[] {
  const found: number[] = [];
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    for (const child of readFileSync(`/proc/${pid}/task/${task}/children`, "utf8")
      .split(" ")
      .filter(Boolean)
      .map(Number)) {
      found.push(child, ...descendantsOf(child));
    }
  }
  return found;
}
