import assert from "node:assert/strict";
import { test } from "node:test";
import { BodySource } from "./body.ts";
import { installHeaders } from "./headers.ts";
import { nativeWeb } from "./native-web.ts";
import { installRequest, LightRequest } from "./request.ts";

installHeaders();
installRequest();

const Native = nativeWeb().Request;

function make(
  body: Buffer | null = null,
  headers: string[] = ["content-type", "text/plain"],
  method = "POST",
): Request {
  const source = body === null ? null : new BodySource(body, true, () => {});
  const controller = new AbortController();
  return new LightRequest(
    { method, url: "http://localhost/a?b=c", headers },
    source,
    () => controller.signal,
  ) as unknown as Request;
}

test("a request passes for one of the web's everywhere", async () => {
  const request = make(Buffer.from("body"));
  assert.ok(request instanceof Request);
  assert.ok(request instanceof Native);
  assert.equal(Object.prototype.toString.call(request), "[object Request]");
  const copy = new Request(request, { headers: { a: "b" } });
  assert.equal(copy.url, "http://localhost/a?b=c");
  assert.equal(copy.method, "POST");
  assert.equal(await copy.text(), "body");
});

test("the body is read as text, JSON, bytes, a Blob, a form or a stream", async () => {
  const json = Buffer.from('{"a":1}');
  assert.equal(await make(json).text(), '{"a":1}');
  assert.deepEqual(await make(json).json(), { a: 1 });
  assert.deepEqual(Buffer.from(await make(json).arrayBuffer()), json);
  assert.deepEqual(Buffer.from(await make(json).bytes()), json);
  assert.equal(await (await make(json).blob()).text(), '{"a":1}');
  assert.equal(
    (await make(Buffer.from("a=1&b=2"), ["content-type", "application/x-www-form-urlencoded"]).formData()).get("b"),
    "2",
  );
  const parts: Buffer[] = [];
  for await (const part of make(json).body ?? []) parts.push(Buffer.from(part));
  assert.deepEqual(Buffer.concat(parts), json);
});

test("text is decoded as the web decodes it", async () => {
  for (const bytes of [Buffer.from("\ufeffhi"), Buffer.from([0xff, 0x41]), Buffer.from("grüße")]) {
    const theirs = new Native("http://localhost/", { method: "POST", body: bytes });
    assert.equal(await make(bytes).text(), await theirs.text());
  }
});

test("a body is read once, whichever way comes first", async () => {
  const request = make(Buffer.from("x"));
  assert.equal(request.bodyUsed, false);
  await request.text();
  assert.equal(request.bodyUsed, true);
  await assert.rejects(request.json(), TypeError);
  await assert.rejects(request.arrayBuffer(), TypeError);
  assert.throws(() => request.clone(), TypeError);
});

test("a clone has the body too", async () => {
  const request = make(Buffer.from("twice"));
  const clone = request.clone();
  assert.equal(await request.text(), "twice");
  assert.equal(await clone.text(), "twice");
});

test("a request without a body has none", async () => {
  const request = make(null, [], "GET");
  assert.equal(request.body, null);
  assert.equal(await request.text(), "");
  assert.equal(request.bodyUsed, false);
});

test("headers that came twice are joined, cookies included, and can be changed without touching the wire's", () => {
  const request = make(null, ["accept", "a", "accept", "b"], "GET");
  assert.equal(request.headers.get("Accept"), "a, b");
  assert.equal(request.headers, request.headers);
});

test("malformed JSON rejects with a SyntaxError", async () => {
  await assert.rejects(make(Buffer.from("{")).json(), SyntaxError);
});
