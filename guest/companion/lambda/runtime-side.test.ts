import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import type { CurrentInvoke } from "./current-invoke.ts";
import { responseBytesMax } from "./runtime-side.ts";
import { type Answer, type OpenApi, openApi, testInvoke } from "./runtime-api.fixture.ts";

const invocation = "/2018-06-01/runtime/invocation";
const { requestId } = testInvoke();
const streaming = { "lambda-runtime-function-response-mode": "streaming" };

/** A runtime that has been handed one event. */
async function running(open: OpenApi, given = {}): Promise<{ current: CurrentInvoke; handed: Answer }> {
  const next = open.call("GET", `${invocation}/next`);
  while (!open.told.includes("ready")) await new Promise(setImmediate);
  const current = open.api.runtime.give(testInvoke(given));
  return { current, handed: await next };
}

function refusal(errorType: string, errorMessage: string): string {
  return `${JSON.stringify({ errorMessage, errorType })}\n`;
}

test("an event is handed over with AWS's headers, and those that say nothing are absent", async (t) => {
  const open = await openApi(t);
  const { handed } = await running(open);
  assert.equal(handed.status, 200);
  assert.equal(handed.text, '{"a":1}');
  assert.equal(handed.headers["content-type"], "application/json");
  const own = Object.entries(handed.headers).filter(([name]) => name.startsWith("lambda-"));
  assert.deepEqual(Object.fromEntries(own), {
    "lambda-runtime-aws-request-id": requestId,
    "lambda-runtime-deadline-ms": "1800000000000",
    "lambda-runtime-invoked-function-arn": "arn:aws:lambda:us-east-1:000000000000:function:shop-f",
  });
});

test("trace, client context and identity travel when there are any", async (t) => {
  const open = await openApi(t);
  const traceId = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
  const { handed } = await running(open, {
    traceId,
    clientContext: '{"custom":{}}',
    cognitoIdentity: '{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}',
    contentType: "application/cloudevents+json",
  });
  assert.equal(handed.headers["lambda-runtime-trace-id"], traceId);
  assert.equal(handed.headers["lambda-runtime-client-context"], '{"custom":{}}');
  assert.match(String(handed.headers["lambda-runtime-cognito-identity"]), /cognitoIdentityPoolId/);
  assert.equal(handed.headers["content-type"], "application/cloudevents+json");
});

test("an answer is accepted once; after it only next is allowed, and then its id is unknown", async (t) => {
  const open = await openApi(t);
  const { current } = await running(open);
  const first = await open.call("POST", `${invocation}/${requestId}/response`, { body: '{"ok":true}' });
  assert.equal(first.status, 202);
  assert.equal(first.headers["content-type"], "application/json");
  assert.equal(first.text, '{"status":"OK"}\n');
  const result = await current.result;
  assert.equal(result.kind === "response" && result.body.toString(), '{"ok":true}');
  assert.deepEqual(open.told, ["ready", "answered"]);

  for (const [path, state] of [
    ["response", "InvocationResponse"],
    ["error", "InvocationErrorResponse"],
  ]) {
    const again = await open.call("POST", `${invocation}/${requestId}/${path}`, { body: "{}" });
    assert.equal(again.status, 403);
    assert.equal(
      again.text,
      refusal(
        "InvalidStateTransition",
        `State transition from RuntimeResponseSentState to ${state} failed for runtime. Error: State transition is not allowed`,
      ),
    );
  }
  const next = open.call("GET", `${invocation}/next`);
  while (open.told.length < 3) await new Promise(setImmediate);
  assert.equal(open.api.runtime.state, "Ready", "the event that was answered is not handed out again");
  open.api.runtime.close();
  await assert.rejects(next);
  open.api.runtime.release();
  const late = await open.call("POST", `${invocation}/${requestId}/response`, { body: "{}" });
  assert.equal(late.status, 400);
  assert.equal(late.text, refusal("InvalidRequestID", "Invalid request ID"));
});

test("an answer for an id that nobody handed out is refused before its state is looked at", async (t) => {
  const open = await openApi(t);
  const early = await open.call("POST", `${invocation}/${requestId}/response`, { body: "{}" });
  assert.equal(early.status, 400);
  await running(open);
  for (const id of ["unknown", "%E0%A4%A"]) {
    const answer = await open.call("POST", `${invocation}/${id}/response`, { body: "{}" });
    assert.equal(answer.status, 400);
    assert.equal(answer.text, refusal("InvalidRequestID", "Invalid request ID"));
  }
});

test("an answer has at most 6 MiB and 100 bytes", async (t) => {
  const open = await openApi(t);
  const { current } = await running(open);
  const body = Buffer.alloc(responseBytesMax, 0x20);
  assert.equal((await open.call("POST", `${invocation}/${requestId}/response`, { body })).status, 202);
  const result = await current.result;
  assert.equal(result.kind === "response" && result.body.length, responseBytesMax);
});

test("one of 7 MB is refused, and its caller reads why", async (t) => {
  const open = await openApi(t);
  const { current } = await running(open);
  const answer = await open.call("POST", `${invocation}/${requestId}/response`, {
    body: Buffer.alloc(7_000_000, 0x20),
  });
  assert.equal(answer.status, 413);
  assert.equal(answer.text, refusal("RequestEntityTooLarge", "Exceeded maximum allowed payload size (6291556 bytes)."));
  const result = await current.result;
  assert.deepEqual(result.kind === "error" && JSON.parse(result.payload.toString()), {
    errorType: "Function.ResponseSizeTooLarge",
    errorMessage: "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
  });
  // The runtime goes on.
  assert.equal(open.api.runtime.state, "RuntimeResponseSentState");
});

test("a function's error reaches its caller as it was sent", async (t) => {
  const open = await openApi(t);
  const { current } = await running(open);
  const body = '{"errorMessage":"out of range","errorType":"RangeError","stackTrace":["at f (a.js:1:1)"]}';
  const headers = { "lambda-runtime-function-error-type": "Function.OutOfRange" };
  const answer = await open.call("POST", `${invocation}/${requestId}/error`, { body, headers });
  assert.equal(answer.status, 202);
  assert.equal(answer.text, '{"status":"OK"}\n');
  const result = await current.result;
  assert.equal(result.kind, "error");
  if (result.kind !== "error") return;
  assert.equal(result.payload.toString(), body);
  assert.deepEqual(result.error, {
    errorType: "RangeError",
    errorMessage: "out of range",
    stackTrace: ["at f (a.js:1:1)"],
  });
});

test("an error that is no JSON, or says nothing, is made of its header", async (t) => {
  const cases: readonly [body: string, type: string, expected: [string, string]][] = [
    ["it broke", "Runtime.BadThing", ["Runtime.BadThing", "it broke"]],
    ["", "", ["Runtime.Unknown", ""]],
    ['"text"', "Function.bad", ["Function.Unknown", "text"]],
    ["[1]", "MyError", ["Runtime.Unknown", "[1]"]],
    ['{"errorMessage":"m","stackTrace":[{"line":1}]}', "Function.My", ["Function.My", "m"]],
    ['{"errorType":"E","errorMessage":"m","trace":["E: m","at x"]}', "Function.My", ["E", "m"]],
  ];
  for (const [body, type, [errorType, errorMessage]] of cases) {
    const open = await openApi(t);
    const { current } = await running(open);
    const headers = type === "" ? {} : { "lambda-runtime-function-error-type": type };
    assert.equal((await open.call("POST", `${invocation}/${requestId}/error`, { body, headers })).status, 202);
    const result = await current.result;
    assert.deepEqual(
      result.kind === "error" && [result.error.errorType, result.error.errorMessage],
      [errorType, errorMessage],
      body,
    );
  }
});

test("an error with its cause loses the cause on the way to the caller", async (t) => {
  const open = await openApi(t);
  const { current } = await running(open);
  const headers = { "content-type": "application/vnd.aws.lambda.error.cause+json" };
  const body = JSON.stringify({ errorMessage: "m", errorType: "T", stackTrace: ["s"], errorCause: { message: "x" } });
  await open.call("POST", `${invocation}/${requestId}/error`, { body, headers });
  const result = await current.result;
  assert.equal(
    result.kind === "error" && result.payload.toString(),
    '{"errorMessage":"m","errorType":"T","stackTrace":["s"]}',
  );
});

test("a streamed answer arrives while it is sent, without a limit", async (t) => {
  const open = await openApi(t);
  const { current } = await running(open);
  const big = Buffer.alloc(7_000_000, 1);
  const answer = open.call("POST", `${invocation}/${requestId}/response`, {
    headers: { ...streaming, trailer: "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body" },
    chunks: ["first ", big],
  });
  const result = await current.result;
  assert.equal(result.kind, "stream");
  if (result.kind !== "stream") return;
  assert.equal(result.contentType, "application/octet-stream");
  let bytes = 0;
  for await (const chunk of result.body) bytes += chunk.length;
  assert.equal(bytes, 6 + big.length);
  assert.equal((await answer).status, 202);
  assert.equal(current.producedBytes, bytes);
});

test("trailers behind a streamed answer say that it failed", async (t) => {
  const open = await openApi(t);
  const { current } = await running(open);
  const error = { errorType: "Error", errorMessage: "in the middle", stackTrace: ["at x"] };
  const answer = open.call("POST", `${invocation}/${requestId}/response`, {
    headers: { ...streaming, trailer: "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body" },
    chunks: ["first"],
    trailers: {
      "Lambda-Runtime-Function-Error-Type": "Function.Broken",
      "Lambda-Runtime-Function-Error-Body": Buffer.from(JSON.stringify(error)).toString("base64"),
    },
  });
  const result = await current.result;
  assert.ok(result.kind === "stream");
  const seen: string[] = [];
  await assert.rejects(
    async () => {
      for await (const chunk of result.body) seen.push(chunk.toString());
    },
    { name: "Error", message: "in the middle" },
  );
  assert.deepEqual(seen, ["first"]);
  assert.equal((await answer).status, 202);
  assert.equal(current.errorType, "Error");
});

test("a streamed answer whose sender goes away breaks off", async (t) => {
  const open = await openApi(t);
  const { current } = await running(open);
  const socket = connect(portOf(open), "127.0.0.1");
  socket.write(
    `POST ${invocation}/${requestId}/response HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n` +
      "Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n5\r\nfirst\r\n",
  );
  const result = await current.result;
  assert.ok(result.kind === "stream");
  await assert.rejects(
    async () => {
      for await (const chunk of result.body) {
        assert.equal(chunk.toString(), "first");
        socket.destroy();
      }
    },
    { name: "Runtime.TruncatedResponse" },
  );
});

function portOf(open: OpenApi): number {
  return Number(new URL(`http://${open.address}`).port);
}

test("a response mode that does not exist fails the invocation", async (t) => {
  const open = await openApi(t);
  const { current } = await running(open);
  const headers = { "lambda-runtime-function-response-mode": "buffered" };
  const answer = await open.call("POST", `${invocation}/${requestId}/response`, { body: "{}", headers });
  assert.equal(answer.status, 400);
  assert.equal(answer.text, refusal("InvalidFunctionResponseMode", "Invalid function response mode"));
  const result = await current.result;
  assert.equal(result.kind === "error" && result.error.errorType, "Runtime.InvalidResponseModeHeader");
});

test("an error of the start is accepted once, before the first next", async (t) => {
  const open = await openApi(t);
  const body = '{"errorMessage":"no module","errorType":"Runtime.ImportModuleError","stackTrace":[]}';
  assert.equal((await open.call("POST", "/2018-06-01/runtime/init/error", { body })).status, 202);
  assert.deepEqual(open.told, ["init Runtime.ImportModuleError: no module"]);
  const again = await open.call("POST", "/2018-06-01/runtime/init/error", { body });
  assert.equal(again.status, 403);
  assert.match(again.text, /State transition from InitError to InitError failed for runtime/);
  assert.equal((await open.call("GET", `${invocation}/next`)).status, 403);
});

test("an invocation that is failed from outside answers its caller, and the runtime comes too late", async (t) => {
  const open = await openApi(t);
  const { current } = await running(open);
  current.fail("Runtime.ExitError", "RequestId: x Error: Runtime exited with error: exit status 1");
  const result = await current.result;
  assert.equal(result.kind === "error" && result.error.errorType, "Runtime.ExitError");
  open.api.runtime.begin();
  assert.equal((await open.call("POST", `${invocation}/${requestId}/response`, { body: "{}" })).status, 400);
});

test("a runtime that prepares for a snapshot goes on at once", async (t) => {
  const open = await openApi(t);
  assert.equal((await open.call("GET", "/2018-06-01/runtime/restore/next")).status, 200);
  assert.equal(open.api.runtime.state, "Restoring");
  const { handed } = await running(open);
  assert.equal(handed.status, 200);
});

test("a hook that fails after a restore fails the start", async (t) => {
  const open = await openApi(t);
  await open.call("GET", "/2018-06-01/runtime/restore/next");
  const body = '{"errorMessage":"hook","errorType":"Runtime.RestoreHook"}';
  assert.equal((await open.call("POST", "/2018-06-01/runtime/restore/error", { body })).status, 202);
  assert.deepEqual(open.told, ["init Runtime.RestoreHook: hook"]);
  assert.equal((await open.call("POST", "/2018-06-01/runtime/restore/error", { body })).status, 403);
});

test("what the API does not have is not found, and the wrong method not allowed", async (t) => {
  const open = await openApi(t);
  assert.equal((await open.call("GET", "/2018-06-01/ping")).text, "pong");
  const missing = await open.call("GET", "/2018-06-01/runtime");
  assert.deepEqual([missing.status, missing.text], [404, "404 page not found\n"]);
  const wrong = await open.call("POST", `${invocation}/next`);
  assert.deepEqual([wrong.status, wrong.text], [405, ""]);
});

test("a runtime whose connection is lost while it waits asks again and gets the event", async (t) => {
  const open = await openApi(t);
  const lost = connect(portOf(open), "127.0.0.1");
  lost.write(`GET ${invocation}/next HTTP/1.1\r\nHost: a\r\n\r\n`);
  while (open.told.length < 1) await new Promise(setImmediate);
  lost.destroy();
  const next = open.call("GET", `${invocation}/next`);
  while (open.told.length < 2) await new Promise(setImmediate);
  open.api.runtime.give(testInvoke());
  assert.equal((await next).text, '{"a":1}');
  // And once more while it works on it.
  assert.equal((await open.call("GET", `${invocation}/next`)).text, '{"a":1}');
});
