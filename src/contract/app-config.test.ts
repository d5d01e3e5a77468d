import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAppConfig } from "./app-config.ts";
import { emptyAppConfig } from "./empty-app-config.ts";
import { AloftError } from "./errors.ts";

function problemsOf(text: string): string[] {
  try {
    parseAppConfig(text);
  } catch (error) {
    assert.ok(error instanceof AloftError);
    assert.equal(error.code, "CONFIG_INVALID");
    assert.deepEqual(error.detail ?? { problems: [error.message] }, { problems: error.message.split("\n") });
    return error.message.split("\n");
  }
  return [];
}

test("no text, or nothing but space, is the empty configuration", () => {
  for (const text of ["", "  \n", "{}", "\uFEFF{ }", "// nothing\n{}"])
    assert.deepEqual(parseAppConfig(text), emptyAppConfig, text);
});

test("every key is read and brought to the platform's units", () => {
  const config = parseAppConfig(`\uFEFF{
    // comments and trailing commas are allowed
    "$schema": "../docs/aloft.schema.json",
    "name": "shop",
    "entry": "./src/main.ts",
    "domains": ["shop.example.com", "shop.example.com"],
    "variables": ["STRIPE_KEY"],
    "network": ["api.example.com", "*.example.org:443", "10.1.0.0/16", "api.example.com"],
    "external": ["sharp", "@img/colour"],
    "files": ["data", "models/*.bin"],
    "layers": ["layers/a.zip", "layers/b"],
    "defaults": { "timeout": "1.5s", "keepAlive": "0s" },
    "functions": {
      "resize": {
        "memory": "1GiB", "timeout": "20s", "concurrency": 4, "minInstances": 1, "maxInstances": 3,
        "triggers": [{ "http": "POST /resize" }, { "http": "/resize/:id" }],
      },
      "my-fn": { "memoryMiB": 64 },
    },
  }`);
  assert.deepEqual(config, {
    name: "shop",
    entry: "src/main.ts",
    runtime: null,
    program: null,
    domains: ["shop.example.com"],
    network: ["api.example.com", "*.example.org:443", "10.1.0.0/16"],
    requiredVariables: ["STRIPE_KEY"],
    external: ["sharp", "@img/colour"],
    files: ["data", "models/*.bin"],
    layers: ["layers/a.zip", "layers/b"],
    defaults: { timeoutMs: 1500, keepAliveMs: 0 },
    functions: new Map([
      [
        "resize",
        {
          limits: { memoryMiB: 1024, timeoutMs: 20_000, concurrency: 4, minInstances: 1, maxInstances: 3 },
          triggers: [
            { kind: "http", method: "POST", path: "/resize" },
            { kind: "http", method: "*", path: "/resize/:id" },
          ],
          program: null,
        },
      ],
      ["my-fn", { limits: { memoryMiB: 64 }, triggers: [], program: null }],
    ]),
  });
});

test("a problem says where it is, the value, and what is allowed", () => {
  const table: [string, string][] = [
    [`[]`, `aloft.json:1:1 a list is not allowed; allowed is an object`],
    [
      `7`,
      `aloft.json:1:1 7 is not allowed; allowed is an object with $schema, name, entry, runtime, handler, command, ready, domains, network, variables, external, files, layers, defaults and functions`,
    ],
    [
      `{"network": "all"}`,
      `aloft.json:1:13 network: "all" is not allowed; allowed is "none", "internet" or a list of hosts`,
    ],
    [
      `{"network": ["a.example", "127.0.0.1"]}`,
      `aloft.json:1:27 network[1]: "127.0.0.1" is an address that no function may reach`,
    ],
    [`{"nmae": "x"}`, `aloft.json:1:2 nmae: unknown key; did you mean "name"?`],
    [
      `{"colour": "x"}`,
      `aloft.json:1:2 colour: unknown key; allowed: $schema, name, entry, runtime, handler, command, ready, domains, network, variables, external, files, layers, defaults and functions`,
    ],
    [
      `{"name": 5}`,
      `aloft.json:1:10 name: 5 is not allowed; allowed is lower-case letters, digits and single hyphens, at most 63 characters`,
    ],
    [
      `{"name": "My App"}`,
      `aloft.json:1:10 name: "My App" is not allowed; allowed is lower-case letters, digits and single hyphens, at most 63 characters`,
    ],
    [`{"entry": "../x.ts"}`, `aloft.json:1:11 entry: "../x.ts" is not allowed; allowed is a path inside the folder`],
    [
      `{"domains": ["a.example.com", "Shop.example.com"]}`,
      `aloft.json:1:31 domains[1]: "Shop.example.com" is not allowed; allowed is a host name in lower case such as shop.example.com`,
    ],
    [
      `{"domains": ["127.0.0.1"]}`,
      `aloft.json:1:14 domains[0]: "127.0.0.1" is not allowed; allowed is a host name in lower case such as shop.example.com`,
    ],
    [
      `{"variables": ["LD_PRELOAD"]}`,
      `aloft.json:1:16 variables[0]: "LD_PRELOAD" is not allowed; allowed is letters, digits and _, and not ALOFT_*, AWS_LAMBDA_* or LD_*`,
    ],
    [`{"files": "data"}`, `aloft.json:1:11 files: "data" is not allowed; allowed is a list of paths or patterns`],
    [
      `{"files": ["/etc/passwd"]}`,
      `aloft.json:1:12 files[0]: "/etc/passwd" is not allowed; allowed is a path or pattern inside the folder such as data/*.csv`,
    ],
    [
      `{\n  "functions": {\n    "resize": { "memoryMib": 5 } } }`,
      `aloft.json:3:17 functions.resize.memoryMib: unknown key; did you mean "memoryMiB"?`,
    ],
    [
      `{\n  "functions": {\n    "resize": { "memoryMiB": 32 } } }`,
      `aloft.json:3:30 functions.resize.memoryMiB: 32 is not allowed; allowed is a whole number of MiB from 64 to 16384`,
    ],
    [
      `{"functions": {"a": {"memory": "8GB!"}}}`,
      `aloft.json:1:32 functions.a.memory: "8GB!" is not allowed; allowed is a size from 64MiB to 16GiB such as "512MiB"`,
    ],
    [
      `{"functions": {"a": {"memory": "32MiB"}}}`,
      `aloft.json:1:32 functions.a.memory: "32MiB" is not allowed; allowed is a size from 64MiB to 16GiB such as "512MiB"`,
    ],
    [
      `{"functions": {"a": {"memory": "64MiB", "memoryMiB": 64}}}`,
      `aloft.json:1:21 functions.a: has both memory and memoryMiB; one is allowed`,
    ],
    [
      `{"functions": {"a": {"timeout": 20}}}`,
      `aloft.json:1:33 functions.a.timeout: 20 is not allowed; allowed is a duration from 100ms to 15m such as "20s"`,
    ],
    [
      `{"functions": {"a": {"timeout": "20"}}}`,
      `aloft.json:1:33 functions.a.timeout: "20" is not allowed; allowed is a duration from 100ms to 15m such as "20s"`,
    ],
    [
      `{"functions": {"a": {"timeout": "16m"}}}`,
      `aloft.json:1:33 functions.a.timeout: "16m" is not allowed; allowed is a duration from 100ms to 15m such as "20s"`,
    ],
    [
      `{"functions": {"a": {"concurrency": 1.5}}}`,
      `aloft.json:1:37 functions.a.concurrency: 1.5 is not allowed; allowed is a whole number from 1 to 1000`,
    ],
    [
      `{"functions": {"a": {"triggers": [{"htp": "GET /"}]}}}`,
      `aloft.json:1:36 functions.a.triggers[0].htp: unknown key; did you mean "http"?`,
    ],
    [
      `{"functions": {"a": {"triggers": [{"http": "GET /", "queue": "orders"}]}}}`,
      `aloft.json:1:35 functions.a.triggers[0]: must have exactly one of http, queue, stream, cron and blob`,
    ],
    [
      `{"functions": {"a": {"triggers": [{"http": "FETCH /a"}]}}}`,
      `aloft.json:1:44 functions.a.triggers[0].http: "FETCH /a" is not a route: its method is "FETCH", allowed are GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY and *; write "METHOD /path", such as "POST /links/:id" or "GET /files/*", or only the path for every method`,
    ],
    [
      `{"functions": {"a--b": {}}}`,
      `aloft.json:1:16 functions.a--b: "a--b" is not allowed; allowed is letters, digits, _, $ and single hyphens, at most 64 characters`,
    ],
    [`{"functions": []}`, `aloft.json:1:15 functions: a list is not allowed; allowed is an object`],
    [
      `{"defaults": {"timeout": "1ms"}}`,
      `aloft.json:1:26 defaults.timeout: "1ms" is not allowed; allowed is a duration from 100ms to 15m such as "20s"`,
    ],
    [`{"name": "a", "name": "b"}`, `aloft.json:1:15 name: is given twice`],
    [`{"functions": {"__proto__": {}}}`, `aloft.json:1:16 functions.__proto__: unknown key`],
  ];
  for (const [text, line] of table) assert.equal(problemsOf(text)[0], line, text);
});

test("broken JSON is said with its place", () => {
  const table: [string, string][] = [
    [`{"name": }`, "aloft.json:1:10 a value is missing here"],
    [`{\n  "name": "a"\n  "entry": "b"\n}`, "aloft.json:3:3 a comma is missing here"],
    [`{"name": "a"`, "aloft.json:1:13 a closing } is missing here"],
    [`{name: "a"}`, "aloft.json:1:2 this is not JSON; texts stand in double quotes"],
    [`{} x`, "aloft.json:1:4 this is not JSON; texts stand in double quotes"],
    [`/* never ends`, "aloft.json:1:14 a value is missing here"],
  ];
  for (const [text, line] of table)
    assert.ok(problemsOf(text).includes(line), `${text}\n${problemsOf(text).join("\n")}`);
});

test("all problems are listed in the order of the file", () => {
  const lines = problemsOf(
    `{\n "name": "A",\n "functions": { "a": { "timeout": "1d", "memory": 5 },\n "b": { "x": 1 } } }`,
  );
  assert.deepEqual(
    lines.map((line) => line.split(" ", 2).join(" ")),
    [
      "aloft.json:2:10 name:",
      "aloft.json:3:35 functions.a.timeout:",
      "aloft.json:3:51 functions.a.memory:",
      "aloft.json:4:9 functions.b.x:",
    ],
  );
});

test("a long list of problems is cut, and so is a long value", () => {
  const lines = problemsOf(JSON.stringify({ domains: Array.from({ length: 60 }, () => "x".repeat(500)) }));
  assert.equal(lines.length, 51);
  assert.equal(lines.at(-1), "and 10 more");
  assert.ok(lines[0]!.length < 250);
});

test("a file over the limit is refused before it is read", () => {
  assert.match(problemsOf(" ".repeat(300_000))[0]!, /has 300000 bytes, allowed are 262144/);
});

test("a text that nests without end is refused", () => {
  for (const text of ["[".repeat(200_000), '{"a":'.repeat(50_000)]) {
    assert.deepEqual(problemsOf(text), ["aloft.json:1:1 is nested too deeply"]);
  }
});
