/** The local HTTP API of state, from programs that know nothing of Aloft but a socket and a header. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { sendTo } from "../kit/link-client.ts";
import { pythonMissing } from "../kit/python.ts";
import { startTestServer } from "../kit/server.ts";
import { until } from "../kit/until.ts";

const server = await startTestServer({ after });

/** A program with Node's HTTP client alone: `ask(method, path, invocation, body, type)`. */
const program = `
  import { createServer, request } from "node:http";
  const socketPath = process.env.ALOFT_STATE_SOCKET;
  function ask(method, path, invocation, body, type = "application/json") {
    return new Promise((resolve, reject) => {
      const headers = { "content-type": type, ...(invocation ? { "aloft-invocation": invocation } : {}) };
      const outgoing = request({ socketPath, method, path, headers }, async (response) => {
        const chunks = [];
        for await (const chunk of response) chunks.push(chunk);
        resolve({ status: response.statusCode, version: response.headers["aloft-version"], text: Buffer.concat(chunks).toString() });
      });
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  }
  let former = "";
  createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const invocation = request.headers["aloft-invocation"];
    const { pathname, search } = new URL(request.url, "http://localhost");
    try {
      if (pathname.startsWith("/state/")) {
        const own = pathname.slice(6) + search;
        const answer = await ask(request.method, own, request.headers["x-none"] ? undefined : invocation, body, request.headers["content-type"]);
        former = invocation;
        response.end(JSON.stringify(answer));
      } else if (pathname === "/former") {
        response.end(JSON.stringify(await ask("PUT", "/kv/s/late", former, "1")));
      } else if (request.method === "POST" && pathname === "/") {
        // A message of the queue.
        const [{ body: { n, fail } }] = JSON.parse(body).messages;
        await ask("POST", "/kv/s/sum?by=" + n, invocation);
        await ask("PUT", "/kv/s/last", invocation, String(n));
        const seen = await ask("GET", "/kv/s/last", invocation);
        const stored = await ask("GET", "/kv/s/last");
        if (fail) { await ask("PUT", "/kv/s/failed-run", undefined, "true"); response.statusCode = 500; }
        response.end(JSON.stringify({ seen: seen.text, stored: stored.text }));
      } else {
        response.end(JSON.stringify({ invocation }));
      }
    } catch (error) {
      response.statusCode = 500;
      response.end(String(error.stack));
    }
  }).listen(process.env.PORT);
`;

await server.deployFiles("plain", {
  "server.mjs": program,
  "aloft.json": JSON.stringify({
    functions: {
      work: { command: ["node", "server.mjs"], triggers: [{ http: "/*" }, { queue: "jobs" }] },
    },
  }),
});

interface Told {
  readonly status: number;
  readonly text: string;
  readonly version?: string;
}

async function ask(method: string, path: string, body?: string, headers: Record<string, string> = {}): Promise<Told> {
  const response = await server.fetch("plain", path, { method, headers, ...(body === undefined ? {} : { body }) });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text) as Told;
}

test("values are put, got with their version, listed and deleted", async () => {
  const json = { "content-type": "application/json" };
  assert.equal((await ask("PUT", "/state/kv/s/a%2Fb", '{"left":3}', json)).status, 204);
  const got = await ask("GET", "/state/kv/s/a%2Fb");
  assert.deepEqual([got.status, got.text, Number(got.version) > 0], [200, '{"left":3}', true]);
  assert.equal((await ask("PUT", "/state/kv/s/a%2Fb?ifAbsent=true", "1", json)).status, 412);
  assert.equal((await ask("PUT", "/state/kv/s/bytes", "raw", { "content-type": "text/plain" })).status, 204);
  assert.equal((await ask("GET", "/state/kv/s/bytes", undefined, { "x-none": "1" })).text, "raw");
  assert.equal((await ask("POST", "/state/kv/s/count?by=5")).status, 204);
  assert.equal((await ask("GET", "/state/kv/s/count")).text, "5");
  const { entries } = JSON.parse((await ask("GET", "/state/kv/s?prefix=a/&limit=10")).text) as { entries: unknown[] };
  assert.equal(entries.length, 1);
  assert.equal((await ask("DELETE", "/state/kv/s/a%2Fb")).status, 204);
  assert.equal((await ask("GET", "/state/kv/s/a%2Fb")).status, 404);
});

/** Links of the program's app, made by `ask`, moved past it. */
async function linked(ask: (path: string, body: string) => Promise<Told>): Promise<void> {
  const link = async (key: string, options: object): Promise<string> => {
    const { status, text } = await ask(`/blobs/files/${key}`, JSON.stringify(options));
    assert.equal(status, 200, text);
    return (JSON.parse(text) as { url: string }).url;
  };
  const put = await sendTo(await link("a%2Fb", { method: "PUT", maxBytes: 5 }), "PUT", { body: "hello" });
  assert.equal(put.status, 201, put.body.toString());
  const got = await sendTo(await link("a%2Fb", { expiresInMs: 60_000, disposition: "inline" }), "GET");
  assert.deepEqual([got.body.toString(), got.headers["content-disposition"]], ["hello", 'inline; filename="b"']);
  const wrong = await ask("/blobs/files/a", '{"expires":1}');
  assert.deepEqual([wrong.status, (JSON.parse(wrong.text) as { code: string }).code], [400, "REQUEST_INVALID"]);
  assert.equal((await ask("/blobs/files/a", "no JSON")).status, 400);
}

test("links of blobs are given out", async () => {
  await linked((path, body) => ask("POST", `/state${path}`, body));
});

test("blobs are streamed in and out", async () => {
  const bytes = "0123456789".repeat(150_000);
  assert.equal((await ask("PUT", "/state/blobs/files/large", bytes, { "content-type": "text/plain" })).status, 204);
  const got = await ask("GET", "/state/blobs/files/large");
  assert.equal(got.text, bytes);
});

test("a plain read answers in JSON, the bytes of a blob included", async () => {
  await plainRead((method, path, body) => ask(method, `/state${path}`, body));
});

async function plainRead(ask: (method: string, path: string, body: string) => Promise<Told>): Promise<void> {
  assert.equal((await ask("PUT", "/blobs/files/plain", "some bytes")).status, 204);
  const read = { resource: "blob", name: "files", method: "open", args: { key: "plain", raw: true } };
  const opened = await ask("POST", "/read", JSON.stringify(read));
  const { value } = JSON.parse(opened.text) as { value: { b64: string } };
  assert.equal(Buffer.from(value.b64, "base64").toString(), "some bytes");
  const put = { ...read, method: "put", args: { bytes: [1, 2] } };
  assert.equal((await ask("POST", "/read", JSON.stringify(put))).status, 400);
}

test("what is not right is refused with a code, and the program goes on", async () => {
  const cases: readonly [string, string, string | undefined, number, string][] = [
    ["GET", "/state/kv", undefined, 404, "NOT_FOUND"],
    ["PUT", "/state/kv/s/a", "{", 400, "REQUEST_INVALID"],
    ["PUT", "/state/kv/s/a?expiresInMs=-1", "1", 400, "REQUEST_INVALID"],
    ["POST", "/state/kv/s/a?by=half", undefined, 400, "REQUEST_INVALID"],
    ["PUT", `/state/kv/s/${"k".repeat(1500)}`, "1", 400, "KEY_INVALID"],
    ["POST", "/state/write", '{"resource":"file"}', 400, "REQUEST_INVALID"],
    ["PATCH", "/state/kv/s/a", "1", 405, "METHOD_NOT_ALLOWED"],
  ];
  for (const [method, path, body, status, code] of cases) {
    const told = await ask(method, path, body, { "content-type": "application/json" });
    assert.deepEqual([told.status, (JSON.parse(told.text) as { code: string }).code], [status, code], path);
  }
});

test("rule 13: the token of an invocation that has ended is refused, and none can be brought from outside", async () => {
  await ask("GET", "/state/kv/s/a");
  const late = await ask("GET", "/former");
  assert.deepEqual([late.status, (JSON.parse(late.text) as { code: string }).code], [409, "INVOCATION_ENDED"]);
  const forged = await server.fetch("plain", "/other", { headers: { "aloft-invocation": "forged" } });
  const { invocation } = (await forged.json()) as { invocation: string };
  assert.match(invocation, /^[0-9a-f]{32}$/);
});

test("rule 13: with an event's token a write is held until the program has answered well", async () => {
  const send = (body: object): Promise<Told> =>
    ask("POST", "/state/write", JSON.stringify({ resource: "queue", name: "jobs", method: "send", args: { body } }));
  assert.equal((await send({ n: 3, fail: true })).status, 200);
  await until("it has failed once", async () => (await ask("GET", "/state/kv/s/failed-run")).status === 200);
  assert.equal((await ask("GET", "/state/kv/s/sum")).status, 404);
  for (const n of [4, 5]) await send({ n });
  await until("both are handled", async () => (await ask("GET", "/state/kv/s/sum")).text === "9");
});

const noPython = pythonMissing();
if (noPython !== null) console.log(`skipped: ${noPython}`);

const pythonCode = `
import http.client, json, os, socket

class Local(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["ALOFT_STATE_SOCKET"])

def ask(method, path, invocation=None, body=None, content_type="application/json"):
    connection = Local("state")
    headers = {"content-type": content_type}
    if invocation: headers["aloft-invocation"] = invocation
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    answer = {"status": response.status, "text": response.read().decode("latin-1")}
    connection.close()
    return answer

def raw(text):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.environ["ALOFT_STATE_SOCKET"])
        client.sendall(text.encode())
        client.shutdown(socket.SHUT_WR)
        return {"status": int(client.makefile("rb").readline().split()[1]), "text": ""}

def work(event, context):
    if "Records" in event:
        for record in event["Records"]:
            message = json.loads(record["body"])
            ask("POST", "/kv/s/sum?by=%d" % message["n"], context.aws_request_id)
            ask("PUT", "/kv/s/held", context.aws_request_id, "1")
            assert ask("GET", "/kv/s/held", context.aws_request_id)["status"] == 200
        if message.get("fail"):
            ask("PUT", "/kv/s/failed", None, "1")
            raise RuntimeError("no")
        return "done"
    request = json.loads(event["body"])
    if request["method"] == "RAW":
        return raw(request["body"])
    return ask(request["method"], request["path"], context.aws_request_id, request.get("body"), request.get("type", "application/json"))

def app(environ, start_response):
    answer = ask("PUT", "/kv/s/wsgi", environ["HTTP_ALOFT_INVOCATION"], "1")
    start_response("200 OK", [("content-type", "application/json")])
    return [json.dumps(answer).encode()]
`;

test("Python has the same, in its handlers of requests and of events", { skip: noPython !== null }, async () => {
  await server.deployFiles("snake", {
    "jobs.py": pythonCode,
    "aloft.json": JSON.stringify({
      functions: {
        work: { runtime: "python", handler: "jobs.work", triggers: [{ http: "POST /ask" }, { queue: "jobs" }] },
        wsgi: { runtime: "python", handler: "jobs.app", triggers: [{ http: "GET /wsgi" }] },
      },
    }),
  });
  const told = async (method: string, path: string, body?: string, type?: string): Promise<Told> => {
    const init = { method: "POST", body: JSON.stringify({ method, path, body, type }) };
    const response = await server.fetch("snake", "/ask", init);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text) as Told;
  };
  assert.equal((await told("PUT", "/kv/s/a%2Fb", '{"left":3}')).status, 204);
  assert.equal((await told("PUT", "/kv/s/a%2Fb?ifAbsent=true", "1")).status, 412);
  assert.deepEqual(JSON.parse((await told("GET", "/kv/s/a%2Fb")).text), { left: 3 });
  assert.equal((await told("GET", "/kv/s/none")).status, 404);
  assert.match((await told("GET", "/kv/s?prefix=a/")).text, /"key": ?"a\/b"/);
  assert.equal((await told("PUT", "/blobs/files/a", "x".repeat(1_200_000), "text/plain")).status, 204);
  assert.equal((await told("GET", "/blobs/files/a")).text.length, 1_200_000);
  await linked((path, body) => told("POST", path, body));
  await plainRead((method, path, body) => told(method, path, body));
  assert.equal((await told("POST", "/write", '{"resource":"file"}')).status, 400);
  // More than a socket holds: who answers without reading it breaks the connection under the client.
  assert.equal((await told("PATCH", "/kv/s/a", "x".repeat(1_200_000))).status, 405);
  for (const body of [
    "transfer-encoding: chunked\r\n\r\nzz\r\n",
    "transfer-encoding: chunked\r\n\r\n5\r\nabc",
    "content-length: many\r\n\r\n",
    "content-length: 9\r\n\r\nabc",
  ]) {
    assert.equal((await told("RAW", "", `PUT /kv/s/raw HTTP/1.1\r\nhost: state\r\n${body}`)).status, 400, body);
  }
  const wsgi = await server.fetch("snake", "/wsgi");
  assert.equal(((await wsgi.json()) as Told).status, 204);

  const send = (body: object): Promise<Told> =>
    told("POST", "/write", JSON.stringify({ resource: "queue", name: "jobs", method: "send", args: { body } }));
  await send({ n: 3, fail: true });
  await until("it has failed once", async () => (await told("GET", "/kv/s/failed")).status === 200);
  assert.equal((await told("GET", "/kv/s/held")).status, 404);
  for (const n of [4, 5]) await send({ n });
  await until("both are handled", async () => (await told("GET", "/kv/s/sum")).text === "9");
});
