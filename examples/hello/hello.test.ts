import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { startTestServer } from "../../test/kit/server.ts";
import { until } from "../../test/kit/until.ts";

const examples = join(import.meta.dirname, "..");
const server = await startTestServer({ after });

async function answerOf(app: string, path: string, init?: RequestInit): Promise<unknown> {
  const response = await server.fetch(app, path, init);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

test("hello answers its routes, echoes a stream and calls its own fn", async () => {
  const { functions } = await server.deploy(join(examples, "hello"));
  assert.deepEqual(functions.map(({ name, style }) => [name, style]).toSorted(), [
    ["compose", "fn"],
    ["echo", "http"],
    ["greet", "http"],
    ["hello", "http"],
  ]);
  assert.equal(await (await server.fetch("hello", "/")).text(), "Hello from Aloft\n");
  assert.deepEqual(await answerOf("hello", "/hello/ada%20b"), { greeting: "Hello, ada b!" });
  const body = "x".repeat(1_000_000);
  const echoed = await server.fetch("hello", "/echo", { method: "POST", body, headers: { "content-type": "text/x" } });
  assert.equal(echoed.headers.get("content-type"), "text/x");
  assert.equal(await echoed.text(), body);
  assert.equal((await server.fetch("hello", "/nowhere")).status, 404);
});

test("a Workers module has the app's variables in env, and what it gives to waitUntil is done after the answer", async () => {
  const app = "styles-workers";
  await server.deploy(join(examples, app));
  await server.client.changeVariables(app, "production", { set: { GREETING: "hej" }, unset: [] });
  assert.partialDeepStrictEqual(await answerOf(app, "/"), { greeting: "hej" });
  await until("what waitUntil was given", async () =>
    (await server.client.listLogs(app, {})).some(({ message }) => message === "answered /"),
  );
});

test("every other style answers without configuration", async () => {
  const expected: Record<string, object> = {
    "styles-workers": { style: "workers", path: "/hello/ada" },
    "styles-fetch": { style: "fetch", method: "GET", path: "/hello/ada" },
    "styles-hono": { style: "hono", hello: "ada" },
    "styles-lambda": { style: "lambda", method: "GET", path: "/hello/ada", name: "x", calls: 1 },
    "styles-lambda-middy": { style: "lambda-middy", path: "/hello/ada", name: "x" },
    "styles-lambda-callback": { style: "lambda-callback", path: "/hello/ada" },
    "styles-functions-framework": { style: "functions-framework", method: "GET", path: "/hello/ada" },
  };
  const folders = readdirSync(examples).filter((name) => name.startsWith("styles-"));
  assert.deepEqual(folders.toSorted(), Object.keys(expected).toSorted());
  for (const [name, answer] of Object.entries(expected)) {
    await server.deploy(join(examples, name));
    const got = await answerOf(name, "/hello/ada?name=x");
    assert.partialDeepStrictEqual(got, answer, name);
  }
});

test("the middleware of Middy and Powertools finds AWS's context and prints its lines", async () => {
  async function lines(): Promise<Record<string, unknown>[]> {
    const logs = await server.client.listLogs("styles-lambda-middy", {});
    return logs
      .filter(({ message }) => message.startsWith("{"))
      .map(({ message }) => JSON.parse(message) as object as Record<string, unknown>);
  }
  await until("a line of the logger and two of metrics", async () => (await lines()).length >= 3);
  const greeting = (await lines()).find((line) => line["message"] === "greeting");
  assert.partialDeepStrictEqual(greeting, {
    level: "INFO",
    name: "x",
    service: "styles",
    cold_start: true,
    function_name: "styles-lambda-middy-handler",
    function_arn: "arn:aws:lambda:us-east-1:000000000000:function:styles-lambda-middy-handler",
    function_memory_size: "256",
  });
  assert.match(String(greeting?.["function_request_id"]), /^[0-9a-f]{32}$/);
  const metrics = (await lines()).filter((line) => "_aws" in line);
  assert.ok(metrics.some((line) => line["greetings"] === 1));
  assert.ok(metrics.some((line) => line["ColdStart"] === 1 && line["function_name"] === "styles-lambda-middy-handler"));
});
