import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bundleApp } from "../build/bundle.ts";
import type { AppJson, FunctionJson } from "../contract/api.ts";
import { functionLimits } from "../contract/limits.ts";
import type { InvocationRecord, LogLine } from "../contract/observing.ts";
import { CannedApi, problem, runCommandLine } from "./canned-api.suite.ts";
import { commands } from "./commands.ts";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "aloft-cli-"));
});
after(() => rm(folder, { recursive: true }));

const shop: AppJson = {
  name: "shop",
  createdAt: "2030-01-01T00:00:00.000Z",
  aliases: [{ name: "production", deployment: "3f2a1c9d".repeat(5), number: 4, movedAt: "2030-01-01T00:00:00.000Z" }],
  domains: [],
  functions: 2,
  urls: ["http://shop.localhost:8787"],
};

const price: FunctionJson = {
  name: "price",
  style: "http",
  runtime: "node",
  group: "http",
  triggers: [{ kind: "http", method: "GET", path: "/price/:sku" }],
  limits: Object.fromEntries(Object.entries(functionLimits).map(([name, { standard }]) => [name, standard])) as never,
  urls: ["http://shop.localhost:8787/price/:sku"],
};

test("every command shows its usage, flags and examples with --help", async () => {
  for (const { name, examples, flags } of commands) {
    const { code, out } = await runCommandLine([name, "--help"]);
    assert.equal(code, 0, name);
    if (name === "help") continue;
    assert.match(out, new RegExp(`^usage: aloft ${name}`));
    assert.ok(examples.length > 0 && examples.every(({ line }) => out.includes(line)), name);
    assert.ok(
      flags.some((flag) => flag.name === "json"),
      name,
    );
  }
});

test("without a command, and with --help alone, the commands are listed", async () => {
  for (const line of [[], ["--help"], ["help"], ["-h"]]) {
    const { code, out } = await runCommandLine(line);
    assert.equal(code, 0);
    assert.match(out, /^ {2}deploy +bundle an app/m);
  }
});

test("wrong usage exits 2 and suggests what was meant", async () => {
  const table: [line: string[], err: RegExp][] = [
    [["depoly"], /^error USAGE: aloft has no command "depoly"\nhint {2}did you mean aloft deploy\?\n$/],
    [["help", "lgos"], /did you mean aloft help logs\?/],
    [["deploy", "--alais", "x"], /aloft deploy has no flag --alais\nhint {2}did you mean --alias\?/],
    [["apps", "-z"], /aloft apps has no flag -z\nhint {2}aloft apps --help/],
    [["apps", "extra"], /"extra" is more than aloft apps takes/],
    [["rollback"], /aloft rollback needs more: aloft rollback APP \[DEPLOYMENT\]/],
    [["deploy", "--alias"], /--alias needs a value/],
    [["deploy", "--alias", "--json"], /"code": "USAGE"/],
    [["apps", "--json=no"], /--json takes no value/],
    [["functions", "Shop!"], /error NAME_INVALID: "Shop!" is not a name for an app/],
    [["invoke", "shop"], /"shop" names no function/],
    [["invoke", "shop/price", "--data", "{sku}"], /--data is not JSON/],
    [["invoke", "shop/price", "--data", "@/nowhere"], /\/nowhere cannot be read: ENOENT/],
    [["logs", "shop", "--since", "soon"], /--since "soon" is neither a duration/],
    [["logs", "shop", "--level", "loud"], /--level "loud" is not one of debug, info, warn, error/],
    [["logs", "shop", "--limit", "0"], /--limit "0" is not a whole number from 1 to 10000/],
    [["env", "sett", "shop", "A=1"], /did you mean aloft env set\?/],
    [["env", "set", "shop"], /aloft env set needs a name/],
    [["env", "set", "shop", "1A=2"], /"1A" is not a name for a variable/],
    [["env", "set", "shop", "A", "B"], /stdin can give the value of one name, not of A, B/],
    [["delete", "shop"], /where nobody can be asked\nhint {2}write aloft delete shop --yes/],
    [["apps", "--server", "ftp://x"], /"ftp:\/\/x" is not the address of a server/],
    [["init", "x", "--template", "htpp"], /did you mean --template http\?/],
    [["serve", "--port", "high"], /error SETTING_INVALID: setting port has the value "high" from the flag --port/],
  ];
  for (const [line, expected] of table) {
    const { code, out, err } = await runCommandLine(line);
    assert.equal(code, 2, line.join(" "));
    assert.match(out + err, expected, line.join(" "));
  }
});

test("flags may stand before the command", async () => {
  await using api = await CannedApi.open({ "GET /v1/apps": { body: { apps: [] } } });
  const { code, out } = await runCommandLine(["--server", api.url, "--json", "apps"]);
  assert.deepEqual([code, JSON.parse(out)], [0, []]);
  assert.match((await runCommandLine(["--version"])).out, /^aloft \d+\.\d+\.\d+/);
});

test("a list is a table for people and JSON for programs, asked for with the token", async () => {
  await using api = await CannedApi.open({ "GET /v1/apps": { body: { apps: [shop] } } });
  const { code, out } = await api.run(["apps"]);
  assert.equal(code, 0);
  assert.match(out, /^app +production +functions +url/);
  assert.match(out, /^shop +3f2a1c9d3f +2 +http:\/\/shop\.localhost:8787$/m);
  assert.deepEqual(JSON.parse((await api.run(["apps", "--json"])).out), [shop]);
  assert.equal(api.requests[0]?.token, "Bearer t0ken");
});

test("a misspelt app or function is answered with the one that was meant", async () => {
  await using api = await CannedApi.open({
    "GET /v1/apps": { body: { apps: [shop] } },
    "GET /v1/apps/shpo/functions": problem("APP_NOT_FOUND", `there is no app "shpo"`),
    "POST /v1/apps/shop/functions/prise/invoke": problem("FUNCTION_NOT_FOUND", `shop has no function "prise"`),
    "GET /v1/apps/shop/functions": { body: { functions: [price] } },
  });
  const app = await api.run(["functions", "shpo"]);
  assert.deepEqual(app, {
    code: 1,
    out: "",
    err: `error APP_NOT_FOUND: there is no app "shpo"\nhint  did you mean shop?\n`,
  });
  const name = await api.run(["invoke", "shop/prise"]);
  assert.match(name.err, /hint {2}did you mean shop\/price\?/);
  assert.equal(name.code, 1);
});

test("with --json an error is its problem document on stdout", async () => {
  await using api = await CannedApi.open({ "GET /v1/status": problem("UNAUTHORIZED", "the token is not valid") });
  const { code, out, err } = await api.run(["status", "--json"]);
  assert.deepEqual([code, err], [1, ""]);
  assert.deepEqual([JSON.parse(out).code, JSON.parse(out).status], ["UNAUTHORIZED", 401]);
});

test("no server, or one that is something else, is said with what to do", async () => {
  const api = await CannedApi.open({
    "GET /v1/apps": { body: "<html>" },
    "GET /v1/status": { status: 404, body: "no" },
  });
  const { url } = api;
  for (const line of [["apps"], ["status"]]) {
    const { code, err } = await api.run(line);
    assert.equal(code, 1);
    assert.match(err, /^error SERVER_UNREACHABLE: what answers at .* is not Aloft's control API\nhint/);
  }
  await api[Symbol.asyncDispose]();
  const { code, err } = await runCommandLine(["apps", "--server", url]);
  assert.equal(code, 1);
  assert.match(err, /^error SERVER_UNREACHABLE: no server answers at .* \(ECONNREFUSED\)\nhint {2}start one/);
});

test("invoke prints the answer's bytes, and what is about them on stderr", async () => {
  const headers = {
    "aloft-invocation": "0a".repeat(16),
    "aloft-cold": "true",
    "aloft-wait-us": "4200",
    "aloft-handler-us": "310",
  };
  await using api = await CannedApi.open({
    "POST /v1/apps/shop/functions/price/invoke": ({ body }) => ({ headers, body: `{"got":${body.toString()}}` }),
  });
  const input = join(folder, "input.json");
  await writeFile(input, "3");
  const table: [data: string, stdin: string, out: string][] = [
    ["1", "", `{"got":1}`],
    ["-", "2", `{"got":2}`],
    [`@${input}`, "", `{"got":3}`],
  ];
  for (const [data, stdin, expected] of table) {
    const { code, out, err } = await api.run(["invoke", "shop/price", "--data", data], { stdin });
    assert.deepEqual([code, out], [0, expected]);
    assert.equal(err, `0.31 ms, cold, waited 4.20 ms, invocation ${"0a".repeat(16)}\n`);
  }
  assert.equal(api.requests[0]?.path, "/v1/apps/shop/functions/price/invoke?alias=production");
  const json = JSON.parse((await api.run(["invoke", "shop/price", "--data", "1", "--json"])).out);
  assert.deepEqual([json.result, json.cold, json.handlerUs], [{ got: 1 }, true, 310]);
});

test("a function that failed exits 1 with the user's error and stack", async () => {
  const stack = "Error: no such sku\n    at price (shop/index.ts:4:9)";
  await using api = await CannedApi.open({
    "POST /v1/apps/shop/functions/price/invoke": problem("FUNCTION_THREW", "no such sku", { stack }),
  });
  const { code, out, err } = await api.run(["invoke", "shop/price"]);
  assert.deepEqual([code, out, err], [1, "", `error FUNCTION_THREW: no such sku\n${stack}\n`]);
});

test("an http function that answers 5xx exits 1 and its body is printed", async () => {
  await using api = await CannedApi.open({
    "POST /v1/apps/shop/functions/price/invoke": { headers: { "aloft-status": "503" }, body: "closed" },
  });
  const { code, out, err } = await api.run(["invoke", "shop/price"]);
  assert.deepEqual([code, out], [1, "closed"]);
  assert.match(err, /^status 503, /);
});

const line: LogLine = {
  atMs: 1_900_000_000_000,
  app: "shop",
  function: "price",
  deployment: "3f",
  invocation: "0a",
  level: "warn",
  stream: "console",
  message: "low\u001b[2J stock\nof a1\n",
};

test("logs are filtered by the server and printed a line each, without what moves the cursor", async () => {
  await using api = await CannedApi.open({
    "GET /v1/apps/shop/logs": { body: `${JSON.stringify(line)}\n${JSON.stringify(line)}\n` },
  });
  const { code, out } = await api.run(["logs", "shop/price", "--level", "warn", "--invocation", "0a", "--limit", "5"]);
  assert.equal(code, 0);
  assert.match(out, /^\d\d:\d\d:\d\d warn {2}shop\/price low\[2J stock\n {4}of a1\n/);
  assert.equal(api.requests[0]?.path, "/v1/apps/shop/logs?function=price&invocation=0a&level=warn&limit=5");
  const followed = await api.run(["logs", "shop", "--follow", "--json", "--since", "2030-01-31T12:00Z"]);
  assert.deepEqual(
    followed.out
      .trim()
      .split("\n")
      .map((text) => JSON.parse(text)),
    [line, line],
  );
  assert.equal(api.requests[1]?.path, `/v1/apps/shop/logs?since=${Date.parse("2030-01-31T12:00Z")}&follow=true`);
});

const record: InvocationRecord = {
  id: "0a".repeat(16),
  app: "shop",
  alias: "production",
  function: "price",
  deployment: "3f",
  trigger: "http",
  startedAtMs: 1_900_000_000_000,
  waitUs: 4000,
  coldUs: 3000,
  handlerUs: 1000,
  status: 500,
  outcome: "error",
  attempt: 1,
  memoryBytes: 0,
  errorCode: "FUNCTION_THREW",
  errorMessage: "no such sku",
  subject: "GET /price/a1",
};

test("records are printed with the newest last, or one in full", async () => {
  const older = { ...record, status: 200, coldUs: 0, errorCode: "", outcome: "ok" };
  await using api = await CannedApi.open({
    "GET /v1/apps/shop/invocations": { body: { invocations: [record, older] } },
    [`GET /v1/invocations/${record.id}`]: { body: record },
  });
  const { out } = await api.run(["invocations", "shop"]);
  assert.match(
    out,
    /^\S+ 200 GET \/price\/a1 5\.00 ms shop\/price\n\S+ 500 GET \/price\/a1 5\.00 ms cold 3\.00 ms shop\/price FUNCTION_THREW\n$/,
  );
  assert.deepEqual(JSON.parse((await api.run(["invocations", "--id", record.id, "--json"])).out), record);
});

test("variables are set from the line, a file or stdin, and removed", async () => {
  await using api = await CannedApi.open({
    "PATCH /v1/apps/shop/variables": { body: { variables: [{ name: "A", updatedAt: "2030-01-01T00:00:00.000Z" }] } },
  });
  const file = join(folder, "key.pem");
  await writeFile(file, "-----KEY-----\n");
  const set = await api.run(["env", "set", "shop", "A=x=y", `KEY=@${file}`, "SECRET"], { stdin: "s3cret\n" });
  assert.deepEqual([set.code, set.out], [0, "set A, KEY, SECRET of shop (production)\n"]);
  const change = { set: { A: "x=y", KEY: "-----KEY-----\n", SECRET: "s3cret" }, unset: [] };
  assert.deepEqual(JSON.parse(api.requests[0]?.body.toString() ?? ""), change);
  await api.run(["env", "unset", "shop", "A", "--alias", "preview-x"]);
  assert.deepEqual(JSON.parse(api.requests[1]?.body.toString() ?? ""), { set: {}, unset: ["A"] });
  assert.equal(api.requests[1]?.path, "/v1/apps/shop/variables?alias=preview-x");
});

test("on a terminal delete asks, and a secret is asked for without showing it", async () => {
  await using api = await CannedApi.open({
    "DELETE /v1/apps/shop": { body: { deleted: true } },
    "PATCH /v1/apps/shop/variables": { body: { variables: [] } },
  });
  const no = await api.run(["delete", "shop"], { stdin: "n\n", isTTY: true });
  assert.equal(no.code, 1);
  assert.match(no.err, /delete shop with all its deployments and variables on http.*\? \[y\/N\] /);
  assert.equal(api.requests.length, 0);
  const yes = await api.run(["delete", "shop"], { stdin: "y\n", isTTY: true });
  assert.deepEqual([yes.code, yes.out], [0, "deleted shop\n"]);

  const set = await api.run(["env", "set", "shop", "SECRET"], { stdin: "s3cret\n", isTTY: true });
  assert.equal(set.code, 0);
  assert.match(set.err, /value of SECRET \(not shown\): /);
  assert.ok(!(set.out + set.err).includes("s3cret"));
  assert.deepEqual(JSON.parse(api.requests[1]?.body.toString() ?? "").set, { SECRET: "s3cret" });
});

test("delete goes ahead with --yes", async () => {
  await using api = await CannedApi.open({ "DELETE /v1/apps/shop": { body: { deleted: true } } });
  assert.deepEqual(await api.run(["delete", "shop", "--yes"]), { code: 0, out: "deleted shop\n", err: "" });
});

test("rollback names the deployment by the beginning of its id", async () => {
  const body = {
    app: "shop",
    alias: "production",
    deployment: "3f2a1c",
    number: 5,
    changed: true,
    functions: [price],
    urls: [],
  };
  await using api = await CannedApi.open({ "POST /v1/apps/shop/rollback": { body } });
  const { code, out } = await api.run(["rollback", "shop", "3f2a"]);
  assert.equal(code, 0);
  assert.match(
    out,
    /^rolled back shop 3f2a1c, number 5\nfunction +style +trigger +url\nprice +http +GET \/price\/:sku/,
  );
  assert.deepEqual(JSON.parse(api.requests[0]?.body.toString() ?? ""), { alias: "production", deployment: "3f2a" });
});

test("init writes an app, and never over what is there", async () => {
  const target = join(folder, "My Shop");
  for (const template of ["http", "fetch", "hono", "lambda"]) {
    assert.equal((await runCommandLine(["init", join(folder, template), "--template", template])).code, 0, template);
  }
  // The others need nothing installed.
  for (const template of ["http", "fetch", "lambda"]) {
    const { name, files } = await bundleApp({ dir: join(folder, template) });
    assert.equal(name, template);
    assert.ok(
      files.some(({ path }) => path === "index.mjs"),
      template,
    );
  }
  const { code, out } = await runCommandLine(["init", target, "--json"]);
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(out).files, ["index.ts", "package.json", "aloft.json"]);
  assert.match(await readFile(join(target, "aloft.json"), "utf8"), /"name": "my-shop"/);
  assert.equal(await readFile(join(target, ".gitignore"), "utf8"), "node_modules/\n.aloft/\n.env\n");
  await rm(join(target, "package.json"));
  await mkdir(join(folder, "kept"));
  await writeFile(join(folder, "kept", ".gitignore"), "dist/\n.env");
  await runCommandLine(["init", join(folder, "kept")]);
  assert.equal(await readFile(join(folder, "kept", ".gitignore"), "utf8"), "dist/\n.env\nnode_modules/\n.aloft/\n");

  await writeFile(join(target, "index.ts"), "mine");
  const again = await runCommandLine(["init", target]);
  assert.equal(again.code, 2);
  assert.match(again.err, /already has index\.ts, aloft\.json, and nothing is overwritten/);
  assert.equal(await readFile(join(target, "index.ts"), "utf8"), "mine");
});
