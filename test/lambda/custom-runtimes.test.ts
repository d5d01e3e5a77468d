/** Programs that speak the Lambda Runtime API: what runs on AWS as a custom runtime runs here unchanged, and fails alike. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { chmod, copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { AloftError } from "../../src/contract/errors.ts";
import { startTestServer, temporaryFolder } from "../kit/server.ts";
import { until } from "../kit/until.ts";
import { deployProgram, gcc, hasCompiler, rustc } from "./deploy.ts";

const scope = { after };
const server = await startTestServer(scope, { mode: "serve" });
const deploy = deployProgram.bind(null, server, scope);

async function invoke(app: string, payload: unknown): Promise<unknown> {
  const { body } = await server.client.invoke(app, "default", "production", Buffer.from(JSON.stringify(payload)));
  return JSON.parse(body.toString()) as unknown;
}

async function linesOf(app: string): Promise<string[]> {
  return (await server.client.listLogs(app, {})).map(({ message }) => message);
}

suite("custom runtimes", () => {
  test("a bootstrap in shell answers requests and calls, and its output is logged", async () => {
    const deployed = await deploy("shell", {
      bootstrap: { program: "bootstrap.sh" },
      // One process, so that it can be told whether it is still the same.
      "aloft.json": `{ "functions": { "default": { "maxInstances": 1 } } }`,
    });
    assert.deepEqual(
      deployed.functions.map(({ name, style, runtime }) => ({ name, style, runtime })),
      [{ name: "default", style: "lambda", runtime: "provided" }],
    );
    const response = await server.fetch("shell", "/a?b=c", { method: "POST", body: "hello" });
    assert.equal(response.status, 200);
    const answer = (await response.json()) as { event: { rawPath: string; version: string }; name: string };
    assert.deepEqual([answer.event.version, answer.event.rawPath], ["2.0", "/a"]);
    assert.equal(answer.name, "shell-default");
    // The payload is the event, digit for digit.
    const { body } = await server.client.invoke(
      "shell",
      "default",
      "production",
      Buffer.from('{"n":12345678901234567890.10}'),
    );
    assert.match(body.toString(), /^\{"event":\{"n":12345678901234567890\.10\},/);
    await until("its line", async () => (await linesOf("shell")).some((line) => line.startsWith("handling ")));
  });

  test("its errors, its end and its odd answers are told apart, and cost the next call nothing", async () => {
    const { pid } = (await invoke("shell", {})) as { pid: number };
    await assert.rejects(invoke("shell", "refuse"), (error: unknown) => {
      assert.ok(error instanceof AloftError);
      assert.deepEqual([error.code, error.message], ["FUNCTION_THREW", "Refused: no"]);
      assert.deepEqual(error.detail?.["error"], "Refused");
      assert.match(String(error.detail?.["stack"]), /line 1/);
      return true;
    });
    await assert.rejects(invoke("shell", "large"), {
      code: "FUNCTION_BAD_RESPONSE",
      message: /Function\.ResponseSizeTooLarge: Response payload size exceeded .* \(6291556 bytes\)/,
    });
    assert.equal(await invoke("shell", "twice"), "first");
    await until("what the second answer got", async () => {
      const lines = await linesOf("shell");
      return lines.some((line) => line.includes("InvalidStateTransition")) && lines.includes(" 403");
    });
    assert.equal((await server.fetch("shell", "/garbage")).status, 502);
    assert.equal(((await invoke("shell", {})) as { pid: number }).pid, pid, "it is the same process all along");

    await assert.rejects(invoke("shell", "exit"), {
      code: "FUNCTION_CRASHED",
      message: /^Runtime\.ExitError: RequestId: [0-9a-f]+ Error: Runtime exited with error: exit status 3$/,
    });
    assert.notEqual(((await invoke("shell", {})) as { pid: number }).pid, pid);
  });

  test("a runtime that does not answer in time is ended with all that it started", async () => {
    await deploy("slow", {
      bootstrap: { program: "bootstrap.sh" },
      "aloft.json": `{ "functions": { "default": { "timeout": "2s", "maxInstances": 1 } } }`,
    });
    const { pid } = (await invoke("slow", {})) as { pid: number };
    await assert.rejects(invoke("slow", "sleep"), { code: "FUNCTION_TIMEOUT" });
    assert.notEqual(((await invoke("slow", {})) as { pid: number }).pid, pid);
    assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  });

  test("what a runtime has started counts as its memory", async () => {
    await deploy("hungry", {
      bootstrap: { program: "bootstrap.sh" },
      "aloft.json": `{ "functions": { "default": { "memoryMiB": 128 } } }`,
    });
    await assert.rejects(invoke("hungry", "eat"), { code: "FUNCTION_OUT_OF_MEMORY", message: /its 128 MiB/ });
    assert.partialDeepStrictEqual(await invoke("hungry", "fine"), { event: "fine" });
  });

  test("what keeps a bootstrap from serving is told at the deploy", async () => {
    const bootstraps: readonly [name: string, text: string | null, code: string, message: RegExp][] = [
      ["missing", null, "DESCRIBE_FAILED", /bootstrap, which is not among the app's files/],
      ["no-shebang", "echo hello\n", "FUNCTION_START_FAILED", /Runtime\.InvalidEntrypoint: .*exec format error/],
      ["no-interpreter", "#!/no/such\n", "FUNCTION_START_FAILED", /InvalidEntrypoint: .*no such file or directory/],
      ["ends", "#!/bin/sh\nexit 0\n", "FUNCTION_START_FAILED", /ExitError: .*exited without providing a reason/],
    ];
    for (const [name, text, code, message] of bootstraps) {
      const dir = `${await temporaryFolder(scope)}/${name}`;
      await mkdir(dir);
      await writeFile(`${dir}/aloft.json`, `{ "runtime": "provided" }`);
      if (text !== null) {
        await writeFile(`${dir}/bootstrap`, text);
        await chmod(`${dir}/bootstrap`, 0o755);
      }
      await assert.rejects(server.deploy(dir), { code, message }, name);
    }
  });

  test("a runtime that is slow to ask is started anew with the first call, within that one's time", async () => {
    const slow = (times: string): string => `#!/bin/sh
if [ "$(ls "$TMPDIR" | grep -c '^start-')" -lt ${times} ]; then mktemp "$TMPDIR/start-XXXXXX" >/dev/null; exec sleep 60; fi
exec ./runtime.sh
`;
    const deploySlow = async (app: string, times: string): Promise<void> => {
      const dir = join(await temporaryFolder(scope), app);
      await mkdir(dir);
      await writeFile(
        join(dir, "aloft.json"),
        `{ "functions": { "default": { "timeout": "2s", "maxInstances": 1 } } }`,
      );
      await writeFile(join(dir, "bootstrap"), slow(times));
      await copyFile(join(import.meta.dirname, "bootstrap.sh"), join(dir, "runtime.sh"));
      for (const name of ["bootstrap", "runtime.sh"]) await chmod(join(dir, name), 0o755);
      await server.deploy(dir);
    };
    await Promise.all([deploySlow("slow-once", "1"), deploySlow("slow-always", "99")]);
    assert.partialDeepStrictEqual(await invoke("slow-once", { a: 1 }), { event: { a: 1 } });
    await until("the report", async () =>
      (await linesOf("slow-once")).some((line) => /^INIT_REPORT .*\tPhase: init\tStatus: timeout$/.test(line)),
    );
    // One that never asks costs each caller the function's time, and no more.
    for (let call = 0; call < 2; call += 1) {
      await assert.rejects(invoke("slow-always", {}), { code: "FUNCTION_TIMEOUT" });
    }
  });

  test("a bootstrap in C on plain sockets", { skip: !hasCompiler("gcc") }, async () => {
    await deploy("in-c", { bootstrap: { compiled: gcc("bootstrap.c") } });
    assert.deepEqual(await invoke("in-c", { a: [1, "é"] }), { language: "c", event: { a: [1, "é"] } });
    const response = await server.fetch("in-c", "/x");
    assert.equal(((await response.json()) as { event: { rawPath: string } }).event.rawPath, "/x");
  });

  test("a bootstrap in Rust streams its answer with a head of its own", { skip: !hasCompiler("rustc") }, async () => {
    await deploy("in-rust", { bootstrap: { compiled: rustc("bootstrap.rs") } });
    const response = await server.fetch("in-rust", "/x");
    assert.equal(response.status, 201);
    assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
    assert.partialDeepStrictEqual(await response.json(), { language: "rust", event: { rawPath: "/x" } });
    assert.deepEqual(await invoke("in-rust", { a: 1 }), { language: "rust", event: { a: 1 } });
    // Behind its head only breaking off can say that it failed.
    const broken = await server.fetch("in-rust", "/middle");
    assert.equal(broken.status, 201);
    await assert.rejects(broken.text());
    await until("its error", async () => (await linesOf("in-rust")).some((line) => line.includes("in the middle")));
  });

  test("an extension hears of invocations and of the end", async () => {
    await deploy("watched", {
      bootstrap: { program: "bootstrap.sh" },
      "aloft.json": `{ "functions": { "default": { "maxInstances": 1 } } }`,
      "extensions/watch.sh": { program: "watch.sh" },
      "extensions/README.md": "not executable, so no extension",
    });
    await invoke("watched", {});
    await until("the invocation", async () =>
      (await linesOf("watched")).some((line) => line.startsWith('[watch.sh] saw {"eventType":"INVOKE"')),
    );
    await assert.rejects(invoke("watched", "exit"), { code: "FUNCTION_CRASHED" });
    await until("the end", async () =>
      (await linesOf("watched")).some((line) => line.includes('"SHUTDOWN"') && line.includes('"failure"')),
    );
  });

  test("what serves a runtime answers nobody else, though all share one loopback", async () => {
    const { api } = (await invoke("shell", {})) as { api: string };
    const address = `http://${api}/2018-06-01/ping`;
    await assert.rejects(fetch(address));
    await server.deployFiles("neighbour", {
      "index.ts": `export default { fetch: async (request: Request) => {
        const answer = await fetch(await request.text()).then((response) => response.text(), () => "cut off");
        return new Response(answer);
      } };`,
    });
    const response = await server.fetch("neighbour", "/", { method: "POST", body: address });
    assert.equal(await response.text(), "cut off");
    assert.partialDeepStrictEqual(await invoke("shell", "still here"), { event: "still here" });
  });

  test("a server that has stopped leaves no program behind", async () => {
    const ofOurs = (): string[] =>
      readdirSync("/proc").filter((pid) => {
        try {
          return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(server.dataDir);
        } catch {
          return false;
        }
      });
    assert.equal((await server.fetch("shell", "/")).status, 200);
    assert.ok(ofOurs().length > 0, "the programs are found by the folder they run in");
    await server.close();
    assert.deepEqual(ofOurs(), []);
    assert.deepEqual(
      readdirSync(join(server.dataDir, "run")).flatMap((name) => readdirSync(join(server.dataDir, "run", name))),
      [],
    );
  });
});
