import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { type Context, fn, http } from "../../sdk/index.ts";
import express from "express";
import { Hono } from "hono";
import { loadFunctions } from "./load.ts";
import type { LoadedFunction } from "./loaded-function.ts";
import { testContext } from "./test-context.ts";

function load(namespace: Record<string, unknown>): LoadedFunction[] {
  return loadFunctions(namespace, [], { LOAD_TEST: "set" });
}

function describe(functions: readonly LoadedFunction[]): unknown[] {
  return functions.map(({ name, style, triggers, limits }) => ({ name, style, triggers, limits }));
}

async function answer(target: LoadedFunction | undefined, input: string, init?: RequestInit): Promise<Response> {
  const response = await target!.fetch(new Request(input, init), testContext());
  assert.ok(response instanceof Response);
  return response;
}

test("exports of the SDK are functions with the export's name", () => {
  const follow = http("GET /links/:id", { timeout: "5s" }, () => new Response());
  const add = fn(({ a, b }: { a: number; b: number }) => a + b);
  assert.deepEqual(describe(load({ add, follow, constant: 3, helper: () => {} })), [
    { name: "add", style: "fn", triggers: [], limits: {} },
    {
      name: "follow",
      style: "http",
      triggers: [{ kind: "http", method: "GET", path: "/links/:id" }],
      limits: { timeoutMs: 5000 },
    },
  ]);
});

test("a function exported under two names is one function, not called default", () => {
  const hello = http("/", () => new Response());
  assert.deepEqual(
    load({ default: hello, hello }).map(({ name }) => name),
    ["hello"],
  );
  assert.deepEqual(
    load({ default: hello }).map(({ name }) => name),
    ["default"],
  );
});

test("an http function gets the request and the context as they are", async () => {
  const context = testContext({ params: { id: "7" } });
  const request = new Request("http://a.test/");
  const show = http("/:id", (given, { params }) => Response.json([given === request, params.id]));
  const response = (await load({ show })[0]?.fetch(request, context)) as Response;
  assert.deepEqual(await response.json(), [true, "7"]);
});

test("a fn is called with its input; a request's body is its input too", async () => {
  const add = fn(({ a, b }: { a: number; b: number }, { attempt }) => ({ sum: a + b, attempt }));
  const [target] = load({ add });
  assert.deepEqual(await target!.call({ a: 1, b: 2 }, testContext({ attempt: 3 })), { sum: 3, attempt: 3 });
  const response = await answer(target, "http://a.test/", { method: "POST", body: '{"a":2,"b":3}' });
  assert.deepEqual(await response.json(), { sum: 5, attempt: 1 });
});

test("a function that answers requests can be called with a value", async () => {
  const echo = http("POST /", async (request) => Response.json({ got: await request.json() }));
  assert.deepEqual(await load({ echo })[0]!.call({ a: 1 }, testContext()), { got: { a: 1 } });
  const text = http("/", () => new Response("plain"));
  assert.equal(await load({ text })[0]!.call(null, testContext()), "plain");
  const failing = http("/", () => new Response("no such thing", { status: 404 }));
  await assert.rejects(async () => await load({ failing })[0]!.call(null, testContext()), /status 404: no such thing/);
});

test("a default export with a method fetch gets request, variables and context", async () => {
  class App {
    readonly greeting = "hello";
    fetch(
      request: Request,
      env: Record<string, string>,
      context: Context & { passThroughOnException(): void },
    ): Response {
      context.passThroughOnException();
      context.waitUntil(Promise.resolve());
      return Response.json([this.greeting, request.url, env, context.app, context.remoteAddress]);
    }
  }
  const [target] = load({ default: new App() });
  assert.deepEqual(describe([target!]), [{ name: "default", style: "fetch", triggers: [], limits: {} }]);
  assert.deepEqual(await (await answer(target, "http://a.test/x")).json(), [
    "hello",
    "http://a.test/x",
    { LOAD_TEST: "set" },
    "shop",
    "192.0.2.7",
  ]);
});

test("a Hono app runs as it is, execution context included", async () => {
  const waited: Promise<unknown>[] = [];
  const app = new Hono<{ Bindings: Record<string, string> }>();
  app.get("/hello/:name", (c) => {
    c.executionCtx.waitUntil(Promise.resolve("later"));
    return c.text(`Hello ${c.req.param("name")} ${c.env["LOAD_TEST"]}`);
  });
  const [target] = load({ default: app });
  const context = testContext({ waitUntil: (promise) => waited.push(promise) });
  const response = (await target!.fetch(new Request("http://a.test/hello/Ada"), context)) as Response;
  assert.equal(await response.text(), "Hello Ada set");
  assert.deepEqual(await Promise.all(waited), ["later"]);
});

test("a default export that is a function answers requests", async () => {
  const [target] = load({
    default: (request: Request, context: Context) => new Response(`${request.method} ${context.app}`),
  });
  assert.equal(target?.style, "fetch");
  assert.equal(await (await answer(target, "http://a.test/")).text(), "GET shop");
});

test("a default-exported Express app runs as it is", async () => {
  const app = express();
  app.use(express.json());
  app.post("/sum", (req, res) => {
    const { a, b } = req.body as { a: number; b: number };
    res.status(201).json({ sum: a + b });
  });
  const response = await answer(load({ default: app })[0], "http://a.test/sum", {
    method: "POST",
    body: '{"a":1,"b":2}',
    headers: { "content-type": "application/json" },
  });
  assert.equal(response.status, 201);
  assert.deepEqual(await response.json(), { sum: 3 });
});

test("an export named handler is a Lambda handler", async () => {
  const handler = async (event: { rawPath: string }): Promise<unknown> => ({ statusCode: 202, body: event.rawPath });
  const [target, ...others] = load({ handler, other: handler });
  assert.deepEqual(others, []);
  assert.deepEqual(describe([target!]), [{ name: "handler", style: "lambda", triggers: [], limits: {} }]);
  const response = await answer(target, "http://a.test/x");
  assert.equal(response.status, 202);
  assert.equal(await response.text(), "/x");
});

test("a CommonJS module's exports are found behind the default export", () => {
  const handler = (): void => {};
  const hello = http("/", () => new Response());
  const names = (namespace: Record<string, unknown>): string[] => load(namespace).map(({ name }) => name);
  assert.deepEqual(names({ default: { handler } }), ["handler"]);
  assert.deepEqual(names({ default: { handler }, handler, "module.exports": { handler } }), ["handler"]);
  assert.deepEqual(names({ default: { hello, default: { fetch: handler }, __esModule: true } }), ["hello", "default"]);
  assert.deepEqual(names({ default: { fetch: handler } }), ["default"]);
  assert.deepEqual(names({ default: handler }), ["default"]);
});

test("a module without functions is an empty list", () => {
  for (const value of [undefined, null, 3, "text", {}, []]) assert.deepEqual(load({ default: value, constant: 1 }), []);
});

test("an export that is not valid is named", () => {
  const good = http("/", () => new Response());
  const symbol = Symbol.for("aloft.function");
  const withRoute = (route: string): unknown =>
    Object.assign(() => {}, { [symbol]: { kind: "http", route, options: {}, handler: good.handler } });
  assert.throws(() => load({ one: good, two: withRoute("links") }), {
    message: 'the function "two": route "links": the path "links" must begin with "/"',
  });
  const handler = { name: "handler", signature: "event", handler: () => {}, server: null, onError: null } as const;
  assert.throws(() => loadFunctions({ handler: () => {} }, [handler], {}), {
    message: 'two functions have the name "handler"',
  });
});

test("loading functions loads nothing of Node that the rest of the runtime does not use", () => {
  const code = `
    // What the rest of the runtime uses.
    await Promise.all(["async_hooks", "module", "stream", "util"].map((name) => import("node:" + name)));
    const before = new Set(process.moduleLoadList);
    const { loadFunctions } = await import(${JSON.stringify(new URL("./load.ts", import.meta.url).href)});
    const target = loadFunctions({ default: { fetch: () => new Response("hello") }, handler: async () => "hello" }, [], {});
    const loaded = process.moduleLoadList.filter((name) => !before.has(name) && !name.includes("amaro"));
    console.log(JSON.stringify([target.length, loaded]));
  `;
  const run = spawnSync(process.execPath, ["--expose-internals", "--input-type=module", "-e", code], {
    encoding: "utf8",
  });
  assert.equal(run.stdout, "[2,[]]\n", run.stderr);
});
