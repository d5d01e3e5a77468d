import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { once } from "node:events";
import { createServer, IncomingMessage, type RequestListener, type Server, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { test } from "node:test";
import { exchangeWithServer } from "./node-http.ts";

function serverFor(listener: Listener): Server {
  return createServer((req, res) => void listener(req, res));
}

type Listener = (...parameters: Parameters<RequestListener>) => unknown;

function call(listener: Listener, input: string, init: RequestInit & { duplex?: "half" } = {}): Promise<Response> {
  return exchangeWithServer(serverFor(listener), new Request(input, init), "192.0.2.7").response;
}

test("a listener gets Node's own request and response", async () => {
  const response = await call(
    (req, res) => {
      assert.ok(req instanceof IncomingMessage);
      assert.ok(res instanceof ServerResponse);
      res.setHeader("set-cookie", ["a=1", "b=2"]);
      res.statusCode = 201;
      res.end(JSON.stringify([req.method, req.url, req.headers.host, req.headers["x-one"], req.socket.remoteAddress]));
    },
    "http://shop.test/a%20b/../c?q=%20#x",
    { headers: { "x-one": "1" } },
  );
  assert.equal(response.status, 201);
  assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
  assert.equal(response.headers.get("connection"), null);
  assert.equal(response.headers.get("transfer-encoding"), null);
  assert.deepEqual(await response.json(), ["GET", "/c?q=%20", "shop.test", "1", "192.0.2.7"]);
});

test("a body of known length arrives whole, one without a length as a stream", async () => {
  const echo: RequestListener = (req, res) => {
    res.setHeader("x-length", String(req.headers["content-length"]));
    req.pipe(res);
  };
  const whole = await call(echo, "http://a.test/", {
    method: "POST",
    body: "héllo",
    headers: { "content-length": "6" },
  });
  assert.equal(whole.headers.get("x-length"), "6");
  assert.equal(await whole.text(), "héllo");
  const body = ReadableStream.from([Buffer.from("one "), Buffer.from("two")]);
  const streamed = await call(echo, "http://a.test/", { method: "PUT", body: body as ReadableStream, duplex: "half" });
  assert.equal(streamed.headers.get("x-length"), "undefined");
  assert.equal(await streamed.text(), "one two");
});

test("a response streams: its head and each chunk arrive while the listener still runs", async () => {
  const { promise: more, resolve: sendMore } = Promise.withResolvers<void>();
  const response = await call(async (_req, res) => {
    res.flushHeaders();
    res.write("first");
    await more;
    res.end("second");
  }, "http://a.test/");
  const reader = response.body!.getReader();
  assert.equal(Buffer.from((await reader.read()).value).toString(), "first");
  sendMore();
  assert.equal(Buffer.from((await reader.read()).value).toString(), "second");
  assert.equal((await reader.read()).done, true);
});

test("a reader that does not read stops the listener's stream, and reading lets it go on", async () => {
  const bytes = 8 * 1024 * 1024;
  let produced = 0;
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
  const response = await call((_req, res) => {
    const source = new Readable({
      read() {
        produced += 65_536;
        this.push(produced > bytes ? null : Buffer.alloc(65_536));
      },
    });
    source.on("pause", stop);
    source.pipe(res);
  }, "http://a.test/");
  await stopped;
  assert.ok(produced < bytes / 4, `${produced} bytes were produced for a reader that reads nothing`);
  assert.equal((await response.arrayBuffer()).byteLength, bytes);
});

test("a listener that does not read stops the request's body", async () => {
  let sent = 0;
  const body = new ReadableStream(
    {
      pull(controller) {
        sent += 65_536;
        if (sent > 8 * 1024 * 1024) controller.close();
        else controller.enqueue(new Uint8Array(65_536));
      },
    },
    { highWaterMark: 0 },
  );
  const response = await call((_req, res) => void res.end("no"), "http://a.test/", {
    method: "POST",
    body,
    duplex: "half",
  });
  assert.equal(await response.text(), "no");
  assert.ok(sent < 2 * 1024 * 1024, `${sent} bytes of the body were taken`);
});

test("answers without a body have none", async () => {
  const head = await call((_req, res) => void res.setHeader("content-length", 5).end(), "http://a.test/", {
    method: "HEAD",
  });
  assert.equal(head.body, null);
  assert.equal(head.headers.get("content-length"), "5");
  const empty = await call((_req, res) => void res.writeHead(204).end(), "http://a.test/");
  assert.equal(empty.body, null);
});

test("a client that goes away is seen by the listener", async () => {
  const controller = new AbortController();
  const { promise: seen, resolve } = Promise.withResolvers<readonly boolean[]>();
  const answer = call(
    async (req, res) => {
      await once(res, "close");
      resolve([req.destroyed, res.writableFinished]);
    },
    "http://a.test/",
    { signal: controller.signal },
  );
  await new Promise(setImmediate);
  controller.abort();
  await assert.rejects(answer, { name: "AbortError" });
  assert.deepEqual(await seen, [true, false]);
});

test("a client that goes away in the middle of the answer is seen by the listener", async () => {
  const { promise: seen, resolve } = Promise.withResolvers<void>();
  const response = await call((_req, res) => {
    res.on("close", resolve);
    res.write("first");
  }, "http://a.test/");
  await response.body!.cancel();
  await seen;
});

test("a request whose body breaks off is aborted for the listener", async () => {
  const { promise: source, resolve: begin } = Promise.withResolvers<ReadableStreamDefaultController>();
  const { promise: seen, resolve: see } = Promise.withResolvers<unknown>();
  const answer = call((req) => void req.on("error", see).once("data", () => void breakOff()), "http://a.test/", {
    method: "POST",
    body: new ReadableStream({ start: begin }),
    duplex: "half",
  });
  async function breakOff(): Promise<void> {
    (await source).error(new Error("the sender went away"));
  }
  (await source).enqueue(new Uint8Array(10));
  await assert.rejects(answer, /the sender went away/);
  assert.match(String(await seen), /aborted/);
});

test("an answer that breaks off fails for its reader", async () => {
  const response = await call((_req, res) => {
    res.write("first");
    setImmediate(() => res.destroy());
  }, "http://a.test/");
  await assert.rejects(async () => await response.text(), /aborted/);
});

test("an exchange that is ended fails for its reader with the reason", async () => {
  const server = createServer((_req, res) => void res.write("first"));
  const exchange = exchangeWithServer(server, new Request("http://a.test/"), "");
  const response = await exchange.response;
  exchange.destroy(new Error("the handler threw"));
  await assert.rejects(async () => await response.text(), /the handler threw/);
});

test("each listener runs in the asynchronous context of its request", async () => {
  const current = new AsyncLocalStorage<number>();
  const server = serverFor(async (req, res) => {
    for await (const _chunk of req) assert.ok(current.getStore() !== undefined);
    await new Promise(setImmediate);
    res.end(String(current.getStore()));
  });
  const answers = [1, 2, 3].map((number) =>
    current.run(number, async () => {
      const request = new Request("http://a.test/", { method: "POST", body: "x" });
      return await (await exchangeWithServer(server, request, "").response).text();
    }),
  );
  assert.deepEqual(await Promise.all(answers), ["1", "2", "3"]);
});

test("a head of 100 KiB passes in both directions", async () => {
  const long = "x".repeat(100 * 1024);
  const response = await call(
    (req, res) => void res.setHeader("x-back", req.headers["x-long"]!).end(),
    "http://a.test/",
    {
      headers: { "x-long": long },
    },
  );
  assert.equal(response.headers.get("x-back"), long);
});

test("a status outside 200 to 599 is a bad response", async () => {
  await assert.rejects(
    call((_req, res) => void res.writeHead(999).end(), "http://a.test/"),
    {
      name: "BadResponse",
      message: "the answer has the status 999",
    },
  );
});
