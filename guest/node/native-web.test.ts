import assert from "node:assert/strict";
import { test } from "node:test";
import { BodySource } from "./body.ts";
import { installHeaders } from "./headers.ts";
import { loadedWeb, nativeWeb } from "./native-web.ts";
import { installRequest, LightRequest } from "./request.ts";
import { installResponse } from "./response.ts";

installHeaders();
installRequest();
installResponse();

test("what most handlers do does not load the web's own classes; what needs them does, once", async () => {
  const head = { method: "POST", url: "http://localhost/", headers: ["content-type", "application/json"] };
  const signal = new AbortController().signal;
  const make = (text: string): Request =>
    new LightRequest(head, new BodySource(Buffer.from(text), true, () => {}), () => signal) as unknown as Request;
  const request = make('{"a":1}');
  assert.ok(request instanceof Request);
  assert.equal(request.headers.get("content-type"), "application/json");
  assert.deepEqual(await request.json(), { a: 1 });
  let streamed = "";
  for await (const part of make("streamed").body ?? []) streamed += Buffer.from(part).toString();
  assert.equal(streamed, "streamed");

  const response = Response.json({ a: 1 }, { headers: new Headers({ a: "b" }) });
  response.headers.append("set-cookie", "c=d");
  assert.ok(response instanceof Response);
  assert.equal(await new Response("x").text(), "x");
  assert.ok(new Response(new ReadableStream()).ok);
  assert.equal(Response.redirect("http://localhost/a").headers.get("location"), "http://localhost/a");
  assert.equal(loadedWeb(), null);

  const copy = new Request(make("copied"));
  assert.equal(await copy.text(), "copied");
  assert.ok(copy instanceof Request);
  assert.equal(loadedWeb(), nativeWeb());
  assert.ok(response instanceof nativeWeb().Response);
  assert.ok(new Response("x") instanceof Response);
  assert.notEqual(globalThis.Response, nativeWeb().Response);
});
