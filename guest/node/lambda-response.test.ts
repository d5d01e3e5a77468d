import assert from "node:assert/strict";
import { test } from "node:test";
import { headFromMetadata, responseFromResult } from "./lambda-response.ts";

async function shown(result: unknown): Promise<readonly unknown[]> {
  const response = responseFromResult(result);
  return [response.status, response.headers.get("content-type"), await response.text()];
}

test("a result with a statusCode says the whole answer", async () => {
  const response = responseFromResult({
    statusCode: 201,
    headers: { "Content-Type": "text/plain", "X-Number": 3, "x-none": undefined },
    cookies: ["a=1; Path=/", "b=2"],
    body: "made",
  });
  assert.equal(response.status, 201);
  assert.equal(response.headers.get("content-type"), "text/plain");
  assert.equal(response.headers.get("x-number"), "3");
  assert.equal(response.headers.has("x-none"), false);
  assert.deepEqual(response.headers.getSetCookie(), ["a=1; Path=/", "b=2"]);
  assert.equal(await response.text(), "made");
});

test("results are read as Function URLs read them", async () => {
  const json = "application/json";
  const cases: readonly [unknown, readonly unknown[]][] = [
    [{ statusCode: 200 }, [200, json, ""]],
    [{ statusCode: "404", body: "no" }, [404, json, "no"]],
    [{ statusCode: 200, body: { a: 1 } }, [200, json, '{"a":1}']],
    [{ statusCode: 200, body: null, headers: null, cookies: null }, [200, json, ""]],
    [{ statusCode: 200, body: "aGVsbG8=", isBase64Encoded: true }, [200, json, "hello"]],
    [{ statusCode: 204, body: "ignored" }, [204, null, ""]],
    ["Hello", [200, json, "Hello"]],
    [{ message: "Hello" }, [200, json, '{"message":"Hello"}']],
    [{ body: "no statusCode" }, [200, json, '{"body":"no statusCode"}']],
    [
      [1, 2],
      [200, json, "[1,2]"],
    ],
    [3, [200, json, "3"]],
    [null, [200, json, "null"]],
    [undefined, [200, json, "null"]],
    [new Date(0), [200, json, '"1970-01-01T00:00:00.000Z"']],
    [{ toJSON: () => ({ statusCode: 202, body: "x" }) }, [202, json, "x"]],
  ];
  for (const [result, expected] of cases) assert.deepEqual(await shown(result), expected);
});

test("bytes in base64 arrive as bytes", async () => {
  const response = responseFromResult({ statusCode: 200, body: "AP8=", isBase64Encoded: true });
  assert.deepEqual(new Uint8Array(await response.arrayBuffer()), new Uint8Array([0, 255]));
});

test("a result that is no answer says what is wrong with it", () => {
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  const cases: readonly [unknown, RegExp][] = [
    [{ statusCode: 99 }, /statusCode is 99; it must be a whole number from 200 to 599/],
    [{ statusCode: "ok" }, /statusCode is "ok"/],
    [{ statusCode: null }, /statusCode is null/],
    [{ statusCode: 200, headers: "x" }, /headers are "x"; they must be an object/],
    [{ statusCode: 200, headers: { "bad name": "x" } }, /header "bad name" is not valid/],
    [{ statusCode: 200, headers: { a: "line\nbreak" } }, /header "a" is not valid/],
    [{ statusCode: 200, headers: { a: ["x"] } }, /header a is \["x"\]; it must be text/],
    [{ statusCode: 200, cookies: "a=1" }, /cookies are "a=1"; they must be a list/],
    [{ statusCode: 200, body: 5 }, /body is 5; it must be text/],
    [cycle, /is not JSON: Converting circular/],
    [{ big: 1n }, /is not JSON/],
  ];
  for (const [result, message] of cases)
    assert.throws(() => responseFromResult(result), { name: "BadResponse", message });
});

test("the metadata of a stream is a head", () => {
  const { status, headers } = headFromMetadata({ statusCode: 201, headers: { "x-a": "1" }, cookies: ["c=1"] });
  assert.equal(status, 201);
  assert.deepEqual(
    [...headers],
    [
      ["set-cookie", "c=1"],
      ["x-a", "1"],
    ],
  );
  assert.equal(headFromMetadata({}).status, 200);
  assert.throws(() => headFromMetadata("x"), /is not an object/);
});
