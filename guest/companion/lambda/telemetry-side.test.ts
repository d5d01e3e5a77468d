import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import type { TelemetryEvent } from "./platform-events.ts";
import { type Answer, type OpenApi, openApi } from "./runtime-api.fixture.ts";

interface Listener {
  readonly uri: string;
  readonly batches: TelemetryEvent[][];
  /** Statuses to answer with; 200 when there is none left. */
  readonly statuses: number[];
  /** Resolves once so many events have come. */
  heard(count: number): Promise<TelemetryEvent[]>;
}

async function listen(t: TestContext): Promise<Listener> {
  const batches: TelemetryEvent[][] = [];
  const statuses: number[] = [];
  let wake = (): void => {};
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk.toString()));
    request.on("end", () => {
      const status = statuses.shift() ?? 200;
      assert.equal(request.headers["content-type"], "application/json");
      if (status < 400) batches.push(JSON.parse(text) as TelemetryEvent[]);
      response.writeHead(status).end();
      wake();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    uri: `http://sandbox.localdomain:${(server.address() as AddressInfo).port}/events?a=1`,
    batches,
    statuses,
    async heard(count) {
      while (batches.flat().length < count) await new Promise<void>((resolve) => (wake = resolve));
      return batches.flat();
    },
  };
}

async function extension(open: OpenApi, name = "ears"): Promise<Record<string, string>> {
  const answer = await open.call("POST", "/2020-01-01/extension/register", {
    headers: { "lambda-extension-name": name },
    body: '{"events":[]}',
  });
  return { "lambda-extension-identifier": String(answer.headers["lambda-extension-identifier"]) };
}

function subscribe(open: OpenApi, headers: Record<string, string>, body: object, path = "/2022-07-01/telemetry") {
  return open.call("PUT", path, { headers, body: JSON.stringify(body) });
}

function subscription(uri: string, given: object = {}): object {
  return {
    schemaVersion: "2022-12-13",
    types: ["platform", "function"],
    buffering: { maxItems: 1000, maxBytes: 262_144, timeoutMs: 25 },
    destination: { protocol: "HTTP", URI: uri },
    ...given,
  };
}

function typesOf(events: readonly TelemetryEvent[]): string[] {
  return events.map(({ type }) => type);
}

test("a listener hears what came before it, that it listens, and then its own categories", async (t) => {
  const open = await openApi(t);
  const { telemetry } = open.api;
  const ears = await listen(t);
  telemetry.emit("platform.initStart", { phase: "init" });
  const answer = await subscribe(open, await extension(open), subscription(ears.uri));
  assert.deepEqual([answer.status, answer.text], [200, '"OK"']);
  telemetry.emit("function", "hello");
  telemetry.emit("extension", "not asked for");
  telemetry.emit("platform.end", { requestId: "only the Logs API knows it" });
  const events = await ears.heard(3);
  assert.deepEqual(typesOf(events), ["platform.initStart", "platform.telemetrySubscription", "function"]);
  assert.deepEqual(events[1]?.record, { name: "ears", state: "Subscribed", types: ["platform", "function"] });
  assert.equal(events[2]?.record, "hello");
  assert.match(String(events[2]?.time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test("events leave in batches: when there are enough, or when the flush is asked for", async (t) => {
  const open = await openApi(t);
  const { telemetry } = open.api;
  const ears = await listen(t);
  const buffering = { maxItems: 1000, maxBytes: 262_144, timeoutMs: 30_000 };
  await subscribe(open, await extension(open), subscription(ears.uri, { buffering, types: ["function"] }));
  for (let number = 0; number < 1003; number += 1) telemetry.emit("function", number);
  await ears.heard(1000);
  await telemetry.flush();
  assert.deepEqual(
    ears.batches.map((batch) => batch.length),
    [1000, 3],
  );
});

test("a batch that is refused is sent again", async (t) => {
  const open = await openApi(t);
  const ears = await listen(t);
  ears.statuses.push(500, 503);
  await subscribe(open, await extension(open), subscription(ears.uri, { types: ["function"] }));
  open.api.telemetry.emit("function", "once");
  await ears.heard(1);
  assert.deepEqual(ears.statuses, []);
  assert.equal(ears.batches.length, 1);
});

test("what could not be delivered is counted, and told with the next batch", async (t) => {
  const open = await openApi(t);
  const ears = await listen(t);
  ears.statuses.push(500, 500, 500, 500);
  await subscribe(open, await extension(open), subscription(ears.uri, { types: ["function"] }));
  open.api.telemetry.emit("function", "lost");
  await open.api.telemetry.flush();
  open.api.telemetry.emit("function", "heard");
  const [dropped, heard] = await ears.heard(2);
  assert.equal(dropped?.type, "platform.logsDropped");
  assert.partialDeepStrictEqual(dropped?.record, { droppedRecords: 1 });
  assert.equal(heard?.record, "heard");
});

test("a TCP listener gets one event a line", async (t) => {
  const open = await openApi(t);
  let text = "";
  const { promise, resolve } = Promise.withResolvers<void>();
  const server = createTcpServer((socket) => {
    socket.on("data", (chunk) => {
      text += chunk.toString();
      if (text.endsWith("\n")) resolve();
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  const destination = { protocol: "TCP", port: (server.address() as AddressInfo).port };
  const body = subscription("", { destination, types: ["function"] });
  assert.equal((await subscribe(open, await extension(open), body)).status, 200);
  open.api.telemetry.emit("function", "hello");
  await promise;
  assert.equal((JSON.parse(text) as TelemetryEvent).record, "hello");
});

test("the Logs API has its own path, its own versions and its own events", async (t) => {
  const open = await openApi(t);
  const { telemetry } = open.api;
  const ears = await listen(t);
  const { schemaVersion: _, ...body } = subscription(ears.uri) as Record<string, unknown>;
  const answer = await subscribe(open, await extension(open), body, "/2020-08-15/logs/");
  assert.deepEqual([answer.status, answer.text], [200, '"OK"']);
  telemetry.emit("platform.initReport", {});
  telemetry.emit("platform.end", { requestId: "r" });
  assert.deepEqual(typesOf(await ears.heard(2)), ["platform.logsSubscription", "platform.end"]);
  const other = await subscribe(open, await extension(open, "other"), subscription(ears.uri));
  assert.equal(other.status, 400);
  assert.match(other.text, /ears has subscribed to the Logs API/);
});

test("a subscription that is not valid is refused with what is wrong", async (t) => {
  const open = await openApi(t);
  const headers = await extension(open);
  const uri = "http://sandbox.localdomain:8080";
  const cases: readonly [object, RegExp][] = [
    [subscription(uri, { schemaVersion: "1999-01-01" }), /schemaVersion/],
    [subscription(uri, { types: [] }), /types/],
    [subscription(uri, { types: ["weather"] }), /types/],
    [subscription("http://example.com:8080"), /sandbox\.localdomain/],
    [subscription("file:///etc/passwd"), /sandbox\.localdomain/],
    [subscription(uri, { destination: { protocol: "UDP" } }), /protocol/],
    [subscription(uri, { destination: { protocol: "TCP", port: 70_000 } }), /port/],
    [subscription(uri, { buffering: { timeoutMs: 1 } }), /timeoutMs must be a whole number from 25 to 30000/],
    [subscription(uri, { buffering: { maxItems: 999 } }), /maxItems/],
    [subscription(uri, { buffering: { maxBytes: 2_000_000 } }), /maxBytes/],
  ];
  for (const [body, message] of cases) {
    const answer: Answer = await subscribe(open, headers, body);
    assert.equal(answer.status, 400, JSON.stringify(body));
    const error = JSON.parse(answer.text) as { errorType: string; errorMessage: string };
    assert.equal(error.errorType, "ValidationError");
    assert.match(error.errorMessage, message);
  }
  const garbage = await open.call("PUT", "/2022-07-01/telemetry", { headers, body: "{" });
  assert.equal(garbage.status, 400);
  assert.equal((await subscribe(open, {}, subscription(uri))).status, 403);
  open.api.telemetry.closeSubscription();
  const late = await subscribe(open, headers, subscription(uri));
  assert.equal(late.status, 403);
  assert.equal(
    late.text,
    '{"errorMessage":"Telemetry API subscription is closed already","errorType":"Telemetry.SubscriptionClosed"}\n',
  );
  const lateLogs = await subscribe(open, headers, subscription(uri), "/2020-08-15/logs");
  assert.equal(
    lateLogs.text,
    '{"errorMessage":"Logs API subscription is closed already","errorType":"Logs.SubscriptionClosed"}\n',
  );
});
