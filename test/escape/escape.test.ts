/**
 * Code that means harm, in both sandboxes. `oci` has to refuse all of it. `process` refuses nearly nothing, and is asked
 * as well so that it shows what the probes are worth; docs/sandbox.md has the table of both.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { ociMissing } from "../../src/sandbox/open-for-test.fixture.ts";
import { hostAddress, isInWorld, outside, runInWorld, worldMissing } from "../kit/network-world.ts";
import { pythonMissing } from "../kit/python.ts";
import { lastFirst, type Scope } from "../kit/scope.ts";
import { startTestServer, type TestServer } from "../kit/server.ts";
import { until } from "../kit/until.ts";
import { networkProbes } from "./network-probes.ts";
import { forgeries, jsProbes, systemCallProbes, type Target, type Verdict } from "./probes.ts";
import { pythonProbes } from "./python-probes.ts";

const noWorld = worldMissing();
const noOci = noWorld ?? (await ociMissing());
const noPython = pythonMissing();
const hasCompiler = spawnSync("gcc", ["--version"]).status === 0;

interface Answer {
  readonly verdict: Verdict;
  readonly how: string;
}

if (noWorld !== null || isInWorld) escapes();
else await runInWorld(import.meta.filename);

function escapes(): void {
  if (noWorld !== null) console.log(`skipped: what is tried over the network, for ${noWorld}`);
  if (noOci !== null) console.log(`skipped: the oci sandbox, for ${noOci}`);
  if (!hasCompiler) console.log("skipped: system calls, for there is no gcc");
  if (noPython !== null) console.log(`skipped: what is tried in Python, for ${noPython}`);
  for (const sandbox of ["oci", "process"] as const) {
    const skip = sandbox === "oci" && noOci !== null ? noOci : false;
    suite(`escapes from the ${sandbox} sandbox`, { skip }, () => escapesFrom(sandbox));
  }
}

function escapesFrom(sandbox: "oci" | "process"): void {
  const hooks = lastFirst({ after });
  const verdicts = new Map<string, Verdict>();
  let server: TestServer;
  let target: Target;

  before(async () => {
    const resolver = { address: outside.resolver, port: 53 };
    const settings = { sandbox, sandboxResolver: noWorld === null ? resolver : null } as const;
    server = await startTestServer(hooks, { mode: "serve", settings });
    await server.deployFiles("victim", { "index.js": victim });
    const folder = mkdtempSync(join(tmpdir(), "aloft-escape-"));
    hooks.after(async () => rmSync(folder, { recursive: true }));
    writeAttacker(join(folder, "attacker"));
    await server.deploy(join(folder, "attacker"));
    if (noPython === null) {
      await server.deployFiles("snake", {
        "probes.py": readFileSync(join(import.meta.dirname, "probes.py"), "utf8"),
        "aloft.json": `{ "runtime": "python", "handler": "probes.handler" }`,
      });
    }
    target = await targetOf(server, hooks);
  });

  async function ask(name: string): Promise<Response> {
    const app = pythonProbes.some((one) => one.name === name) ? "snake" : "attacker";
    return await server.fetch(app, "/", { method: "POST", body: JSON.stringify({ name, target }) });
  }

  const tried = [
    ...jsProbes,
    ...(noWorld === null ? networkProbes : []),
    ...(hasCompiler ? systemCallProbes : []),
    ...(noPython === null ? pythonProbes : []),
  ];
  for (const { name, about } of tried) {
    test(`${sandbox === "oci" ? "code inside cannot" : "asked to"} ${about}`, async (t) => {
      const response = await ask(name);
      assert.equal(response.status, 200);
      const { verdict, how } = (await response.json()) as Answer;
      verdicts.set(name, verdict);
      t.diagnostic(`${name}: ${verdict}, ${how.slice(0, 80)}`);
      if (sandbox === "oci") assert.equal(verdict, "refused", how);
      // By the kernel, and not because the program itself could not run.
      if (verdict === "refused" && isSystemCall(name)) assert.match(how, /^refused E[A-Z]+$/);
      if (verdict === "refused" && name.startsWith("py_")) assert.match(how, /^(?:E[A-Z]+|nothing there)$/);
    });
  }

  for (const { name, about } of forgeries) {
    test(`${about} ends the instance, and the next one answers`, async () => {
      const response = await ask(name);
      assert.equal(response.status, 502);
      assert.match(await response.text(), /WIRE_VIOLATION/);
      assert.equal((await ask("parent")).status, 200);
    });
  }

  test("links that code leaves in its temporary folder lead the host nowhere", async () => {
    assert.equal((await ask("leave-links")).status, 200);
    await ask("forged-answer");
    const folder = join(server.dataDir, "run", sandbox === "oci" ? "containers" : "instances");
    await until(
      "the folder is gone",
      () => !readdirSync(folder).some((name) => existsSync(join(folder, name, "to-the-host"))),
    );
    assert.equal(readFileSync(target.hostFile, "utf8"), target.secret);
  });

  test("the other app has noticed nothing", async () => {
    assert.match(await (await server.fetch("victim", "/")).text(), /^here/);
  });

  test("where nothing is refused, the probes reach what they are after", { skip: sandbox === "oci" }, (t) => {
    if (process.getuid?.() !== 0) {
      t.skip("without root the host itself refuses some");
      return;
    }
    const wrong = tried.filter((one) => (verdicts.get(one.name) ?? one.process) !== one.process);
    t.diagnostic(`otherwise than in the table: ${wrong.map(({ name }) => name).join(", ")}`);
    // A machine may lack a disk or a second network interface, and its kernel may be built without some of the calls.
    assert.ok(wrong.length <= 15, wrong.map(({ name }) => name).join(", "));
  });
}

/** Listens where its neighbours would find it if they could. */
const victim = `
  const { networkInterfaces } = process.getBuiltinModule("node:os");
  const server = process.getBuiltinModule("node:net").createServer().listen(0, "0.0.0.0");
  await new Promise((resolve) => server.once("listening", resolve));
  const own = networkInterfaces().eth0?.find((one) => one.family === "IPv4")?.address ?? "127.0.0.1";
  export default { fetch: () => new Response("here " + own + " " + server.address().port) };`;

/** Links to a file of the host and to its folder, in a temporary folder that the host removes. */
function leaveLinks(at: Target): string {
  const { symlinkSync } = process.getBuiltinModule("node:fs");
  const folder = process.env["TMPDIR"] ?? "/tmp";
  symlinkSync(at.hostFile, `${folder}/to-the-host`);
  symlinkSync(at.hostFile.replace(/\/[^/]*$/, ""), `${folder}/to-its-folder`);
  return "left";
}

function isSystemCall(name: string): boolean {
  return systemCallProbes.some((one) => one.name === name);
}

function writeAttacker(folder: string): void {
  const all = [...jsProbes, ...networkProbes, ...forgeries, { name: "leave-links", run: leaveLinks }];
  const probes = all.map(({ name, run }) => `${JSON.stringify(name)}: ${run.toString()}`);
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
  const port = createServer().listen(0, "0.0.0.0");
  listeners.push(port);
  await Promise.all(listeners.map((listener) => once(listener, "listening")));
  const [, neighbourAddress = "", neighbourPort = "0"] = (await (await server.fetch("victim", "/")).text()).split(" ");
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
    hostAddress: noWorld === null ? hostAddress : "",
    hostPort: (port.address() as AddressInfo).port,
    metadataAddress: outside.forbidden[0],
    metadataIpv6: outside.ipv6[0],
    privateAddress: outside.private[0],
    neighbourAddress,
    neighbourPort: Number(neighbourPort),
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
