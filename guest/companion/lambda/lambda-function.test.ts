import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { testContext } from "../../node/test-context.ts";
import { client, make, type Made } from "./environment.fixture.ts";
import { functionOf } from "./lambda-function.ts";

/** Answers with what the event's `send` says: chunks, after a head of its own when `type` is set. */
const streaming = `${client}
const stream = (id, type, send, endless) => new Promise((resolve) => {
  const sent = request(api + runtime + "/invocation/" + id + "/response", { method: "POST", agent, headers: {
    "Lambda-Runtime-Function-Response-Mode": "streaming", "Transfer-Encoding": "chunked", "Content-Type": type } },
    (response) => { note("status " + response.statusCode); response.resume(); response.on("end", resolve); });
  sent.on("error", (error) => { note("broken " + error.code); resolve(); });
  for (const chunk of send) sent.write(chunk);
  if (!endless) sent.end();
  else { let left = 40; const timer = setInterval(() => { sent.write(Buffer.alloc(65536)); left -= 1; if (left === 0) { clearInterval(timer); sent.end(); } }, 1); }
});
(async () => {
  for (;;) {
    const { headers, text } = await ask("GET", runtime + "/invocation/next");
    const id = headers["lambda-runtime-aws-request-id"];
    note("got " + id);
    let event = JSON.parse(text);
    if (event.version === "2.0") event = JSON.parse(event.body);
    if (event.waitMs) await new Promise((resolve) => setTimeout(resolve, event.waitMs));
    note("at " + id);
    if (event.send) await stream(id, event.type ?? "application/octet-stream", event.send, event.endless);
    else await ask("POST", runtime + "/invocation/" + id + "/response", event.raw ?? JSON.stringify(event));
  }
})();
`;
const parted = "application/vnd.awslambda.http-integration-response";
const gap = "\0".repeat(8);

async function start(t: TestContext): Promise<Made & { fetch(event: object, given?: object): Promise<Response> }> {
  const made = make(t, { bootstrap: streaming });
  await made.environment.open();
  const fn = functionOf(made.environment, "shop-f");
  return {
    ...made,
    fetch: async (event, given = {}) => {
      const headers = { "content-type": "application/json" };
      const request = new Request("http://shop.localhost/", { method: "POST", headers, body: JSON.stringify(event) });
      return (await fn.fetch(request, testContext(given))) as Response;
    },
  };
}

test("a result is the answer of a Function URL", async (t) => {
  const { fetch } = await start(t);
  const answer = await fetch({ statusCode: 201, headers: { "x-a": "1" }, cookies: ["c=1"], body: "hi" });
  assert.deepEqual([answer.status, answer.headers.get("x-a"), await answer.text()], [201, "1", "hi"]);
  assert.deepEqual(answer.headers.getSetCookie(), ["c=1"]);
  assert.deepEqual(await (await fetch({ any: "value" })).json(), { any: "value" });
  await assert.rejects(fetch({ raw: "no JSON" }), { name: "BadResponse", message: /not JSON/ });
  await assert.rejects(fetch({ statusCode: 1 }), { name: "BadResponse" });
});

test("a stream without a head is a 200 of its type, one with a head says its own", async (t) => {
  const { fetch } = await start(t);
  const plain = await fetch({ type: "text/csv", send: ["a,", "b"] });
  assert.deepEqual([plain.status, plain.headers.get("content-type"), await plain.text()], [200, "text/csv", "a,b"]);
  const head = '{"statusCode":404,"headers":{"content-type":"text/plain"},"cookies":["c=1"]}';
  // However it is cut.
  for (const send of [
    [head + gap + "body"],
    [head.slice(0, 9), head.slice(9) + gap.slice(3), gap.slice(5) + "bo", "dy"],
  ]) {
    const answer = await fetch({ type: parted, send });
    assert.deepEqual([answer.status, await answer.text()], [404, "body"]);
    assert.deepEqual(answer.headers.getSetCookie(), ["c=1"]);
  }
  assert.equal((await fetch({ type: parted, send: ['{"statusCode":204}' + gap + "left out"] })).status, 204);
});

test("a head that is none is a bad answer, and the runtime goes on", async (t) => {
  const { fetch, notes } = await start(t);
  for (const send of [["no gap"], ["no JSON" + gap], ['{"statusCode":99}' + gap], ["x".repeat(200_000)]]) {
    await assert.rejects(fetch({ type: parted, send }), { name: "BadResponse" });
  }
  assert.deepEqual(await (await fetch({ fine: true })).json(), { fine: true });
  assert.deepEqual(
    notes().filter((note) => note.startsWith("status")),
    ["status 202", "status 202", "status 202", "status 202"],
  );
});

test("a caller who stops reading does not break the runtime's answer", async (t) => {
  const { fetch, notes } = await start(t);
  const answer = await fetch({ send: ["first"], endless: true });
  const reader = answer.body!.getReader();
  assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), "first");
  await reader.cancel();
  assert.deepEqual(await (await fetch({ next: true })).json(), { next: true });
  assert.deepEqual(
    notes().filter((note) => /^(?:status|broken)/.test(note)),
    ["status 202"],
  );
});

test("a caller who goes away is let go at once; what it asked for runs on, and the next one waits for that", async (t) => {
  const { fetch, notes } = await start(t);
  const caller = new AbortController();
  const left = fetch({ waitMs: 200, send: ["for nobody"] }, { invocationId: "left", signal: caller.signal });
  while (!notes().includes("got left")) await new Promise(setImmediate);
  const gone = new AbortController();
  const never = fetch({ never: true }, { invocationId: "never", signal: gone.signal });
  const next = fetch({ next: true }, { invocationId: "next" });
  const reason = new DOMException("the caller is gone", "AbortError");
  caller.abort(reason);
  gone.abort(reason);
  await assert.rejects(left, reason);
  await assert.rejects(never, reason);
  assert.deepEqual(await (await next).json(), { next: true });
  assert.deepEqual(
    notes().filter((note) => note.startsWith("at")),
    ["at left", "at next"],
  );
});

test("whose caller has gone is ended when its time is over", async (t) => {
  const { fetch, notes } = await start(t);
  const caller = new AbortController();
  const given = { invocationId: "left", signal: caller.signal, deadline: Date.now() + 100 };
  const left = fetch({ waitMs: 60_000 }, given);
  while (!notes().includes("got left")) await new Promise(setImmediate);
  caller.abort(new DOMException("the caller is gone", "AbortError"));
  await assert.rejects(left, { name: "AbortError" });
  assert.deepEqual(await (await fetch({ next: true })).json(), { next: true });
  assert.ok(!notes().includes("at left"));
});
