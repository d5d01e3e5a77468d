import assert from "node:assert/strict";
import { test } from "node:test";
import { installHeaders } from "./headers.ts";
import { nativeWeb } from "./native-web.ts";
import { installResponse, isResponse, LightResponse, nativeResponseOf, plainResponseOf } from "./response.ts";

installHeaders();
installResponse();

const Native = nativeWeb().Response;

type Init = ConstructorParameters<typeof Native>[1];
type Body = ConstructorParameters<typeof Native>[0];

/** Everything a client could see of a response, read through its public face. */
async function faceOf(response: Response): Promise<unknown> {
  return {
    status: response.status,
    statusText: response.statusText,
    ok: response.ok,
    type: response.type,
    redirected: response.redirected,
    headers: [...response.headers],
    hasBody: response.body !== null,
    body: await response.text(),
    used: response.bodyUsed,
  };
}

const cases: [string, () => [Body?, Init?]][] = [
  ["nothing", () => []],
  ["text", () => ["hello"]],
  ["empty text", () => [""]],
  ["unicode", () => ["grüße 🚀"]],
  ["null with status", () => [null, { status: 204 }]],
  [
    "plain headers",
    () => ["x", { status: 201, statusText: "Made", headers: { "X-One": " 1 ", "content-type": "text/html" } }],
  ],
  [
    "pairs",
    () => [
      "x",
      {
        headers: [
          ["set-cookie", "a=1"],
          ["set-cookie", "b=2"],
        ],
      },
    ],
  ],
  ["a Headers object", () => ["x", { headers: new Headers({ a: "b" }) }]],
  ["bytes", () => [new Uint8Array([1, 2, 3])]],
  ["a part of a buffer", () => [new Uint8Array([1, 2, 3, 4]).subarray(1, 3)]],
  ["an ArrayBuffer", () => [new Uint8Array([65, 66]).buffer]],
  ["search parameters", () => [new URLSearchParams({ a: "1" })]],
  ["a Blob", () => [new Blob(["blob"], { type: "text/x" })]],
  ["a stream", () => [new Blob(["streamed"]).stream()]],
  ["a header with a latin1 value", () => ["x", { headers: { a: "\u00e9" } }]],
];

for (const [name, make] of cases) {
  test(`a response of ${name} looks like the web's own`, async () => {
    const ours = new Response(...make());
    const theirs = new Native(...make());
    assert.deepEqual(await faceOf(ours), await faceOf(theirs));
  });
}

const refused: [string, Body, Init][] = [
  ["a status below 200", "x", { status: 101 }],
  ["a status above 599", "x", { status: 600 }],
  ["a body with 204", "x", { status: 204 }],
  ["a header name with a space", "x", { headers: { "a b": "c" } }],
  ["a header value with a newline", "x", { headers: { a: "b\nc" } }],
  ["a header value outside latin1", "x", { headers: { a: "🚀" } }],
  ["a status text with a newline", "x", { statusText: "a\nb" }],
];

for (const [name, body, init] of refused) {
  test(`${name} is refused as the web refuses it`, () => {
    let expected: unknown;
    try {
      expected = new Native(body, init);
    } catch (error) {
      expected = error;
    }
    assert.ok(expected instanceof Error, "the web refuses it");
    const { name: type } = expected;
    assert.throws(
      () => new Response(body, init),
      (error: Error) => error.name === type,
    );
  });
}

test("Response.json and its options give what the web's own gives", async () => {
  for (const init of [
    undefined,
    { status: 201 },
    { headers: { "content-type": "application/problem+json" } },
    { headers: { a: "b" } },
  ]) {
    const value = { a: [1, "zwei", null] };
    assert.deepEqual(await faceOf(Response.json(value, init)), await faceOf(Native.json(value, init)));
  }
  assert.throws(() => Response.json(undefined), TypeError);
});

test("instanceof and the constructor's statics work for ours and for the web's", () => {
  assert.ok(new Response("x") instanceof Response);
  assert.ok(new Native("x") instanceof Response);
  assert.ok(Response.redirect("http://localhost/") instanceof Response);
  assert.equal(Response.error().type, "error");
  class Own extends Response {}
  assert.ok(new Own("x") instanceof Response);
  assert.ok(isResponse(new Own("x")));
  assert.equal(isResponse({ status: 200 }), false);
  assert.equal(Object.prototype.toString.call(new Response("x")), "[object Response]");
});

test("an untouched response stays plain, and one whose body was touched does not", async () => {
  const untouched = new LightResponse("x", { headers: { A: "b" } });
  assert.deepEqual(plainResponseOf(untouched), {
    status: 200,
    headers: ["a", "b", "content-type", "text/plain;charset=UTF-8"],
    body: "x",
  });
  const cloned = new Response("x");
  assert.equal(await cloned.clone().text(), "x");
  assert.equal(plainResponseOf(cloned), null);
  assert.equal(await nativeResponseOf(cloned).text(), "x");
});

test("headers set after the construction are part of the answer, each cookie on its own", () => {
  const response = new Response("x");
  response.headers.append("set-cookie", "a=1");
  response.headers.append("set-cookie", "b=2");
  response.headers.set("content-type", "text/html");
  assert.deepEqual(plainResponseOf(response)?.headers, [
    "content-type",
    "text/html",
    "set-cookie",
    "a=1",
    "set-cookie",
    "b=2",
  ]);
});

test("bytes that the caller changes after answering do not change the answer", () => {
  const bytes = new Uint8Array([1, 2, 3]);
  const response = new Response(bytes);
  bytes[0] = 9;
  assert.deepEqual([...((plainResponseOf(response)?.body ?? []) as Uint8Array)], [1, 2, 3]);
});

test("a body can be read once", async () => {
  const response = new Response("x");
  await response.text();
  await assert.rejects(response.text(), TypeError);
});
