import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { findDeclaredFunction } from "./declared-function.ts";
import { fn, http, invoke } from "./index.ts";
import { localState } from "./local-state.ts";
import { type RuntimeHost, runtimeHostKey } from "./runtime-host.ts";

function enterAloft(host: Partial<RuntimeHost>): void {
  const whole = { invoke: async () => null, currentContext: () => null, registrations: [], state: localState, ...host };
  Object.defineProperty(globalThis, runtimeHostKey, { value: whole, configurable: true });
}

afterEach(() => {
  Reflect.deleteProperty(globalThis, runtimeHostKey);
});

test("an http function called in a test gets the parameters of its route", async () => {
  const follow = http("GET /links/:id", (_request, { params, attempt }) => Response.json({ ...params, attempt }));
  const response = await follow(new Request("http://localhost/links/a%20b?x=1"));
  assert.deepEqual(await response.json(), { id: "a b", attempt: 1 });
});

test("an http function called in a test takes what it is given for its context", async () => {
  const controller = new AbortController();
  const read = http("/:id", (_request, { params, signal, app }) =>
    Response.json({ ...params, app, aborted: signal.aborted }),
  );
  controller.abort();
  const response = await read(new Request("http://localhost/a"), {
    params: { id: "b" },
    signal: controller.signal,
    app: "shop",
  });
  assert.deepEqual(await response.json(), { id: "b", app: "shop", aborted: true });
});

test("an http function is refused where it is declared when its route or an option is not valid", () => {
  assert.throws(() => http("/*/a", () => new Response()), /route "\/\*\/a"/);
  assert.throws(() => http("/", { concurrency: 1.5 }, () => new Response()), /concurrency is 1.5/);
  assert.throws(() => http("/", undefined as never), /the handler is not a function/);
});

test("functions carry their declaration for the runtime", () => {
  const handler = (): Response => new Response();
  const root = findDeclaredFunction(http("GET /", { timeout: "1s" }, handler));
  assert.deepEqual(root, { kind: "http", route: "GET /", options: { timeout: "1s" }, handler });
  assert.equal(findDeclaredFunction(fn(() => 1))?.kind, "fn");
  assert.equal(findDeclaredFunction(handler), null);
  assert.equal(findDeclaredFunction(null), null);
});

test("a fn called in a test runs its handler, and its input and output are made JSON as in production", async () => {
  const shift = fn((input: { at: string | Date; by: number }) => {
    assert.equal(typeof input.at, "string");
    return { at: new Date(Date.parse(input.at as string) + input.by), dropped: undefined };
  });
  assert.deepEqual(await shift({ at: new Date(0), by: 1 }), { at: "1970-01-01T00:00:00.001Z" });
  assert.equal(await fn(() => {})(), null);
  await assert.rejects(async () => await fn(() => Promise.reject(new Error("no")))(), /no/);
});

test("a fn called inside Aloft goes through the runtime under its exported name", async () => {
  const calls: unknown[] = [];
  enterAloft({
    invoke: async (name, payload) => {
      calls.push([name, payload]);
      return { sum: 3 };
    },
  });
  const add = fn(({ a, b }: { a: number; b: number }) => ({ sum: a + b }));
  await assert.rejects(async () => await add({ a: 1, b: 2 }), /has no name: export it from the app's entry file/);
  const declared = findDeclaredFunction(add);
  assert.equal(declared?.kind, "fn");
  if (declared?.kind === "fn") {
    declared.bind("add");
    declared.bind("alsoAdd");
  }
  assert.deepEqual(await add({ a: 1, b: 2 }), { sum: 3 });
  assert.deepEqual(await invoke("other"), { sum: 3 });
  assert.deepEqual(calls, [
    ["add", { a: 1, b: 2 }],
    ["other", null],
  ]);
});

test("invoke says that it works inside Aloft only", async () => {
  await assert.rejects(async () => await invoke("other"), /invoke\("other"\) works inside Aloft only/);
});

test("an http function called from another handler gets that invocation's context", async () => {
  const fields = { invocationId: "i1", app: "shop", attempt: 2 };
  class Lazy {
    get invocationId(): string {
      return fields.invocationId;
    }
    get app(): string {
      return fields.app;
    }
  }
  enterAloft({ currentContext: () => new Lazy() as never });
  const inner = http("/", (_request, { invocationId, app }) => Response.json({ invocationId, app }));
  const response = await inner(new Request("http://localhost/"));
  assert.deepEqual(await response.json(), { invocationId: "i1", app: "shop" });
});
