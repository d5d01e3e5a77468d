import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Hono } from "hono";
import { handle, streamHandle } from "hono/aws-lambda";
import type { LambdaHandler } from "./lambda-call.ts";
import { lambdaErrorPayload } from "./lambda-call.ts";
import type { LambdaContext } from "./lambda-context.ts";
import { installAwsLambda, lambdaEnvironment, loadLambda } from "./lambda.ts";
import { testContext } from "./test-context.ts";

installAwsLambda();
declare const awslambda: {
  streamifyResponse(handler: (event: unknown, stream: LambdaStream, context: LambdaContext) => unknown): unknown;
  HttpResponseStream: { from(stream: LambdaStream, metadata: unknown): LambdaStream };
};
type LambdaStream = NodeJS.WritableStream & { setContentType(type: string): void };

function call(
  handler: (...parameters: never[]) => unknown,
  event: unknown = {},
  context = testContext(),
): Promise<unknown> {
  return Promise.resolve(loadLambda("handler", handler).call(event, context));
}

async function fetchFrom(
  handler: unknown,
  input: string,
  init?: RequestInit,
  context = testContext(),
): Promise<Response> {
  const response = await loadLambda("handler", handler).fetch(new Request(input, init), context);
  assert.ok(response instanceof Response);
  return response;
}

test("a handler answers by promise, by callback, by the context, or by what it returns", async () => {
  const handlers: readonly LambdaHandler[] = [
    async (event) => ({ event }),
    (event, _context, callback) => callback(null, { event }),
    (event, _context, callback) => void setImmediate(() => callback(null, { event })),
    (event, context) => context.succeed({ event }),
    (event, context) => context.done(null, { event }),
    (event) => ({ event }),
  ];
  for (const handler of handlers) assert.deepEqual(await call(handler, { a: 1 }), { event: { a: 1 } });
});

test("a handler fails by promise, by throwing, by callback, or by the context", async () => {
  const error = new RangeError("out of range");
  const handlers: readonly LambdaHandler[] = [
    async () => await Promise.reject(error),
    () => {
      throw error;
    },
    (_event, _context, callback) => {
      callback(null);
      throw error;
    },
    (_event, _context, callback) => callback(error),
    (_event, context) => context.fail(error),
    (_event, context) => context.done(error),
  ];
  for (const [index, handler] of handlers.entries()) {
    if (index === 2) assert.equal(await call(handler), undefined);
    else await assert.rejects(call(handler), error);
  }
});

test("what is thrown need not be an error", async () => {
  await assert.rejects(
    call(async () => await Promise.reject("just text")),
    { name: "string", message: "just text" },
  );
  await assert.rejects(
    call((_event: unknown, _context: unknown, callback: (e: unknown) => void) => callback({ a: 1 })),
    {
      name: "object",
      message: "{ a: 1 }",
    },
  );
  await assert.rejects(
    call(async () => await Promise.reject(undefined)),
    /rejected with nothing/,
  );
});

test("errors have AWS's form", () => {
  const payload = lambdaErrorPayload(new TypeError("wrong"));
  assert.equal(payload.errorType, "TypeError");
  assert.equal(payload.errorMessage, "wrong");
  assert.match(payload.stackTrace[0]!, /^at .*lambda\.test\.ts/);
  assert.deepEqual(lambdaErrorPayload("text"), { errorType: "string", errorMessage: "text", stackTrace: [] });
});

test("a handler that returns nothing and takes no callback answers null once its work has ended", async () => {
  // As the frame socket does, it keeps the event loop from ever being empty.
  const open = setInterval(() => {}, 60_000);
  let isDone = false;
  const handler = (_event: unknown): void => {
    setTimeout(() => (isDone = true), 20);
  };
  assert.equal(await call(handler), null);
  assert.equal(isDone, true);
  clearInterval(open);
});

test("an answer by callback leaves at once, and the invocation lasts while timers of the handler run", async () => {
  const open = setInterval(() => {}, 60_000);
  const waited: Promise<unknown>[] = [];
  const context = testContext({ waitUntil: (promise) => waited.push(promise) });
  let isDone = false;
  const handler: LambdaHandler = (_event, _context, callback) => {
    setTimeout(() => (isDone = true), 30);
    callback(null, "answered");
  };
  assert.equal(await call(handler, {}, context), "answered");
  assert.equal(isDone, false);
  await Promise.all(waited);
  assert.equal(isDone, true);
  clearInterval(open);
});

test("with callbackWaitsForEmptyEventLoop off, and for promises, nothing is waited for", async () => {
  const context = testContext({ waitUntil: () => assert.fail("the invocation was kept open") });
  const handlers: readonly LambdaHandler[] = [
    (_event, lambda, callback) => {
      lambda.callbackWaitsForEmptyEventLoop = false;
      setTimeout(() => {}, 1000).unref();
      callback(null, 1);
    },
    async () => {
      setTimeout(() => {}, 1000).unref();
      return await Promise.resolve(1);
    },
  ];
  for (const handler of handlers) assert.equal(await call(handler, {}, context), 1);
});

afterEach(() => {
  for (const name of Object.keys(process.env)) if (/^(?:AWS_|_X_AMZN|LAMBDA_)/.test(name)) delete process.env[name];
});

test("a handler's context and environment say what AWS's say", async () => {
  const environment = lambdaEnvironment({
    app: "shop",
    functionName: "handler",
    deployment: "0123456789012345678901234567890123456789",
    handler: "src/index.handler",
    executionEnvironment: "AWS_Lambda_nodejs26.x",
    root: "/var/task",
    memoryMiB: 512,
  });
  assert.equal(environment["_HANDLER"], "src/index.handler");
  assert.equal(environment["LAMBDA_TASK_ROOT"], "/var/task");
  assert.match(environment["AWS_LAMBDA_LOG_STREAM_NAME"]!, /^\d{4}\/\d\d\/\d\d\/\[\$LATEST\][0-9]{32}$/);
  const { TZ: _timeZone, ...rest } = environment;
  Object.assign(process.env, rest);
  const traceparent = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
  const context = testContext({ traceparent, deadline: Date.now() + 5000 });
  const seen = (await call(
    async (_event: unknown, { getRemainingTimeInMillis, done, fail, succeed, ...fields }: LambdaContext) => {
      assert.ok(done !== undefined && fail !== undefined && succeed !== undefined);
      const remaining = getRemainingTimeInMillis();
      assert.ok(Number.isInteger(remaining) && remaining > 0 && remaining <= 5000);
      return { ...fields, trace: process.env["_X_AMZN_TRACE_ID"] };
    },
    {},
    context,
  )) as Record<string, unknown>;
  assert.deepEqual(seen, {
    callbackWaitsForEmptyEventLoop: true,
    functionName: "shop-handler",
    functionVersion: "$LATEST",
    invokedFunctionArn: "arn:aws:lambda:us-east-1:000000000000:function:shop-handler",
    memoryLimitInMB: "512",
    awsRequestId: context.invocationId,
    logGroupName: "/aws/lambda/shop-handler",
    logStreamName: environment["AWS_LAMBDA_LOG_STREAM_NAME"],
    identity: undefined,
    clientContext: undefined,
    trace: "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
  });
});

function honoApp(): Hono {
  const app = new Hono();
  app.post("/echo/:id", async (c) => {
    c.header("set-cookie", "seen=1");
    return c.json(
      { id: c.req.param("id"), q: c.req.query("q"), body: await c.req.text(), cookie: c.req.header("cookie") },
      201,
    );
  });
  app.get("/bytes", () => new Response(new Uint8Array([0, 255]), { headers: { "content-type": "image/png" } }));
  app.get("/slow", (c) => c.body(ReadableStream.from([Buffer.from("one "), Buffer.from("two")]) as ReadableStream));
  return app;
}

test("an app on Hono's Lambda adapter works, bodies, cookies and bytes included", async () => {
  for (const handler of [handle(honoApp()), streamHandle(honoApp())]) {
    const echoed = await fetchFrom(handler, "http://a.test/echo/7?q=x%20y", {
      method: "POST",
      body: "a=1",
      headers: { "content-type": "application/x-www-form-urlencoded", cookie: "one=1; two=2" },
    });
    assert.equal(echoed.status, 201);
    assert.deepEqual(echoed.headers.getSetCookie(), ["seen=1"]);
    assert.deepEqual(await echoed.json(), { id: "7", q: "x y", body: "a=1", cookie: "one=1; two=2" });
    const bytes = await fetchFrom(handler, "http://a.test/bytes");
    assert.equal(bytes.headers.get("content-type"), "image/png");
    assert.deepEqual(new Uint8Array(await bytes.arrayBuffer()), new Uint8Array([0, 255]));
    assert.equal(await (await fetchFrom(handler, "http://a.test/slow")).text(), "one two");
  }
});

test("a streaming handler's head and chunks leave while it runs", async () => {
  const { promise: more, resolve: sendMore } = Promise.withResolvers<void>();
  const handler = awslambda.streamifyResponse(async (_event, responseStream) => {
    const metadata = { statusCode: 202, headers: { "x-a": "1", "content-type": "text/plain" }, cookies: ["c=1"] };
    const stream = awslambda.HttpResponseStream.from(responseStream, metadata);
    stream.write("first");
    await more;
    stream.end("second");
  });
  const response = await fetchFrom(handler, "http://a.test/");
  assert.equal(response.status, 202);
  assert.equal(response.headers.get("x-a"), "1");
  assert.deepEqual(response.headers.getSetCookie(), ["c=1"]);
  const reader = response.body!.getReader();
  assert.equal(Buffer.from((await reader.read()).value).toString(), "first");
  sendMore();
  assert.equal(Buffer.from((await reader.read()).value).toString(), "second");
  assert.equal((await reader.read()).done, true);
});

test("a streaming handler may set only a type, write nothing, or forget to end", async () => {
  const typed = awslambda.streamifyResponse(async (_event, stream) => {
    stream.setContentType("text/csv");
    stream.write("a,b");
  });
  const response = await fetchFrom(typed, "http://a.test/");
  assert.equal(response.headers.get("content-type"), "text/csv");
  assert.equal(await response.text(), "a,b");
  const silent = await fetchFrom(
    awslambda.streamifyResponse(async () => {}),
    "http://a.test/",
  );
  assert.equal(silent.status, 200);
  assert.equal(silent.headers.get("content-type"), "application/octet-stream");
  assert.equal(await silent.text(), "");
});

test("a streaming handler that fails before its head fails the request, after it cuts the answer", async () => {
  const early = awslambda.streamifyResponse(async () => await Promise.reject(new Error("too early")));
  await assert.rejects(fetchFrom(early, "http://a.test/"), /too early/);
  const late = awslambda.streamifyResponse(async (_event, stream) => {
    stream.write("first");
    await new Promise(setImmediate);
    throw new Error("in the middle");
  });
  const response = await fetchFrom(late, "http://a.test/");
  await assert.rejects(async () => await response.text(), /in the middle/);
  const wrong = awslambda.streamifyResponse(async (_event, stream) => {
    awslambda.HttpResponseStream.from(stream, { statusCode: 1 }).end("x");
  });
  await assert.rejects(fetchFrom(wrong, "http://a.test/"), { name: "BadResponse" });
});

test("a streaming handler waits for a slow reader", async () => {
  let written = 0;
  const handler = awslambda.streamifyResponse(async (_event, stream) => {
    for (; written < 64; written += 1) {
      if (!stream.write(Buffer.alloc(65_536))) await new Promise((resolve) => stream.once("drain", resolve));
    }
    stream.end();
  });
  const response = await fetchFrom(handler, "http://a.test/");
  for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
  assert.ok(written < 10, `${written} of 64 chunks were written for a reader that reads nothing`);
  assert.equal((await response.arrayBuffer()).byteLength, 64 * 65_536);
});

test("a streaming handler is called with a value, its output is the result", async () => {
  const handler = awslambda.streamifyResponse(async (event, stream) => {
    stream.write('{"got":');
    stream.end(`${JSON.stringify(event)}}`);
  }) as LambdaHandler;
  assert.deepEqual(await call(handler, { a: 1 }), { got: { a: 1 } });
});
