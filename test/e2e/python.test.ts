/** `runtime: python`: Lambda handlers, WSGI and ASGI apps, and the words in which they fail. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import { pythonMissing } from "../kit/python.ts";
import { startTestServer } from "../kit/server.ts";
import { until } from "../kit/until.ts";

const missing = pythonMissing();
if (missing !== null) console.log(`skipped: ${missing}`);
const server = await startTestServer({ after }, { mode: "serve" });

async function problemOf(response: Response): Promise<{ code: string; detail: string; stack: string }> {
  return (await response.json()) as { code: string; detail: string; stack: string };
}

const lambdaCode = `
import base64, json, logging, os, sys, threading
import six_of_ours

def handler(event, context):
    path = event["rawPath"]
    if path == "/event":
        return {"statusCode": 201, "headers": {"X-A": "b"}, "cookies": ["a=1", "b=2"], "body": json.dumps(event)}
    if path == "/context":
        return {
            "id": context.aws_request_id, "name": context.function_name, "memory": context.memory_limit_in_mb,
            "left": context.get_remaining_time_in_millis(), "arn": context.invoked_function_arn, "env": os.environ["AWS_EXECUTION_ENV"],
            "region": os.environ["AWS_REGION"], "key": os.environ.get("KEY"), "vendored": six_of_ours.six(),
        }
    if path == "/bytes":
        return {"statusCode": 200, "headers": {"content-type": "image/x"}, "isBase64Encoded": True, "body": base64.b64encode(b"\\x00\\xff").decode()}
    if path == "/log":
        print("printed")
        sys.stderr.write("written\\n")
        logging.getLogger("shop").warning("warned %d", 7)
        thread = threading.Thread(target=print, args=("of a thread",))
        thread.start()
        thread.join()
        return "logged"
    if path == "/throw":
        return fail_deep()
    if path == "/not-json":
        return {"a": object()}
    if path == "/bad-status":
        return {"statusCode": 99}
    if path == "/exit":
        sys.exit(3)
    if path == "/kill":
        os.kill(os.getpid(), 9)
    return "text"

def fail_deep():
    raise KeyError("nothing here")

def add(event, context):
    return {"sum": event["a"] + event["b"]}

def stream(event, context):
    yield {"statusCode": 202, "headers": {"content-type": "text/plain"}}
    for part in range(3):
        yield f"part {part}\\n"
    yield b"x" * 400_000

async def waits(event, context):
    return "awaited"
`;

const asgiCode = `
import asyncio

state = {"started": 0, "disconnects": 0, "most": 0, "now": 0}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                state["started"] += 1
                scope["state"]["greeting"] = "hi"
                await send({"type": "lifespan.startup.complete"})
            else:
                print("shut down in order")
                await send({"type": "lifespan.shutdown.complete"})
                return
    path = scope["path"]
    if path == "/together":
        state["now"] += 1
        state["most"] = max(state["most"], state["now"])
        while state["most"] < 8:
            await asyncio.sleep(0.001)
        state["now"] -= 1
    if path == "/wait":
        print("waiting")
        while (await receive())["type"] != "http.disconnect":
            pass
        state["disconnects"] += 1
        return
    if path == "/raise":
        raise ValueError("in asgi")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]})
    if path == "/echo":
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": True})
        await send({"type": "http.response.body"})
        return
    text = f"{scope['method']} {path} {scope['query_string'].decode()} {scope['state']['greeting']} {state['started']} {state['disconnects']}"
    await send({"type": "http.response.body", "body": text.encode()})
`;

const wsgiCode = `
import threading, time

together = threading.Barrier(4, timeout=20)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/together":
        together.wait()
    if path == "/raise":
        raise ValueError("in wsgi")
    if path == "/late":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return broken()
    if path == "/echo":
        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Connection", "close")])
        return iter(lambda: environ["wsgi.input"].read(65536), b"")
    start_response("404 NOT FOUND", [("Content-Type", "text/plain; charset=utf-8"), ("X-Host", environ["HTTP_HOST"])])
    return [f"{environ['REQUEST_METHOD']} {path} {environ['QUERY_STRING']} {environ.get('HTTP_X_Y')}".encode("latin-1")]

def broken():
    yield b"begun"
    yield b"going on"
    raise ValueError("after the head")
`;

suite("Python", { skip: missing ?? false }, () => {
  test("a Lambda handler gets the event of a Function URL, and its result is the answer", async () => {
    const { functions } = await server.deployFiles("lambdas", {
      "app.py": lambdaCode,
      "vendor/six_of_ours.py": "def six(): return 6\n",
      "aloft.json": JSON.stringify({
        runtime: "python",
        functions: {
          handler: { handler: "app.handler", memoryMiB: 300, triggers: [{ http: "/*" }] },
          add: { handler: "app.add" },
          stream: { handler: "app.stream" },
          waits: { handler: "app.waits" },
        },
      }),
    });
    assert.deepEqual(functions.map(({ name, style, runtime }) => `${name} ${style} ${runtime}`).toSorted(), [
      "add lambda python",
      "handler lambda python",
      "stream lambda python",
      "waits lambda python",
    ]);
    const response = await server.fetch("lambdas", "/event?a=1&a=2&b=%20", {
      method: "POST",
      body: "{}",
      headers: { cookie: "x=1; y=2", "content-type": "application/json" },
    });
    assert.equal(response.status, 201);
    assert.equal(response.headers.get("x-a"), "b");
    assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
    const event = (await response.json()) as Record<string, unknown>;
    assert.partialDeepStrictEqual(event, {
      version: "2.0",
      rawPath: "/event",
      rawQueryString: "a=1&a=2&b=%20",
      cookies: ["x=1", "y=2"],
      queryStringParameters: { a: "1,2", b: " " },
      body: "{}",
      isBase64Encoded: false,
    });
    await server.client.changeVariables("lambdas", "production", { set: { KEY: "value" }, unset: [] });
    const context = (await (await server.fetch("lambdas", "/context")).json()) as Record<string, unknown>;
    assert.partialDeepStrictEqual(context, {
      name: "lambdas-handler",
      memory: "300",
      region: "us-east-1",
      key: "value",
      vendored: 6,
    });
    assert.match(String(context["env"]), /^AWS_Lambda_python3\.\d+$/);
    assert.ok(Number(context["left"]) > 50_000);
    assert.deepEqual([...(await (await server.fetch("lambdas", "/bytes")).bytes())], [0, 255]);
    assert.equal(await (await server.fetch("lambdas", "/")).text(), "text");
    assert.equal(await (await server.fetch("lambdas", "/waits")).text(), "awaited");
  });

  test("it can be called with a value, and a generator streams", async () => {
    const { body } = await server.client.invoke("lambdas", "add", "production", Buffer.from('{"a":1,"b":2}'));
    assert.equal(Buffer.from(body).toString(), '{"sum": 3}');
    const streamed = await server.fetch("lambdas", "/stream");
    assert.equal(streamed.status, 202);
    const text = await streamed.text();
    assert.equal(text.length, 21 + 400_000);
    assert.ok(text.startsWith("part 0\npart 1\npart 2\nxxx"));
  });

  test("what it prints and logs is of its invocation, whichever thread it comes from", async () => {
    const response = await server.fetch("lambdas", "/log");
    const id = response.headers.get("x-request-id") ?? "";
    assert.equal(await response.text(), "logged");
    const lines = await until("five lines", async () => {
      const found = await server.client.listLogs("lambdas", { invocation: id });
      return found.length >= 4 && found;
    });
    assert.deepEqual(
      lines.map(({ level, stream, message }) => [level, stream, message]),
      [
        ["info", "stdout", "printed"],
        ["error", "stderr", "written"],
        ["warn", "console", "warned 7"],
        ["info", "stdout", "of a thread"],
      ],
    );
  });

  test("an exception is the function's, with a traceback of its own files", async () => {
    const thrown = await server.fetch("lambdas", "/throw");
    assert.equal(thrown.status, 500);
    const lines = await until("its traceback", async () => {
      const invocation = thrown.headers.get("x-request-id") ?? "";
      const found = await server.client.listLogs("lambdas", { invocation });
      return found.length > 0 && found;
    });
    const text = lines[0]?.message ?? "";
    assert.match(
      text,
      /^Traceback .*\n {2}File "app\.py", line \d+, in handler\n[^]*File "app\.py", line \d+, in fail_deep\n[^]*KeyError: 'nothing here'$/,
    );
    const table: [path: string, status: number, code: string, detail: RegExp][] = [
      ["/throw", 500, "FUNCTION_THREW", /KeyError/],
      ["/not-json", 502, "FUNCTION_BAD_RESPONSE", /not JSON/],
      ["/bad-status", 502, "FUNCTION_BAD_RESPONSE", /statusCode is 99/],
      ["/exit", 502, "FUNCTION_CRASHED", /sys\.exit\(3\)/],
      ["/kill", 502, "FUNCTION_CRASHED", /SIGKILL/],
    ];
    for (const [path, status, code, detail] of table) {
      const response = await server.fetch("lambdas", path);
      const problem = await problemOf(response);
      assert.deepEqual([response.status, problem.code], [status, code], path);
      void detail;
      assert.equal(await (await server.fetch("lambdas", "/")).text(), "text", `after ${path}`);
    }
  });

  test("an ASGI app is started once, serves many at once, streams, and is told of its end", async () => {
    const { functions } = await server.deployFiles("asgi", { "main.py": asgiCode });
    assert.equal(functions[0]?.style, "asgi");
    const plain = await server.fetch("asgi", "/a%20b?c=d", { method: "PUT" });
    assert.deepEqual(plain.headers.getSetCookie(), ["a=1", "b=2"]);
    assert.equal(await plain.text(), "PUT /a b c=d hi 1 0");
    const answers = await Promise.all(Array.from({ length: 8 }, () => server.fetch("asgi", "/together")));
    for (const one of answers) assert.equal(await one.text(), "GET /together  hi 1 0");
    const body = "0123456789".repeat(100_000);
    assert.equal(await (await server.fetch("asgi", "/echo", { method: "POST", body })).text(), body);
    assert.deepEqual((await problemOf(await server.fetch("asgi", "/raise"))).code, "FUNCTION_THREW");
    const leaving = new AbortController();
    const left = server.fetch("asgi", "/wait", { signal: leaving.signal });
    await until("it waits", async () =>
      (await server.client.listLogs("asgi", {})).some(({ message }) => message === "waiting"),
    );
    leaving.abort();
    await assert.rejects(left);
    await until("the app heard", async () => (await (await server.fetch("asgi", "/")).text()) === "GET /  hi 1 1");
    await server.deployFiles("asgi", { "main.py": `${asgiCode}# changed\n` });
    await until("its shutdown", async () =>
      (await server.client.listLogs("asgi", {})).some(({ message }) => message === "shut down in order"),
    );
  });

  test("a WSGI app serves requests in threads, and streams both ways", async () => {
    const { functions } = await server.deployFiles("wsgi", { "wsgi.py": wsgiCode });
    assert.deepEqual([functions[0]?.style, functions[0]?.limits.concurrency], ["wsgi", 16]);
    const plain = await server.fetch("wsgi", "/caf%C3%A9?q=1", { headers: { "x-y": "z" } });
    assert.equal(plain.status, 404);
    assert.equal(plain.headers.get("x-host"), new URL(server.http).host);
    assert.equal(await plain.text(), "GET /café q=1 z");
    const body = "0123456789".repeat(100_000);
    const echoed = await server.fetch("wsgi", "/echo", { method: "POST", body });
    assert.equal(await echoed.text(), body);
    const answers = await Promise.all(Array.from({ length: 4 }, () => server.fetch("wsgi", "/together")));
    for (const one of answers) assert.equal(one.status, 404);
    assert.equal((await problemOf(await server.fetch("wsgi", "/raise"))).code, "FUNCTION_THREW");
    await assert.rejects(async () => await (await server.fetch("wsgi", "/late")).text());
  });

  test("TypeScript and Python are one app", async () => {
    const { functions } = await server.deployFiles("mixed", {
      "index.ts": `export default { fetch: () => new Response("typescript") };`,
      "app.py": `def handler(event, context):\n  return "python " + event["rawPath"]\n`,
      "aloft.json": `{ "functions": { "resize": { "runtime": "python", "handler": "app.handler",
        "memoryMiB": 512, "triggers": [{ "http": "POST /resize" }] } } }`,
    });
    assert.deepEqual(functions.map(({ name, runtime, group }) => `${name} ${runtime} ${group}`).toSorted(), [
      "default node http",
      "resize python resize",
    ]);
    assert.equal(await (await server.fetch("mixed", "/")).text(), "typescript");
    assert.equal(await (await server.fetch("mixed", "/resize", { method: "POST" })).text(), "python /resize");
  });

  test("code that cannot be imported is refused with its file and line", async () => {
    const table: [name: string, files: Record<string, string>, message: RegExp][] = [
      ["syntax", { "app.py": "def handler(event, context):\n  return (\n" }, /^SyntaxError: app\.py:2: /],
      ["raises", { "app.py": "import json\n\nraise ValueError('no')\n" }, /^ValueError: no \(app\.py:3\)$/],
      [
        "needs",
        { "app.py": "import surely_not_there\n" },
        /surely_not_there.*pip install -r requirements\.txt -t vendor/,
      ],
      ["empty", { "app.py": "x = 1\n" }, /the module app has none of app, application, lambda_handler or handler/],
      ["exits", { "app.py": "import sys\nsys.exit(2)\n" }, /the code called sys\.exit\(2\) while it was imported/],
      [
        "no-module",
        { "other.py": "", "aloft.json": `{ "runtime": "python", "handler": "app.handler" }` },
        /the handler app\.handler names the module app, which the folder does not have; its Python files are other\.py/,
      ],
      [
        "no-name",
        { "app.py": "def other(e, c): pass\n", "aloft.json": `{ "runtime": "python", "handler": "app.handler" }` },
        /the module app has no handler/,
      ],
    ];
    for (const [name, files, message] of table) {
      await assert.rejects(server.deployFiles(name, files), { code: "DESCRIBE_FAILED", message }, name);
    }
    const startup = `async def app(scope, receive, send):
  await receive()
  await send({"type": "lifespan.startup.failed", "message": "no database"})
`;
    await assert.rejects(server.deployFiles("startup", { "app.py": startup }), {
      code: "FUNCTION_START_FAILED",
      message: /the app's startup failed: no database/,
    });
  });
});

test("without a Python the deploy says what to install", async (t) => {
  const { deployFiles } = await startTestServer(t, { settings: { python: "/no/such/python3" } });
  await assert.rejects(deployFiles("x", { "app.py": "def handler(e, c): pass\n" }), {
    code: "RUNTIME_UNAVAILABLE",
    hint: /apt-get install python3/,
  });
});
