/** Against the real `@google-cloud/functions-framework`, through the module that stands in for it in user code. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { CloudEvent } from "@google-cloud/functions-framework";
import type * as Framework from "../../sdk/functions-framework.ts";
import { type Registration, runtimeHostKey } from "../../sdk/runtime-host.ts";
import { loadRegistration } from "./functions-framework.ts";
import type { LoadedFunction } from "./loaded-function.ts";
import { testContext } from "./test-context.ts";

const registrations: Registration[] = [];
let framework: typeof Framework;

before(async () => {
  Object.defineProperty(globalThis, runtimeHostKey, { value: { registrations } });
  framework = await import("../../sdk/functions-framework.ts");
});

function load(name: string): LoadedFunction {
  return loadRegistration(registrations.find((one) => one.name === name)!);
}

async function fetchFrom(target: LoadedFunction, input: string, init?: RequestInit): Promise<Response> {
  const response = await target.fetch(new Request(input, init), testContext());
  assert.ok(response instanceof Response);
  return response;
}

test("an http function meets Express's request and response", async () => {
  framework.http("greet", (req, res) => {
    res
      .status(201)
      .set("x-id", req.get("x-id") ?? "")
      .json({ name: req.query["name"], body: req.body as unknown, raw: req.rawBody?.toString(), ip: req.ip });
  });
  const target = load("greet");
  assert.equal(target.style, "ff-http");
  const response = await fetchFrom(target, "http://a.test/x?name=Ada", {
    method: "POST",
    body: '{"a":1}',
    headers: { "content-type": "application/json", "x-id": "7" },
  });
  assert.equal(response.status, 201);
  assert.equal(response.headers.get("x-id"), "7");
  assert.deepEqual(await response.json(), { name: "Ada", body: { a: 1 }, raw: '{"a":1}', ip: "192.0.2.7" });
});

test("an http function sends buffers and streams", async () => {
  framework.http("send", async (req, res) => {
    if (req.path === "/buffer") {
      res.send(Buffer.from([1, 2, 3]));
      return;
    }
    res.write("one ");
    await new Promise(setImmediate);
    res.end("two");
  });
  const target = load("send");
  const sent = await fetchFrom(target, "http://a.test/buffer");
  assert.equal(sent.headers.get("content-type"), "application/octet-stream");
  assert.deepEqual(new Uint8Array(await sent.arrayBuffer()), new Uint8Array([1, 2, 3]));
  assert.equal(await (await fetchFrom(target, "http://a.test/stream")).text(), "one two");
});

test("an http function called with a value gets it as its parsed body", async () => {
  framework.http("double", (req, res) => {
    res.json((req.body as { n: number }).n * 2);
  });
  assert.equal(await load("double").call({ n: 4 }, testContext()), 8);
});

test("an error of an http function is the error itself, thrown at once or later", async () => {
  framework.http("throws", () => {
    throw new TypeError("at once");
  });
  framework.http("rejects", async () => {
    await new Promise(setImmediate);
    throw new TypeError("later");
  });
  await assert.rejects(fetchFrom(load("throws"), "http://a.test/"), { name: "TypeError", message: "at once" });
  await assert.rejects(fetchFrom(load("rejects"), "http://a.test/"), { name: "TypeError", message: "later" });
});

test("an error after the head cuts the answer", async () => {
  framework.http("breaks", async (_req, res) => {
    res.write("first");
    await new Promise(setImmediate);
    throw new Error("in the middle");
  });
  const response = await fetchFrom(load("breaks"), "http://a.test/");
  await assert.rejects(async () => await response.text(), /in the middle/);
});

test("errors of requests at once stay with their requests", async () => {
  framework.http("sometimes", async (req) => {
    await new Promise(setImmediate);
    throw new Error(req.get("x-n"));
  });
  const target = load("sometimes");
  const outcomes = await Promise.allSettled(
    [1, 2, 3].map((n) => fetchFrom(target, "http://a.test/", { headers: { "x-n": String(n) } })),
  );
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.status === "rejected" ? (outcome.reason as Error).message : "")),
    ["1", "2", "3"],
  );
});

type Callback = (...results: readonly unknown[]) => void;

const cloudEvent = { specversion: "1.0", id: "1", type: "shop.order", source: "/shop", data: { total: 5 } };

test("a cloudevent function gets the event, by call and by request", async () => {
  framework.cloudEvent<{ total: number }>("order", (event: CloudEvent<{ total: number }>) => ({
    seen: [event.id, event.type, event.data?.total],
  }));
  const target = load("order");
  assert.equal(target.style, "ff-cloudevent");
  assert.deepEqual(await target.call(cloudEvent, testContext()), { seen: ["1", "shop.order", 5] });
  const binary = await fetchFrom(target, "http://a.test/", {
    method: "POST",
    body: '{"total":6}',
    headers: {
      "content-type": "application/json",
      "ce-specversion": "1.0",
      "ce-id": "2",
      "ce-type": "shop.order",
      "ce-source": "/shop",
    },
  });
  assert.deepEqual(await binary.json(), { seen: ["2", "shop.order", 6] });
});

test("a cloudevent function that returns nothing answers null, and its error is the error itself", async () => {
  framework.cloudEvent("silent", () => {});
  framework.cloudEvent("failing", async () => await Promise.reject(new RangeError("no such order")));
  assert.equal(await load("silent").call(cloudEvent, testContext()), null);
  await assert.rejects(async () => await load("failing").call(cloudEvent, testContext()), {
    name: "RangeError",
    message: "no such order",
  });
});

test("a cloudevent function may use a callback", async () => {
  const later = (event: CloudEvent<unknown>, callback: Callback): void => {
    setImmediate(() => (event.id === "1" ? callback(null, { id: event.id }) : callback(new Error("unknown"))));
  };
  framework.cloudEvent("later", later as never);
  const target = load("later");
  assert.deepEqual(await target.call(cloudEvent, testContext()), { id: "1" });
  await assert.rejects(async () => await target.call({ ...cloudEvent, id: "2" }, testContext()), /unknown/);
});

test("a legacy event becomes a cloudevent for a cloudevent function, as the framework converts it", async () => {
  framework.cloudEvent<{ message: { messageId: string } }>(
    "topic",
    (event: CloudEvent<{ message: { messageId: string } }>) => [event.type, event.data?.message.messageId],
  );
  const legacy = {
    data: { data: "aGk=" },
    context: {
      eventId: "9",
      eventType: "google.pubsub.topic.publish",
      resource: { service: "pubsub.googleapis.com", name: "projects/p/topics/t" },
      timestamp: "2024-01-01T00:00:00Z",
    },
  };
  assert.deepEqual(await load("topic").call(legacy, testContext()), [
    "google.cloud.pubsub.topic.v1.messagePublished",
    "9",
  ]);
});

test("an event function gets data and context, from a legacy event and from a cloudevent", async () => {
  framework.event("stored", (data: unknown, context: object) => ({ data, id: "id" in context ? context.id : null }));
  const counted = (data: object, _context: object, callback: Callback): void =>
    callback(null, Object.keys(data).length);
  framework.event("counted", counted as never);
  const target = load("stored");
  assert.equal(target.style, "ff-event");
  assert.deepEqual(await target.call({ data: { a: 1 }, context: { id: "3" } }, testContext()), {
    data: { a: 1 },
    id: "3",
  });
  assert.deepEqual(await target.call(cloudEvent, testContext()), { data: { total: 5 }, id: "1" });
  assert.equal(await load("counted").call({ data: { a: 1, b: 2 } }, testContext()), 2);
  assert.throws(() => void target.call("text", testContext()), /is called with an object/);
});

test("the module that stands in has all of the package's exports", async () => {
  const real = await import("@google-cloud/functions-framework");
  for (const name of Object.keys(real)) assert.ok(name in framework, name);
  assert.equal(framework.default.http, framework.http);
});
