import assert from "node:assert/strict";
import { test } from "node:test";
import { type Answer, type OpenApi, openApi, testInvoke } from "./runtime-api.fixture.ts";

const base = "/2020-01-01/extension";

function register(open: OpenApi, name: string, events: unknown, headers = {}): Promise<Answer> {
  return open.call("POST", `${base}/register`, {
    headers: { ...(name !== "" && { "lambda-extension-name": name }), ...headers },
    body: JSON.stringify({ events }),
  });
}

async function registered(open: OpenApi, name: string, events: unknown): Promise<Record<string, string>> {
  const answer = await register(open, name, events);
  assert.equal(answer.status, 200, answer.text);
  return { "lambda-extension-identifier": String(answer.headers["lambda-extension-identifier"]) };
}

function isRefused(answer: Answer, errorType: string, errorMessage: string | RegExp): void {
  assert.equal(answer.status, 403);
  const body = JSON.parse(answer.text) as { errorType: string; errorMessage: string };
  assert.equal(body.errorType, errorType);
  if (typeof errorMessage === "string") assert.equal(body.errorMessage, errorMessage);
  else assert.match(body.errorMessage, errorMessage);
}

test("an external extension registers under the name of its file and hears what function it serves", async (t) => {
  const open = await openApi(t);
  open.api.extensions.begin(["watch"]);
  const answer = await register(open, "watch", ["INVOKE", "SHUTDOWN"]);
  assert.equal(answer.status, 200);
  assert.match(String(answer.headers["lambda-extension-identifier"]), /^[0-9a-f]{8}-[0-9a-f-]{27}$/);
  assert.equal(answer.text, '{"functionName":"shop-f","functionVersion":"$LATEST","handler":"a.f"}\n');
  assert.deepEqual(open.told, ["watch Registered"]);
  isRefused(
    await register(open, "watch", []),
    "Extension.InvalidExtensionState",
    "State transition from Registered to Registered failed for extension watch. Error: State transition is not allowed",
  );
});

test("the account's number is told to whoever asks for it", async (t) => {
  const open = await openApi(t);
  const answer = await register(open, "inside", [], { "lambda-extension-accept-feature": "other, accountId" });
  assert.equal((JSON.parse(answer.text) as { accountId: string }).accountId, "000000000000");
});

test("what cannot be registered is refused, each with AWS's reason", async (t) => {
  const open = await openApi(t);
  open.api.extensions.begin(["watch"]);
  isRefused(await register(open, "", []), "Extension.InvalidExtensionName", "Empty extension name");
  isRefused(await register(open, "watch", ["SLEEP"]), "Extension.InvalidEventType", "SLEEP: ErrorInvalidEventType");
  isRefused(
    await register(open, "inside", ["SHUTDOWN"]),
    "Extension.InvalidEventType",
    "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension",
  );
  isRefused(
    await open.call("POST", `${base}/register`, { headers: { "lambda-extension-name": "a" }, body: "{" }),
    "InvalidRequestFormat",
    /JSON/,
  );
  isRefused(
    await open.call("POST", `${base}/register`, {
      headers: { "lambda-extension-name": "a" },
      body: '{"configurationKeys":["a"]}',
    }),
    "InvalidRequestFormat",
    "configurationKeys are deprecated; use environment variables instead",
  );
  await registered(open, "inside", ["INVOKE"]);
  isRefused(
    await register(open, "inside", []),
    "Extension.InvalidExtensionState",
    "Extension with this name already registered",
  );
  for (let number = 0; number < 8; number += 1) await registered(open, `inside-${number}`, []);
  isRefused(await register(open, "eleventh", []), "Extension.TooManyExtensions", "Extension limit (10) reached");
  open.api.extensions.closeRegistration();
  isRefused(await register(open, "late", []), "Extension.RegistrationClosed", "Extension registration closed already");
});

test("an identifier must be there, be one, and be known", async (t) => {
  const open = await openApi(t);
  const next = (headers: Record<string, string>): Promise<Answer> =>
    open.call("GET", `${base}/event/next`, { headers });
  isRefused(await next({}), "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header");
  isRefused(
    await next({ "lambda-extension-identifier": "no-uuid" }),
    "Extension.InvalidExtensionIdentifier",
    "Invalid Lambda-Extension-Identifier",
  );
  const id = "8f2f6d0e-8f5c-4c3a-9d7e-2b1a0c9d8e7f";
  isRefused(
    await next({ "lambda-extension-identifier": id }),
    "Extension.UnknownExtensionIdentifier",
    `Unknown extension ${id}`,
  );
});

test("an extension gets the events it asked for, and only those", async (t) => {
  const open = await openApi(t);
  open.api.extensions.begin(["both", "last"]);
  const both = await registered(open, "both", ["INVOKE", "SHUTDOWN"]);
  const last = await registered(open, "last", ["SHUTDOWN"]);
  const nextOfBoth = open.call("GET", `${base}/event/next`, { headers: both });
  const nextOfLast = open.call("GET", `${base}/event/next`, { headers: last });
  while (open.told.length < 4) await new Promise(setImmediate);

  const traceId = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
  open.api.extensions.giveInvoke(testInvoke({ traceId }));
  const invoked = await nextOfBoth;
  assert.equal(invoked.status, 200);
  assert.match(String(invoked.headers["lambda-extension-event-identifier"]), /^[0-9a-f-]{36}$/);
  assert.deepEqual(JSON.parse(invoked.text), {
    eventType: "INVOKE",
    deadlineMs: 1_800_000_000_000,
    requestId: "8f2f6d0e-8f5c-4c3a-9d7e-2b1a0c9d8e7f",
    invokedFunctionArn: "arn:aws:lambda:us-east-1:000000000000:function:shop-f",
    tracing: { type: "X-Amzn-Trace-Id", value: traceId },
  });

  // One is still at work: the event waits for it.
  open.api.extensions.giveShutdown("timeout", 1_800_000_002_000);
  const expected = { eventType: "SHUTDOWN", deadlineMs: 1_800_000_002_000, shutdownReason: "timeout" };
  assert.deepEqual(JSON.parse((await nextOfLast).text), expected);
  assert.deepEqual(JSON.parse((await open.call("GET", `${base}/event/next`, { headers: both })).text), expected);
});

test("an extension reports that it cannot start or go on, and must say why", async (t) => {
  const open = await openApi(t);
  open.api.extensions.begin(["starts", "runs"]);
  const starts = await registered(open, "starts", []);
  const runs = await registered(open, "runs", []);
  isRefused(
    await open.call("POST", `${base}/init/error`, { headers: starts }),
    "Extension.MissingHeader",
    "Lambda-Extension-Function-Error-Type not found",
  );
  const headers = { "lambda-extension-function-error-type": "Extension.NoConfig" };
  const answer = await open.call("POST", `${base}/init/error`, { headers: { ...starts, ...headers } });
  assert.equal(answer.status, 202);
  assert.equal(answer.text, '{"status":"OK"}\n');
  // The first one counts, a second one does no harm.
  assert.equal((await open.call("POST", `${base}/init/error`, { headers: { ...starts, ...headers } })).status, 202);
  isRefused(
    await open.call("POST", `${base}/exit/error`, { headers: { ...starts, ...headers } }),
    "Extension.InvalidExtensionState",
    /^State transition from InitError to Exited failed for extension [0-9a-f-]{36}\. Error: /,
  );
  assert.equal((await open.call("POST", `${base}/exit/error`, { headers: { ...runs, ...headers } })).status, 202);
  assert.deepEqual(open.told.slice(2), [
    "starts Extension.InitError Extension.NoConfig",
    "runs Extension.ExitError Extension.NoConfig",
  ]);
});
