import assert from "node:assert/strict";
import { test } from "node:test";
import { amazonTraceId, functionUrlEvent } from "./lambda-event.ts";
import { testContext } from "./test-context.ts";

const nowMs = Date.UTC(2020, 2, 12, 19, 3, 58, 390);

test("a request becomes the event of a Function URL", async () => {
  const request = new Request("http://shop.localhost:8787/my/p%20th?a=1&a=2&b=x%20y+z&empty&__proto__=p", {
    method: "POST",
    headers: {
      "Content-Type": "application/json; charset=utf-8",
      Host: "shop.localhost:8787",
      Cookie: "one=1; two=2",
      "User-Agent": "curl/8",
      "X-Many": "1, 2",
    },
    body: '{"é":1}',
  });
  const traceparent = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
  const context = testContext({ traceparent });
  const trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
  // As it travels: through JSON, where what is undefined does not exist.
  assert.deepEqual(JSON.parse(JSON.stringify(await functionUrlEvent(request, context, nowMs))), {
    version: "2.0",
    routeKey: "$default",
    rawPath: "/my/p%20th",
    rawQueryString: "a=1&a=2&b=x%20y+z&empty&__proto__=p",
    cookies: ["one=1", "two=2"],
    headers: {
      "content-type": "application/json; charset=utf-8",
      host: "shop.localhost:8787",
      "user-agent": "curl/8",
      "x-amzn-trace-id": trace,
      "x-many": "1, 2",
    },
    queryStringParameters: JSON.parse('{"a":"1,2","b":"x y z","empty":"","__proto__":"p"}') as unknown,
    requestContext: {
      accountId: "anonymous",
      apiId: "shop",
      domainName: "shop.localhost",
      domainPrefix: "shop",
      http: {
        method: "POST",
        path: "/my/p%20th",
        protocol: "HTTP/1.1",
        sourceIp: "192.0.2.7",
        userAgent: "curl/8",
      },
      requestId: context.invocationId,
      routeKey: "$default",
      stage: "$default",
      time: "12/Mar/2020:19:03:58 +0000",
      timeEpoch: nowMs,
    },
    body: '{"é":1}',
    isBase64Encoded: false,
  });
});

test("what a request does not have is absent", async () => {
  const event = await functionUrlEvent(new Request("http://shop.localhost"), testContext(), nowMs);
  assert.equal(event.rawPath, "/");
  assert.equal(event.rawQueryString, "");
  assert.deepEqual(
    ["cookies", "queryStringParameters", "body"].filter((name) => name in event),
    [],
  );
  assert.equal(event.isBase64Encoded, false);
  assert.equal(event.requestContext.http.userAgent, "");
});

test("text types arrive as text and all other types as base64, as on AWS", async () => {
  const cases: readonly [string | null, string | Buffer, boolean][] = [
    ["text/plain", "hello", false],
    ["text/csv;charset=utf-8", "a,b", false],
    ["application/json", "{}", false],
    ["application/xml", "<a/>", false],
    ["application/javascript", "1", false],
    ["application/x-www-form-urlencoded", "a=1", true],
    ["application/vnd.api+json", "{}", true],
    ["application/octet-stream", Buffer.from([0, 255]), true],
    [null, "hello", true],
    ["text/plain", Buffer.from([0xff, 0xfe]), true],
  ];
  for (const [type, body, isBase64Encoded] of cases) {
    const bytes = Buffer.from(body as string);
    const headers: Record<string, string> = type === null ? {} : { "content-type": type };
    const request = new Request("http://a.test/", { method: "POST", headers, body: new Uint8Array(bytes) });
    const event = await functionUrlEvent(request, testContext(), nowMs);
    assert.equal(event.isBase64Encoded, isBase64Encoded, String(type));
    assert.deepEqual(Buffer.from(event.body!, isBase64Encoded ? "base64" : "utf8"), bytes, String(type));
  }
});

test("a compressed body is base64 whatever its type", async () => {
  const headers = { "content-type": "application/json", "content-encoding": "gzip" };
  const request = new Request("http://a.test/", { method: "POST", headers, body: "x" });
  assert.equal((await functionUrlEvent(request, testContext(), nowMs)).isBase64Encoded, true);
});

test("a traceparent that is none has no X-Ray form", () => {
  assert.equal(amazonTraceId(""), "");
  assert.equal(amazonTraceId("00-1-2-3"), "");
});
