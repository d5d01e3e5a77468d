/** Clients that speak HTTP badly, slowly, half or with malice: each is answered or cut, and nobody else notices. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Problem } from "../../src/contract/errors.ts";
import type { InvocationRecord } from "../../src/contract/observing.ts";
import { RawClient } from "../kit/raw-client.ts";
import { startTestServer } from "../kit/server.ts";
import { until } from "../kit/until.ts";

const server = await startTestServer({ after }, { settings: { zygotes: 2, maxBodyBytes: 2 * 1024 * 1024 } });

before(async () => {
  await server.deployFiles("echo", {
    "index.ts": `import { http } from "aloft";
      export const echo = http("/echo/*", async (request) => Response.json({
        method: request.method,
        url: request.url,
        headers: Object.fromEntries(request.headers),
        body: await request.text(),
      }));
      export const only = http("POST /only-post", () => new Response("posted"));
      export const slowly = http("/slowly/:ms", async (request, { params }) => {
        await new Promise((resolve) => setTimeout(resolve, Number(params.ms)));
        return new Response("after " + params.ms);
      });
      export const aborted = http("/aborted/:name", (request, { params, signal }) => {
        console.log(params.name, "began");
        return new Promise((_, reject) => signal.addEventListener("abort", () => {
          console.log(params.name, "saw", signal.reason.name);
          reject(signal.reason);
        }));
      });
      export const upload = http("/upload/:name", async (request, { params }) => {
        try {
          let bytes = 0;
          for await (const chunk of request.body!) { bytes += chunk.length; console.log(params.name, "has", bytes); }
          return Response.json(bytes);
        } catch (error) {
          console.log(params.name, "failed with", error.name);
          throw error;
        }
      });
      export const unread = http("POST /unread", () => new Response("not read"));
      export const stream = http("/stream/:name", (request, { params }) => new Response(new ReadableStream({
        async pull(controller) {
          await new Promise((resolve) => setTimeout(resolve, 5));
          controller.enqueue(new TextEncoder().encode("more "));
        },
        cancel() { console.log(params.name, "was cancelled"); },
      })));
      let next = () => {};
      export const events = http("/events", () => {
        let number = 0;
        return new Response(new ReadableStream({
          async pull(controller) {
            if (number > 0) await new Promise<void>((resolve) => { next = resolve; });
            controller.enqueue(new TextEncoder().encode("data: " + number++ + "\\n\\n"));
          },
        }), { headers: { "content-type": "text/event-stream" } });
      });
      export const push = http("/push", () => { next(); return new Response("pushed"); });`,
  });
  await server.deployFiles("brief", {
    "index.ts": `import { http } from "aloft";
      export const echo = http("/*", { timeout: "500ms" }, async (request) => new Response(await request.text()));`,
  });
  await server.deployFiles("second", { "index.ts": `export default { fetch: () => new Response("the second app") };` });
});

async function open(): Promise<RawClient> {
  return await RawClient.open(server.http);
}

/** Sends the bytes on a connection of their own and returns all that came back until it was closed. */
async function answerTo(bytes: string, address = server.http): Promise<string> {
  const client = await RawClient.open(address);
  client.send(bytes);
  const text = await client.ended();
  client.close();
  return text;
}

function statusOf(text: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0);
}

function problemIn(text: string): Problem {
  const { head, body } = split(text);
  assert.match(head, /\r\ncontent-type: application\/problem\+json\r\n/i);
  return JSON.parse(body) as Problem;
}

function split(text: string): { readonly head: string; readonly body: string } {
  const at = text.indexOf("\r\n\r\n");
  return { head: `${text.slice(0, at)}\r\n`, body: text.slice(at + 4) };
}

function logLine(pattern: RegExp): Promise<unknown> {
  return until(`a line like ${pattern}`, async () => {
    return (await server.client.listLogs("echo", { limit: 10_000 })).some((line) => pattern.test(line.message));
  });
}

function recordWhere(what: string, passes: (record: InvocationRecord) => boolean): Promise<InvocationRecord> {
  return until(`a record of ${what}`, async () => {
    return (await server.client.listInvocations("echo", { limit: 1000 })).find(passes);
  });
}

async function stillServes(): Promise<void> {
  assert.equal((await server.fetch("echo", "/echo/alive")).status, 200);
}

const base = "host: localhost\r\naloft-app: echo\r\n";

describe("the connection is answered and closed, for a request", { concurrency: 8 }, () => {
  const post = `POST /echo/x HTTP/1.1\r\n${base}`;
  const smuggled = "GET /echo/smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";
  const cases = [
    ["that is no HTTP", "hello\r\n\r\n", 400, "REQUEST_INVALID"],
    ["of TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "REQUEST_INVALID"],
    ["of another protocol's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "REQUEST_INVALID"],
    [
      "with a header of 1 MiB",
      `GET / HTTP/1.1\r\n${base}x-a: ${"b".repeat(1024 * 1024)}\r\n\r\n`,
      431,
      "HEADERS_TOO_LARGE",
    ],
    [
      "with too many headers for the limit",
      `GET / HTTP/1.1\r\n${base}${"x-a: b\r\n".repeat(20_000)}\r\n`,
      431,
      "HEADERS_TOO_LARGE",
    ],
    ["with a target of 100 KiB", `GET /${"a".repeat(100_000)} HTTP/1.1\r\n${base}\r\n`, 431, "HEADERS_TOO_LARGE"],
    [
      "with content-length and transfer-encoding",
      `${post}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
      400,
      "REQUEST_INVALID",
    ],
    [
      "with transfer-encoding and content-length",
      `${post}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n${smuggled}`,
      400,
      "REQUEST_INVALID",
    ],
    [
      "with two content-lengths",
      `${post}content-length: 5\r\ncontent-length: 6\r\n\r\nhello!${smuggled}`,
      400,
      "REQUEST_INVALID",
    ],
    ["with a list as content-length", `${post}content-length: 5, 5\r\n\r\nhello${smuggled}`, 400, "REQUEST_INVALID"],
    ["with a signed content-length", `${post}content-length: +5\r\n\r\nhello${smuggled}`, 400, "REQUEST_INVALID"],
    ["with a negative content-length", `${post}content-length: -5\r\n\r\nhello${smuggled}`, 400, "REQUEST_INVALID"],
    ["with a hexadecimal content-length", `${post}content-length: 0x5\r\n\r\nhello${smuggled}`, 400, "REQUEST_INVALID"],
    ["with a space before the colon", `${post}content-length : 5\r\n\r\nhello${smuggled}`, 400, "REQUEST_INVALID"],
    ["with a folded header", `${post}x-a: b\r\n content-length: 5\r\n\r\n${smuggled}`, 400, "REQUEST_INVALID"],
    [
      "with a folded transfer-encoding",
      `${post}transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n${smuggled}`,
      400,
      "REQUEST_INVALID",
    ],
    ["with a bare line feed", `POST /echo/x HTTP/1.1\r\n${base}x-a: b\nx-c: d\r\n\r\n`, 400, "REQUEST_INVALID"],
    ["with a carriage return in a value", `${post}x-a: b\rc\r\n\r\n`, 400, "REQUEST_INVALID"],
    ["with a NUL in a value", `${post}x-a: b\0c\r\n\r\n`, 400, "REQUEST_INVALID"],
    ["with a NUL in a name", `${post}x-\0a: b\r\n\r\n`, 400, "REQUEST_INVALID"],
    ["with a space in the target", `GET /echo/a b HTTP/1.1\r\n${base}\r\n`, 400, "REQUEST_INVALID"],
    [
      "with an unknown transfer-encoding",
      `${post}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`,
      400,
      "REQUEST_INVALID",
    ],
    [
      "with chunked twice",
      `${post}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
      "REQUEST_INVALID",
    ],
    [
      "with chunked not last",
      `${post}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n${smuggled}`,
      400,
      "REQUEST_INVALID",
    ],
    [
      "with another coding before chunked",
      `${post}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n${smuggled}`,
      400,
      "REQUEST_INVALID",
    ],
    [
      "with a form feed around chunked",
      `${post}transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n${smuggled}`,
      400,
      "REQUEST_INVALID",
    ],
    ["without a host", "GET /echo/x HTTP/1.1\r\n\r\n", 400, "REQUEST_INVALID"],
    ["with two hosts", `GET /echo/x HTTP/1.1\r\n${base}host: other\r\n\r\n`, 400, "REQUEST_INVALID"],
    ["with two aloft-app headers", `GET /echo/x HTTP/1.1\r\n${base}aloft-app: second\r\n\r\n`, 400, "REQUEST_INVALID"],
    ["with an unknown method", `FETCH / HTTP/1.1\r\n${base}\r\n`, 400, "REQUEST_INVALID"],
    [
      "with an unknown expectation",
      `${post}expect: miracles\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
      417,
      "",
    ],
    [
      "with a dot segment",
      `GET /echo/../only-post HTTP/1.1\r\n${base}connection: close\r\n\r\n`,
      400,
      "REQUEST_INVALID",
    ],
    [
      "with an encoded dot segment",
      `GET /echo/%2e%2E/only-post HTTP/1.1\r\n${base}connection: close\r\n\r\n`,
      400,
      "REQUEST_INVALID",
    ],
    [
      "with broken percent-encoding",
      `GET /echo/%zz HTTP/1.1\r\n${base}connection: close\r\n\r\n`,
      400,
      "REQUEST_INVALID",
    ],
    [
      "for another protocol's URL",
      `GET ftp://x/echo HTTP/1.1\r\n${base}connection: close\r\n\r\n`,
      400,
      "REQUEST_INVALID",
    ],
    ["with a body over the limit", `${post}content-length: 999999999999\r\n\r\nx`, 413, "BODY_TOO_LARGE"],
  ] as const;
  for (const [name, bytes, status, code] of cases) {
    test(name, async () => {
      const text = await answerTo(bytes);
      assert.equal(statusOf(text), status, JSON.stringify(text.slice(0, 300)));
      // One answer: what was hidden behind the request was not taken for a second one.
      assert.equal(text.match(/HTTP\/1\.1 \d{3}/g)?.length, 1);
      if (code !== "") {
        const problem = problemIn(text);
        assert.equal(problem.code, code);
        assert.equal(problem.status, status);
        assert.equal(problem.type, `urn:aloft:error:${code}`);
        assert.ok(problem.title.length > 0 && problem.detail.length > 0);
      }
    });
  }
  const chunks = [
    ["chunk size is not a number", "zz\r\nhello\r\n0\r\n\r\n"],
    ["chunk size is signed", "-5\r\nhello\r\n0\r\n\r\n"],
    ["chunk size is written as 0x5", "0x5\r\nhello\r\n0\r\n\r\n"],
    ["chunk size overflows", "10000000000000005\r\nhello\r\n0\r\n\r\n"],
    ["chunk is longer than its size", "5\r\nhello!!\r\n0\r\n\r\n"],
    ["chunk ends in a bare line feed", "5\nhello\n0\n\n"],
    ["chunk size has a trailing space", "5 \r\nhello\r\n0\r\n\r\n"],
  ] as const;
  for (const [name, body] of chunks) {
    test(`whose ${name}`, async () => {
      const text = await answerTo(`${post}transfer-encoding: chunked\r\n\r\n${body}${smuggled}`);
      // The head was good, so the handler may have begun; its answer is an error or none, and nothing follows.
      assert.ok([0, 400, 499, 500].includes(statusOf(text)), JSON.stringify(text.slice(0, 300)));
      assert.doesNotMatch(text, /smuggled/);
    });
  }
  test("and the function was reached by none of them", async () => {
    await stillServes();
    const records = await server.client.listInvocations("echo", { limit: 1000 });
    assert.ok(!records.some((record) => record.subject.includes("smuggled")));
  });
});

describe("a slow client is cut,", { concurrency: 3 }, () => {
  test("whose head never ends is answered 408 and cut", async () => {
    const client = await open();
    client.send(`GET / HTTP/1.1\r\n${base}x-slow: `);
    const dripping = setInterval(() => client.send("a"), 1000);
    const text = await client.ended();
    clearInterval(dripping);
    assert.equal(statusOf(text), 408);
    assert.equal(problemIn(text).code, "REQUEST_TIMEOUT");
  });

  test("whose small body comes byte by byte is answered 408 at the function's timeout, without an instance", async () => {
    const client = await open();
    client.send(`POST / HTTP/1.1\r\nhost: localhost\r\naloft-app: brief\r\ncontent-length: 1000\r\n\r\n`);
    const dripping = setInterval(() => client.send("a"), 50);
    const text = await client.ended();
    clearInterval(dripping);
    assert.equal(statusOf(text), 408);
    assert.match(problemIn(text).detail, /of 1000 body bytes arrived/);
  });

  test("whose streamed body comes byte by byte is cut at the function's timeout", async () => {
    const client = await open();
    client.send(`POST / HTTP/1.1\r\nhost: localhost\r\naloft-app: brief\r\ntransfer-encoding: chunked\r\n\r\n`);
    const dripping = setInterval(() => client.send("1\r\na\r\n"), 50);
    const text = await client.ended();
    clearInterval(dripping);
    assert.equal(statusOf(text), 504);
    assert.equal(problemIn(text).code, "FUNCTION_TIMEOUT");
  });
});

test("half a request and the end of the connection leave nothing behind", async () => {
  for (const half of [
    "GET /echo/half HTT",
    `GET /echo/half HTTP/1.1\r\n${base}`,
    `POST /echo/half HTTP/1.1\r\n${base}content-length: 10\r\n\r\nhalf`,
    `POST /echo/half HTTP/1.1\r\n${base}transfer-encoding: chunked\r\n\r\n5\r\nha`,
  ]) {
    const client = await open();
    client.send(half);
    client.socket.end();
    await client.ended();
  }
  await until("that nothing runs or waits", async () => {
    const group = (await server.client.status()).groups.find((one) => one.app === "echo");
    return group !== undefined && group.inFlight === 0 && group.waiting === 0;
  });
  await stillServes();
});

test("pipelined requests are answered in their order", async () => {
  const client = await open();
  client.get("/slowly/60", "echo");
  client.get("/slowly/30", "echo");
  client.get("/echo/last", "echo");
  client.get("/nowhere", "echo");
  client.get("/slowly/1", "echo", "connection: close\r\n");
  const text = await client.ended();
  const order = [...text.matchAll(/after 60|after 30|echo\/last"|ROUTE_NOT_FOUND|after 1$/g)].map(([found]) => found);
  assert.deepEqual([...new Set(order)], ["after 60", "after 30", 'echo/last"', "ROUTE_NOT_FOUND", "after 1"]);
});

describe("a client that goes away reaches the handler", { concurrency: 8 }, () => {
  test("that works on its request", async () => {
    const client = await open();
    client.get("/aborted/gone-working", "echo");
    await logLine(/gone-working began/);
    client.close();
    await logLine(/gone-working saw AbortError/);
    const record = await recordWhere("the abort", (one) => one.subject === "GET /aborted/gone-working");
    assert.deepEqual([record.outcome, record.errorCode], ["cancelled", "INVOCATION_CANCELLED"]);
  });

  test("whose answers wait behind another in the pipeline", async () => {
    const client = await open();
    client.get("/aborted/gone-first", "echo");
    client.get("/aborted/gone-second", "echo");
    await logLine(/gone-first began/);
    await logLine(/gone-second began/);
    client.close();
    await logLine(/gone-first saw AbortError/);
    await logLine(/gone-second saw AbortError/);
  });

  test("that reads its upload", async () => {
    const client = await open();
    client.send(`POST /upload/gone-sending HTTP/1.1\r\n${base}content-length: 1000000\r\n\r\n${"x".repeat(1000)}`);
    await logLine(/gone-sending has 1000/);
    client.close();
    await logLine(/gone-sending failed with AbortError/);
  });

  test("that streams to it", async () => {
    const client = await open();
    client.get("/stream/gone-reading", "echo");
    await client.received(/more/);
    client.close();
    await logLine(/gone-reading was cancelled/);
    await recordWhere("the abort", (one) => one.subject === "GET /stream/gone-reading" && one.outcome === "cancelled");
  });
});

test("an upload that pauses is passed on piece by piece as it comes", async () => {
  const client = await open();
  client.send(`POST /upload/in-pieces HTTP/1.1\r\n${base}transfer-encoding: chunked\r\n\r\n`);
  for (let piece = 1; piece <= 3; piece += 1) {
    client.send(`3e8\r\n${"x".repeat(1000)}\r\n`);
    await logLine(new RegExp(`in-pieces has ${piece}000$`));
  }
  client.send("0\r\n\r\n");
  await client.received(/\r\n\r\n3000$/);
  client.close();
});

test("an upload over the limit is answered 413, and its connection does not stay open unread", async () => {
  const client = await open();
  client.send(`POST /echo/x HTTP/1.1\r\n${base}transfer-encoding: chunked\r\n\r\n`);
  const chunk = `10000\r\n${"x".repeat(65_536)}\r\n`;
  for (let sent = 0; sent < 100; sent += 1) client.send(chunk);
  const text = await client.ended();
  assert.equal(statusOf(text), 413);
  assert.equal(problemIn(text).code, "BODY_TOO_LARGE");
});

test("an upload that the handler leaves unread does not hold up the connection", async () => {
  const client = await open();
  const bytes = 1_500_000;
  client.send(`POST /unread HTTP/1.1\r\n${base}content-length: ${bytes}\r\n\r\n${"x".repeat(1000)}`);
  await client.received(/not read/);
  client.send("x".repeat(bytes - 1000));
  client.get("/echo/next", "echo");
  await client.received(/echo\/next"/);
  client.close();
});

test("server-sent events arrive one by one, as they are sent", async () => {
  const client = await open();
  client.get("/events", "echo");
  await client.received(/content-type: text\/event-stream/);
  for (let number = 0; number < 4; number += 1) {
    await client.received(new RegExp(`data: ${number}\n\n`));
    assert.doesNotMatch(client.text, new RegExp(`data: ${number + 1}`));
    await server.fetch("echo", "/push");
  }
  client.close();
});

describe("methods", () => {
  test("HEAD is answered with the head of GET and no body", async () => {
    const text = await answerTo(`HEAD /echo/x HTTP/1.1\r\n${base}connection: close\r\n\r\n`);
    assert.equal(statusOf(text), 200);
    const { head, body } = split(text);
    assert.match(head, /content-length: [1-9]\d*\r\n/);
    assert.equal(body, "");
    const missing = await answerTo(`HEAD /nowhere HTTP/1.1\r\n${base}connection: close\r\n\r\n`);
    assert.equal(statusOf(missing), 404);
    assert.equal(split(missing).body, "");
  });

  test("OPTIONS that no function answers says what is allowed", async () => {
    const text = await answerTo(`OPTIONS /only-post HTTP/1.1\r\n${base}connection: close\r\n\r\n`);
    assert.equal(statusOf(text), 204);
    assert.match(text, /allow: [^\r]*POST/i);
  });

  test("a method that a path does not have is 405 with Allow", async () => {
    const text = await answerTo(`GET /only-post HTTP/1.1\r\n${base}connection: close\r\n\r\n`);
    assert.equal(statusOf(text), 405);
    assert.match(text, /\r\nallow: [^\r]*POST/i);
    assert.equal(problemIn(text).code, "METHOD_NOT_ALLOWED");
  });

  test("CONNECT and TRACE reach no function", async () => {
    const connect = await answerTo(`CONNECT example.com:443 HTTP/1.1\r\n${base}\r\n`);
    assert.ok(![200, 101].includes(statusOf(connect)), connect);
    const trace = await answerTo(`TRACE /only-post HTTP/1.1\r\n${base}connection: close\r\n\r\n`);
    assert.equal(statusOf(trace), 405);
  });
});

test("Expect: 100-continue is answered before the body is sent", async () => {
  const client = await open();
  client.send(`POST /echo/x HTTP/1.1\r\n${base}content-length: 5\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n`);
  await client.received(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
  client.send("hello");
  assert.match(await client.ended(), /HTTP\/1\.1 200 OK.*"body":"hello"/s);
});

test("an upgrade that nobody offers is answered as the plain request it also is", async () => {
  const headers =
    "connection: upgrade, close\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n";
  const text = await answerTo(`GET /echo/x HTTP/1.1\r\n${base}${headers}\r\n`);
  assert.equal(statusOf(text), 200, text);
  assert.doesNotMatch(split(text).body, /"upgrade"/);
});

test("a client of HTTP/1.0 gets an answer without chunks and the end of the connection", async () => {
  const plain = await answerTo("GET /echo/x HTTP/1.0\r\nhost: localhost\r\naloft-app: echo\r\n\r\n");
  assert.equal(statusOf(plain), 200);
  const client = await open();
  client.send("GET /stream/old HTTP/1.0\r\nhost: localhost\r\naloft-app: echo\r\n\r\n");
  await client.received(/\r\n\r\nmore more /);
  assert.doesNotMatch(client.text, /transfer-encoding/i);
  client.close();
});

describe("which app answers", () => {
  const cases = [
    ["the header counts with localhost", "localhost", "second", /the second app/],
    ["the header counts with an address", "127.0.0.1:1234", "second", /the second app/],
    ["the header counts with the base domain itself", "apps.test", "second", /the second app/],
    ["the header does not count with an app's own host", "first.apps.test", "second", /the first app/],
    ["the header does not count with a foreign host", "www.example.com", "second", /APP_NOT_FOUND/],
    [
      "an absolute form's host counts instead of Host",
      "first.apps.test",
      "",
      /the second app/,
      "http://second.apps.test/x",
    ],
    ["an unknown app of the base domain is not found", "nobody.apps.test", "", /APP_NOT_FOUND/],
    ["an app named by the header that is not there is not found", "localhost", "nobody", /APP_NOT_FOUND/],
    ["a bare host goes to the first app", "localhost", "", /the first app/],
  ] as const;
  test("in serve", async (t) => {
    const strict = await startTestServer(t, { mode: "serve", settings: { baseDomain: "apps.test" } });
    await strict.deployFiles("first", { "index.ts": `export default { fetch: () => new Response("the first app") };` });
    await strict.deployFiles("second", {
      "index.ts": `export default { fetch: () => new Response("the second app") };`,
    });
    for (const [name, host, app, says, target = "/x"] of cases) {
      await t.test(name, async () => {
        const header = app === "" ? "" : `aloft-app: ${app}\r\n`;
        const bytes = `GET ${target} HTTP/1.1\r\nhost: ${host}\r\n${header}connection: close\r\n\r\n`;
        assert.match(await answerTo(bytes, strict.http), says);
      });
    }
  });

  test("in dev, no app for a host that is not this machine", async () => {
    const text = await answerTo("GET /echo/x HTTP/1.1\r\nhost: rebound.example.com\r\naloft-app: echo\r\n\r\n");
    assert.equal(statusOf(text), 400);
    assert.doesNotMatch(text, /"method"/);
  });
});

test("what only the platform may say never comes from a client", async () => {
  const headers =
    "aloft-invocation: 1\r\nx-forwarded-for: 6.6.6.6\r\nx-forwarded-proto: https\r\nconnection: close, x-secret\r\nx-secret: 1\r\n";
  const { body } = split(await answerTo(`GET /echo/x HTTP/1.1\r\n${base}${headers}\r\n`));
  const seen = (JSON.parse(body) as { headers: Record<string, string> }).headers;
  assert.equal(seen["aloft-invocation"], undefined);
  assert.equal(seen["aloft-app"], undefined);
  assert.equal(seen["x-secret"], undefined);
  assert.equal(seen["x-forwarded-for"], "127.0.0.1");
  assert.equal(seen["x-forwarded-proto"], "http");
});

test("problem documents are JSON of RFC 9457 with the request's id", async () => {
  const response = await server.fetch("echo", "/nowhere");
  assert.equal(response.status, 404);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.match(response.headers.get("x-request-id") ?? "", /^[0-9a-f]{32}$/);
  const problem = (await response.json()) as Problem;
  assert.equal(problem.type, "urn:aloft:error:ROUTE_NOT_FOUND");
  assert.equal(problem.status, 404);
  assert.equal(problem.code, "ROUTE_NOT_FOUND");
  assert.match(problem.detail, /GET \/nowhere/);
  // In dev it lists what there is.
  assert.match(JSON.stringify(problem["routes"]), /only-post/);
});
