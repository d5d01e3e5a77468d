/** The command line as a user has it: `bin/aloft` in processes of its own, against real servers. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";

const bin = join(import.meta.dirname, "..", "..", "bin", "aloft");

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A running command whose output can be waited for. */
class Command {
  readonly child: ChildProcessWithoutNullStreams;
  readonly exited: Promise<number>;
  out = "";
  err = "";
  readonly #waiters = new Set<() => void>();

  constructor(args: readonly string[], folder: string, env: Readonly<Record<string, string>>) {
    const { PATH = "", HOME = "" } = process.env;
    this.child = spawn(process.execPath, [bin, ...args], { cwd: folder, env: { PATH, HOME, ...env } });
    this.child.stdout.on("data", (chunk: Buffer) => this.#add(() => (this.out += chunk.toString())));
    this.child.stderr.on("data", (chunk: Buffer) => this.#add(() => (this.err += chunk.toString())));
    this.exited = once(this.child, "close").then(([code]) => {
      for (const wake of this.#waiters) wake();
      return code as number;
    });
  }

  /** Resolves when stdout, from here on, holds the text; fails when the command ends before. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.out);
      if (found !== null) {
        this.out = this.out.slice(found.index + found[0].length);
        return found;
      }
      assert.equal(this.child.exitCode, null, `ended before ${pattern} was printed:\n${this.out}\n${this.err}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiters.add(resolve);
      await promise;
      this.#waiters.delete(resolve);
    }
  }

  async stop(signal: NodeJS.Signals = "SIGINT"): Promise<number> {
    this.child.kill(signal);
    return await this.exited;
  }

  #add(append: () => void): void {
    append();
    for (const wake of this.#waiters) wake();
  }
}

let root = "";
before(async () => {
  root = await mkdtemp(join(tmpdir(), "aloft-e2e-cli-"));
});
after(() => rm(root, { recursive: true, force: true }));

async function write(path: string, content: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), content);
}

/** Until it holds, asking again at once: each attempt is a request or a command. The test runner's own time-out ends a wait for what never comes. */
async function until<T>(attempt: () => Promise<T | null>): Promise<T> {
  for (;;) {
    const result = await attempt();
    if (result !== null) return result;
  }
}

async function textOf(url: string, app?: string): Promise<string> {
  const response = await fetch(url, { headers: app === undefined ? {} : { "aloft-app": app } });
  return await response.text();
}

describe("against a server", { concurrency: false }, () => {
  let server: Command;
  let env: Record<string, string> = {};
  let ready: { http: string; admin: string; token: string };
  const serveArgs = () => [
    "serve",
    "--port",
    "0",
    "--admin-port",
    "0",
    "--data",
    join(root, "data"),
    "--sandbox",
    "process",
    "--json",
  ];

  async function run(...args: readonly string[]): Promise<Ran> {
    const command = new Command(args, root, env);
    command.child.stdin.end();
    const code = await command.exited;
    return { code, out: command.out, err: command.err };
  }

  async function json<T>(...args: readonly string[]): Promise<T> {
    const { code, out, err } = await run(...args, "--json");
    assert.equal(code, 0, `${args.join(" ")}\n${out}${err}`);
    return JSON.parse(out) as T;
  }

  before(async () => {
    server = new Command(serveArgs(), root, {});
    ready = JSON.parse((await server.printed(/^\{.*\}\n/))[0]);
    env = { ALOFT_SERVER: ready.admin, ALOFT_TOKEN: ready.token };
  });
  after(() => server.stop("SIGTERM"));

  test("serve makes a token, and without it nothing is told", async () => {
    assert.ok(ready.token.length >= 16);
    const { code, err } = await run("apps", "--token", "wrong-token-0123456789");
    assert.equal(code, 1);
    assert.match(err, /^error UNAUTHORIZED: /);
  });

  test("an app written by init is deployed, called, and the same content is not deployed twice", async () => {
    assert.equal((await run("init", "shop")).code, 0);
    const deployed = await json<{ deployment: string; changed: boolean; functions: { name: string }[] }>(
      "deploy",
      "shop",
    );
    assert.equal(deployed.changed, true);
    assert.deepEqual(deployed.functions.map(({ name }) => name).toSorted(), ["add", "greet", "hello"]);
    assert.equal(await textOf(`${ready.http}/hello/ada`, "shop"), `{"hello":"ada"}`);
    const again = await json<{ deployment: string; changed: boolean }>("deploy", "shop");
    assert.deepEqual([again.changed, again.deployment], [false, deployed.deployment]);
  });

  test("the lists tell what is there", async () => {
    const apps = await json<{ name: string; functions: number }[]>("apps");
    assert.deepEqual(
      apps.map(({ name, functions }) => [name, functions]),
      [["shop", 3]],
    );
    assert.match((await run("functions", "shop")).out, /^greet +http +GET \/hello\/:name +http/m);
    assert.match((await run("deployments", "shop")).out, /production$/m);
    const status = await json<{ http: string; apps: number }>("status");
    assert.deepEqual([status.http, status.apps], [ready.http, 1]);
    assert.match((await run("status")).out, /^sandbox +process/m);
  });

  test("invoke prints the result, and whether it was cold", async () => {
    const { code, out, err } = await run("invoke", "shop/add", "--data", `{"a":1,"b":2}`);
    assert.deepEqual([code, out], [0, `{"sum":3}`], err);
    assert.match(err, /ms, (?:warm|cold, waited .* ms), invocation [0-9a-f]{32}\n$/);
  });

  test("a misspelt app or function is answered with the one that was meant", async () => {
    assert.match((await run("functions", "shpo")).err, /^error APP_NOT_FOUND: .*\nhint {2}.*shop/);
    assert.match((await run("invoke", "shop/ad")).err, /^error FUNCTION_NOT_FOUND: .*\nhint {2}.*add/);
  });

  test("a function that throws exits 1 and shows the user's own file and line", async () => {
    await write(
      "faulty/index.ts",
      `import { fn } from "aloft";\n\nexport const fail = fn(() => {\n  throw new Error("no luck");\n});\n`,
    );
    assert.equal((await run("deploy", "faulty")).code, 0);
    const { code, out, err } = await run("invoke", "faulty/fail");
    assert.deepEqual([code, out], [1, ""]);
    assert.match(err, /^error FUNCTION_THREW: .*no luck/);
    assert.match(err, /index\.ts:4/);
  });

  test("a broken app is refused with the user's error, and what was live stays", async () => {
    await write(
      "faulty/index.ts",
      `throw new Error("at import");\nexport default { fetch: () => new Response("x") };\n`,
    );
    const { code, err } = await run("deploy", "faulty");
    assert.equal(code, 1);
    assert.match(err, /^error (?:DESCRIBE_FAILED|FUNCTION_START_FAILED): .*at import/);
    assert.match((await run("invoke", "faulty/fail")).err, /no luck/);
  });

  test("variables reach the function, and their values are never told", async () => {
    await write("vars/index.ts", `export default { fetch: () => new Response(process.env.GREETING ?? "none") };\n`);
    await json("deploy", "vars");
    assert.equal(await textOf(ready.http, "vars"), "none");
    assert.equal((await run("env", "set", "vars", "GREETING=hi")).code, 0);
    assert.equal(await textOf(ready.http, "vars"), "hi");
    const { out } = await run("env", "list", "vars");
    assert.match(out, /^GREETING/m);
    assert.ok(!out.includes("hi\n"));
    assert.equal((await run("env", "set", "vars", "LD_PRELOAD=x")).code, 1);
    assert.equal((await run("env", "unset", "vars", "GREETING")).code, 0);
    assert.equal(await textOf(ready.http, "vars"), "none");
  });

  test("logs and records are shown, and followed", async () => {
    await write(
      "talk/index.ts",
      `export default { fetch(request: Request) { console.warn("saw", new URL(request.url).pathname); return new Response("ok"); } };\n`,
    );
    await json("deploy", "talk");
    const follower = new Command(["logs", "talk", "--follow"], root, env);
    // Following begins at some moment after the command has started: ask until it is seen.
    let seen = false;
    const shown = follower.printed(/warn {2}talk\/default saw \/one/).then(() => (seen = true));
    await until(async () => {
      await textOf(`${ready.http}/one`, "talk");
      return seen ? true : null;
    });
    await shown;
    follower.child.kill("SIGTERM");
    await follower.exited;

    await until(async () =>
      (await run("logs", "talk", "--since", "1m", "--level", "warn")).out.includes("saw /one") ? true : null,
    );
    assert.equal((await run("logs", "talk", "--level", "error")).out, "");
    const records = await until(async () => {
      const found = await json<{ subject: string; status: number; id: string }[]>("invocations", "talk/default");
      return found.length > 0 ? found : null;
    });
    assert.deepEqual([records[0]?.subject, records[0]?.status], ["GET /one", 200]);
    const record = await json<{ id: string }>("invocations", "--id", records[0]?.id ?? "");
    assert.equal(record.id, records[0]?.id);
  });

  test("a reader that goes away ends the command quietly", async () => {
    const command = new Command(["apps", "--json"], root, env);
    command.child.stdout.destroy();
    assert.equal(await command.exited, 0);
    assert.equal(command.err, "");
  });

  test("rollback makes the deployment before live again", async () => {
    await write("shop/index.ts", `export default { fetch: () => new Response("second") };\n`);
    await json("deploy", "shop");
    assert.equal(await textOf(`${ready.http}/hello/ada`, "shop"), "second");
    assert.match((await run("rollback", "shop")).out, /^rolled back shop /);
    assert.equal(await textOf(`${ready.http}/hello/ada`, "shop"), `{"hello":"ada"}`);
  });

  test("delete removes the app", async () => {
    assert.equal((await run("delete", "vars")).code, 2);
    assert.equal((await run("delete", "vars", "--yes")).code, 0);
    assert.equal((await run("functions", "vars")).code, 1);
  });

  test("a port that is taken is said", async () => {
    const { port } = new URL(ready.http);
    const flags = ["--port", port, "--admin-port", "0", "--data", join(root, "other"), "--sandbox", "process"];
    const other = new Command(["serve", ...flags], root, {});
    assert.equal(await other.exited, 1);
    assert.match(other.err, /error PORT_IN_USE: /);
  });

  test("SIGTERM ends the server with 0, and the next one has the same apps and takes the same token", async () => {
    assert.equal(await server.stop("SIGTERM"), 0);
    server = new Command(serveArgs(), root, {});
    const second = JSON.parse((await server.printed(/^\{.*\}\n/))[0]) as { admin: string; token?: string };
    assert.equal(second.token, undefined);
    env = { ...env, ALOFT_SERVER: second.admin };
    const names = (await json<{ name: string }[]>("apps")).map(({ name }) => name);
    assert.ok(names.includes("shop") && !names.includes("vars"));
  });
});

describe("dev", { concurrency: false }, () => {
  const freePorts = ["--port", "0", "--admin-port", "0", "--sandbox", "process"];

  async function startDev(path: string): Promise<{ dev: Command; http: string }> {
    const dev = new Command(["dev", path, ...freePorts], root, {});
    const [, http = ""] = await dev.printed(/^ready (http:\S+) /m);
    return { dev, http };
  }

  test("an app reloads on save, keeps the last good build, and stops with Ctrl-C", async () => {
    const file = "loop/index.ts";
    const code = (text: string) =>
      `export default { fetch() { console.log("called"); return new Response(${JSON.stringify(text)}); } };\n`;
    await write(file, code("one"));
    const { dev, http } = await startDev("loop");
    try {
      assert.equal(await textOf(http), "one");
      await dev.printed(/ 200 GET \/ .*loop\/default\n.*called\n/);

      await write(file, code("two"));
      await dev.printed(/^reloaded loop in \d+ ms$/m);
      assert.equal(await textOf(http), "two");

      await write(file, "export default {");
      await dev.printed(/^error loop BUILD_FAILED: [^]*the last good build keeps serving$/m);
      assert.equal(await textOf(http), "two");
      await write(file, `throw new Error("at import"); ${code("x")}`);
      await dev.printed(/^error loop \w+: .*at import[^]*the last good build keeps serving$/m);
      assert.equal(await textOf(http), "two");

      await write(file, code("three"));
      await dev.printed(/^reloaded loop in \d+ ms$/m);
      assert.equal(await textOf(http), "three");

      const inFolder = new Command(["functions", "loop", "--json"], join(root, "loop"), {});
      assert.equal(await inFolder.exited, 0, inFolder.err);
      assert.deepEqual(
        JSON.parse(inFolder.out).map(({ name }: { name: string }) => name),
        ["default"],
      );
    } finally {
      assert.equal(await dev.stop("SIGINT"), 0);
    }
    assert.equal(existsSync(join(root, "loop/.aloft/server.json")), false);
  });

  test("no request fails while saves reload the app", async () => {
    const code = (n: number) => `export default { fetch: () => new Response("v${n}") };\n`;
    await write("busy/index.ts", code(0));
    const { dev, http } = await startDev("busy");
    try {
      const over = new AbortController();
      const statuses = new Map<number, number>();
      const load = (async () => {
        while (!over.signal.aborted) {
          const { status } = await fetch(http);
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
        }
      })();
      for (let n = 1; n <= 4; n++) {
        await write("busy/index.ts", code(n));
        await dev.printed(/^reloaded busy in \d+ ms$/m);
      }
      over.abort();
      await load;
      assert.deepEqual([...statuses.keys()], [200]);
      assert.equal(await textOf(http), "v4");
    } finally {
      await dev.stop();
    }
  });

  test("a single file is an app, and its .env is read and followed", async () => {
    await write("single/worker.ts", `export default { fetch: () => new Response(process.env.NAME ?? "none") };\n`);
    await write("single/other.ts", "export const unrelated = 1;\n");
    await write("single/.env", "NAME=Ada\nALOFT_X=1\n");
    const { dev, http } = await startDev("single/worker.ts");
    try {
      assert.equal(await textOf(http), "Ada");
      await write("single/.env", "NAME=Grace\n");
      await dev.printed(/\.env changed/);
      assert.equal(await textOf(http), "Grace");
    } finally {
      await dev.stop();
    }
  });

  test("a variable that aloft.json requires is asked for, and the app goes live once .env has it", async () => {
    await write("needs/aloft.json", `{ "variables": ["KEY"] }`);
    await write("needs/index.ts", `export default { fetch: () => new Response(process.env.KEY) };\n`);
    const { dev, http } = await startDev("needs");
    try {
      await write("needs/.env", "KEY=k1\n");
      await dev.printed(/^new app in /m);
      assert.equal(await textOf(http), "k1");
    } finally {
      await dev.stop();
    }
  });

  test("a folder of app folders serves them all, and those that come while it runs", async () => {
    const code = (text: string) => `export default { fetch: () => new Response(${JSON.stringify(text)}) };\n`;
    await write("many/alpha/index.ts", code("a"));
    await write("many/beta/index.ts", code("b"));
    await write("many/notes/readme.md", "no app");
    const { dev, http } = await startDev("many");
    try {
      assert.deepEqual([await textOf(http), await textOf(http, "alpha"), await textOf(http, "beta")], ["a", "a", "b"]);
      await write("many/gamma/index.ts", code("c"));
      await dev.printed(/^new app in [^]*gamma/m);
      assert.equal(await textOf(http, "gamma"), "c");
      await rm(join(root, "many/beta"), { recursive: true });
      await until(async () => ((await fetch(http, { headers: { "aloft-app": "beta" } })).status === 404 ? true : null));
    } finally {
      assert.equal(await dev.stop(), 0);
    }
  });

  test("a folder without code says what is missing, and exits 1", async () => {
    await mkdir(join(root, "empty"), { recursive: true });
    const dev = new Command(["dev", "empty"], root, {});
    assert.equal(await dev.exited, 1);
    assert.match(dev.err, /^error ENTRY_NOT_FOUND: /);
    assert.equal(await readFile(join(root, "empty/.aloft/server.json"), "utf8").catch(() => null), null);
  });
});
