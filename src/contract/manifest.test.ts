import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAppConfig } from "./app-config.ts";
import type { DeploymentFile, DescribedFunction, HandlerStyle, Manifest } from "./deployment.ts";
import { AloftError } from "./errors.ts";
import { buildManifest, deploymentIdOf } from "./manifest.ts";
import { formatTrigger, parseRoute } from "./route.ts";

const files: readonly DeploymentFile[] = [{ path: "index.mjs", hash: "a".repeat(64), bytes: 1 }];

/** `fn("a", "http", "GET /", { timeoutMs: 5 })` */
function fn(name: string, style: HandlerStyle, ...rest: (string | DescribedFunction["limits"])[]): DescribedFunction {
  const triggers = rest
    .filter((item) => typeof item === "string")
    .map((route) => ({ kind: "http" as const, ...parseRoute(route) }));
  return { name, style, triggers, limits: rest.find((item) => typeof item === "object") ?? {} };
}

function manifestOf(described: readonly DescribedFunction[], config: object = {}): Manifest {
  const text = JSON.stringify(config);
  return buildManifest({ described, config: parseAppConfig(text), files, entry: "index.mjs", runtime: "node" });
}

/** `{ name: ["GET /a", ...] }` */
function urlsOf({ functions }: Manifest): Record<string, string[]> {
  return Object.fromEntries(functions.map(({ name, triggers }) => [name, triggers.map(formatTrigger)]));
}

function assertFails(
  code: string,
  message: RegExp,
  described: readonly DescribedFunction[],
  config: object = {},
): void {
  assert.throws(
    () => manifestOf(described, config),
    (error) => {
      assert.ok(error instanceof AloftError);
      assert.equal(error.code, code);
      assert.match(error.message, message);
      return true;
    },
  );
}

test("URLs follow from the handlers", () => {
  const table: [string, DescribedFunction[], Record<string, string[]>][] = [
    ["routes are kept", [fn("a", "http", "GET /a", "POST /a")], { a: ["GET /a", "POST /a"] }],
    [
      "a default takes what is left",
      [fn("a", "http", "GET /a"), fn("default", "fetch")],
      { a: ["GET /a"], default: ["/*"] },
    ],
    ["a single Lambda handler takes every path", [fn("handler", "lambda")], { handler: ["/*"] }],
    ["so does a single Functions Framework one", [fn("hello", "ff-http")], { hello: ["/*"] }],
    ["and a single app that is not the default", [fn("app", "fetch")], { app: ["/*"] }],
    ["beside routes too", [fn("a", "http", "GET /a"), fn("handler", "lambda")], { a: ["GET /a"], handler: ["/*"] }],
    [
      "several take their names",
      [fn("one", "lambda"), fn("two", "ff-http")],
      { one: ["/one", "/one/*"], two: ["/two", "/two/*"] },
    ],
    [
      "under a default they have none",
      [fn("default", "fetch"), fn("handler", "lambda")],
      { default: ["/*"], handler: [] },
    ],
    [
      "fn and events have none",
      [fn("add", "fn"), fn("e", "ff-event"), fn("c", "ff-cloudevent")],
      { add: [], e: [], c: [] },
    ],
    ["and do not count", [fn("add", "fn"), fn("handler", "lambda")], { add: [], handler: ["/*"] }],
  ];
  for (const [name, described, expected] of table) assert.deepEqual(urlsOf(manifestOf(described)), expected, name);
});

test("aloft.json adds routes, and a handler that has one takes no others", () => {
  const config = { functions: { one: { triggers: [{ http: "POST /one" }, { http: "POST /one" }] } } };
  assert.deepEqual(urlsOf(manifestOf([fn("one", "lambda"), fn("two", "lambda")], config)), {
    one: ["POST /one"],
    two: ["/*"],
  });
  assert.deepEqual(urlsOf(manifestOf([fn("one", "http", "GET /one")], config)), { one: ["GET /one", "POST /one"] });
  assertFails(
    "CONFIG_INVALID",
    /functions\.one\.triggers: a handler of the style fn takes no requests/,
    [fn("one", "fn")],
    config,
  );
});

test("two functions cannot have one route", () => {
  const table: [RegExp, DescribedFunction[]][] = [
    [/^a and b both claim GET \/x$/, [fn("a", "http", "GET /x"), fn("b", "http", "GET /x")]],
    [
      /^a claims GET \/:id and b claims GET \/:name, which match the same paths$/,
      [fn("a", "http", "GET /:id"), fn("b", "http", "GET /:name")],
    ],
    [/^a claims GET \/x\/:id\? and b claims GET \/x, /, [fn("a", "http", "GET /x/:id?"), fn("b", "http", "GET /x")]],
    [/^a and default both claim \/\*$/, [fn("a", "http", "/*"), fn("default", "fetch")]],
    [/^a claims GET \/:x and GET \/:y, which are one route$/, [fn("a", "http", "GET /:x", "GET /:y")]],
  ];
  for (const [message, described] of table) assertFails("ROUTE_CONFLICT", message, described);
  assert.doesNotThrow(() => manifestOf([fn("a", "http", "GET /x"), fn("b", "http", "POST /x"), fn("c", "http", "/x")]));
});

test("limits: the platform's < the code's < aloft.json's defaults < its entry for the function", () => {
  const code = { timeoutMs: 1000, memoryMiB: 300, concurrency: 3 };
  const config = {
    defaults: { timeout: "2s", keepAlive: "5s", concurrency: 4 },
    functions: { a: { timeout: "3s", memory: "1GiB", minInstances: 1 } },
  };
  const [a, b] = manifestOf([fn("a", "http", "GET /", code), fn("b", "fn")], config).functions;
  assert.deepEqual(a?.limits, {
    memoryMiB: 1024,
    timeoutMs: 3000,
    concurrency: 4,
    minInstances: 1,
    maxInstances: 10,
    keepAliveMs: 5000,
  });
  assert.deepEqual(b?.limits, {
    memoryMiB: 256,
    timeoutMs: 2000,
    concurrency: 4,
    minInstances: 0,
    maxInstances: 10,
    keepAliveMs: 5000,
  });
});

test("http has 30 s, everything else 60 s, and a Lambda handler takes one request at a time", () => {
  const styles: HandlerStyle[] = ["http", "fetch", "ff-http", "fn", "lambda", "ff-event", "ff-cloudevent"];
  const { functions } = manifestOf(
    styles.map((style) => fn(style, style)),
    { defaults: { concurrency: 8 } },
  );
  assert.deepEqual(
    functions.map(({ limits }) => [limits.timeoutMs / 1000, limits.concurrency]),
    [
      [30, 8],
      [30, 8],
      [30, 8],
      [60, 8],
      [60, 1],
      [60, 8],
      [60, 8],
    ],
  );
});

test("a limit that cannot be is refused, whoever said it", () => {
  const table: [RegExp, DescribedFunction[], object][] = [
    [/^function a: memoryMiB is 5, allowed are 64 to 16384$/, [fn("a", "fn", { memoryMiB: 5 })], {}],
    [/^function a: timeoutMs is 1, allowed are 100 to 900000$/, [fn("a", "http", "GET /", { timeoutMs: 1 })], {}],
    [/^function a: concurrency is 0, allowed are 1 to 1000$/, [fn("a", "fn", { concurrency: 0 })], {}],
    [
      /^function a: minInstances is 20, more than maxInstances 10$/,
      [fn("a", "fn")],
      { functions: { a: { minInstances: 20 } } },
    ],
    [
      /^function h: concurrency is 5; a Lambda handler takes one/,
      [fn("h", "lambda")],
      { functions: { h: { concurrency: 5 } } },
    ],
  ];
  for (const [message, described, config] of table) assertFails("CONFIG_INVALID", message, described, config);
});

test("functions share instances unless something sets them apart", () => {
  const { functions, groups } = manifestOf(
    [
      fn("page", "http", "GET /"),
      fn("default", "fetch"),
      fn("add", "fn"),
      fn("old", "ff-http", "GET /old"),
      fn("event", "ff-event"),
      fn("cloud", "ff-cloudevent"),
      fn("big", "http", "GET /big", { memoryMiB: 512 }),
      fn("configured", "fn"),
      fn("routed", "http"),
      fn("handler", "lambda"),
      fn("http", "http", "GET /http", { concurrency: 2 }),
    ],
    {
      defaults: { memory: "128MiB" },
      functions: { configured: { timeout: "5m" }, routed: { triggers: [{ http: "GET /routed" }] } },
    },
  );
  assert.deepEqual(Object.fromEntries(functions.map(({ name, group }) => [name, group])), {
    page: "http",
    default: "http",
    add: "http",
    old: "http",
    event: "events",
    cloud: "events",
    big: "big",
    configured: "configured",
    routed: "http",
    handler: "handler",
    http: "http--own",
  });
  assert.deepEqual(
    groups.map(({ name, limits }) => [name, limits.memoryMiB, limits.timeoutMs / 1000, limits.concurrency]),
    [
      ["http", 128, 60, 64],
      ["events", 128, 60, 64],
      ["big", 128, 30, 64],
      ["configured", 128, 300, 64],
      ["handler", 128, 60, 1],
      ["http--own", 128, 30, 2],
    ],
  );
});

test("a name in aloft.json that the code lacks is said, with those there are", () => {
  const described = [fn("resize", "http", "POST /"), fn("list", "http", "GET /")];
  const config = { functions: { resiez: {}, banana: {} } };
  const message =
    /^aloft\.json functions\.resiez: the code exports no such function; did you mean "resize"\?\naloft\.json functions\.banana: the code exports no such function$/;
  assertFails("CONFIG_INVALID", message, described, config);
  try {
    manifestOf(described, config);
  } catch (error) {
    assert.equal((error as AloftError).hint, "the functions are resize, list");
  }
});

test("an app without functions is refused, and so is a name given twice", () => {
  assertFails("NO_FUNCTIONS", /^index\.mjs exports no function$/, []);
  assertFails("DESCRIBE_FAILED", /^two functions have the name a$/, [fn("a", "http", "GET /"), fn("a", "fn")]);
});

test("what aloft.json says of the whole app goes into the manifest", () => {
  const manifest = manifestOf([fn("default", "fetch")], { domains: ["a.example.com"], variables: ["KEY"] });
  assert.deepEqual(manifest.domains, ["a.example.com"]);
  assert.deepEqual(manifest.requiredVariables, ["KEY"]);
  assert.equal(manifest.files, files);
});

test("the id of a deployment depends on content alone", () => {
  const a: DeploymentFile = { path: "a.mjs", hash: "1".repeat(64), bytes: 1 };
  const b: DeploymentFile = { path: "b.mjs", hash: "2".repeat(64), bytes: 2 };
  const id = deploymentIdOf([a, b], "a.mjs", "{}", "node 26");
  assert.match(id, /^[0-9a-f]{40}$/);
  assert.equal(deploymentIdOf([b, a], "a.mjs", "{}", "node 26"), id);
  assert.equal(deploymentIdOf([{ ...a, executable: false }, b], "a.mjs", "{}", "node 26"), id);
  const others = [
    deploymentIdOf([a], "a.mjs", "{}", "node 26"),
    deploymentIdOf([a, { ...b, hash: "3".repeat(64) }], "a.mjs", "{}", "node 26"),
    deploymentIdOf([a, { ...b, path: "c.mjs" }], "a.mjs", "{}", "node 26"),
    deploymentIdOf([a, { ...b, executable: true }], "a.mjs", "{}", "node 26"),
    deploymentIdOf([a, b], "b.mjs", "{}", "node 26"),
    deploymentIdOf([a, b], "a.mjs", "", "node 26"),
    deploymentIdOf([a, b], "a.mjs", "{}", "node 24"),
  ];
  assert.equal(new Set([id, ...others]).size, others.length + 1);
});

test("Lambda's tumbling windows are for Lambda handlers", () => {
  const windowed = (style: "event" | "lambda"): DescribedFunction => ({
    ...fn("sums", style),
    triggers: [{ kind: "stream", name: "clicks", options: { tumblingMs: 10_000 } }],
  });
  assert.equal(manifestOf([windowed("lambda")]).functions.length, 1);
  assertFails("CONFIG_INVALID", /sums has a tumblingWindow, which is for Lambda handlers/, [windowed("event")]);
});

test("a queue has one consumer, a stream has as many as want it", () => {
  const consumer = (name: string, kind: "queue" | "stream"): DescribedFunction => ({
    ...fn(name, "event"),
    triggers: [{ kind, name: "orders", options: {} }],
  });
  assert.equal(manifestOf([consumer("a", "stream"), consumer("b", "stream")]).functions.length, 2);
  assert.equal(manifestOf([consumer("a", "queue")]).functions.length, 1);
  assertFails("CONFIG_INVALID", /a and b both consume the queue orders/, [
    consumer("a", "queue"),
    consumer("b", "queue"),
  ]);
});
