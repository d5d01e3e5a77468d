/** Handlers that go wrong in every way there is: their own callers hear of it, and nobody else notices. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { get, type IncomingMessage, request } from "node:http";
import { after, before, describe, test } from "node:test";
import type { Problem } from "../../src/contract/errors.ts";
import type { InvocationRecord } from "../../src/contract/observing.ts";
import { RawClient } from "../kit/raw-client.ts";
import { startTestServer } from "../kit/server.ts";
import { hasEnded, until } from "../kit/until.ts";

const GiB = 1024 ** 3;
const MiB = 1024 ** 2;
const server = await startTestServer({ after }, { settings: { maxBodyBytes: 2 * GiB, zygotes: 2 } });

before(async () => {
  await server.deployFiles("neighbour", {
    "index.ts": `export default { fetch: () => Response.json(process.pid) };`,
  });
});

/** Another app answers, from the same process as ever. */
let neighbourPid = 0;
async function neighbourNoticedNothing(): Promise<void> {
  const response = await server.fetch("neighbour", "/");
  assert.equal(response.status, 200);
  const pid = (await response.json()) as number;
  if (neighbourPid !== 0) assert.equal(pid, neighbourPid);
  neighbourPid = pid;
}

/** Deploys one function under one route, with a way to ask which process it runs in. */
async function deployHandler(app: string, options: string, body: string, top = ""): Promise<void> {
  await server.deployFiles(app, {
    "index.ts": `import { http } from "aloft";
${top}
export const faulty = http("/*", ${options}, async (request, ctx) => {
  if (request.url.endsWith("/pid")) return Response.json(process.pid);
${body}
});`,
  });
}

async function pidOf(app: string): Promise<number> {
  const response = await server.fetch(app, "/pid");
  assert.equal(response.status, 200, await response.clone().text());
  return (await response.json()) as number;
}

async function problemOf(response: Response): Promise<Problem> {
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  const problem = (await response.json()) as Problem;
  assert.equal(problem.status, response.status);
  return problem;
}

function recordWhere(
  app: string,
  what: string,
  passes: (record: InvocationRecord) => boolean,
): Promise<InvocationRecord> {
  return until(`a record of ${app}: ${what}`, async () => {
    return (await server.client.listInvocations(app, { limit: 100 })).find(passes);
  });
}

function logLine(app: string, pattern: RegExp): Promise<{ readonly invocation: string; readonly message: string }> {
  return until(`a line of ${app} like ${pattern}`, async () => {
    return (await server.client.listLogs(app, { limit: 10_000 })).find((line) => pattern.test(line.message));
  });
}

describe("a handler's failure is an answer of its own, for one that", { concurrency: 4 }, () => {
  const cases = [
    ["throws", "throw new TypeError('no such thing');", 500, "FUNCTION_THREW", /TypeError: no such thing/],
    ["rejects", "await null; return Promise.reject(new Error('later'));", 500, "FUNCTION_THREW", /Error: later/],
    ["throws a text", "throw 'just words';", 500, "FUNCTION_THREW", /just words/],
    ["throws nothing", "throw undefined;", 500, "FUNCTION_THREW", /undefined/],
    [
      "throws what cannot be read",
      "throw Object.defineProperty(new Error('x'), 'message', { get() { throw new Error('nested'); } });",
      500,
      "FUNCTION_THREW",
      /./,
    ],
    [
      "throws a proxy that throws",
      "throw new Proxy({}, { get() { throw new Error('trap'); } });",
      500,
      "FUNCTION_THREW",
      /./,
    ],
    ["returns nothing", "return undefined as never;", 502, "FUNCTION_BAD_RESPONSE", /undefined/],
    ["returns a text", "return 'hello' as never;", 502, "FUNCTION_BAD_RESPONSE", /"hello"/],
    ["returns an error response", "return Response.error();", 502, "FUNCTION_BAD_RESPONSE", /Response\.error/],
    [
      "returns a body that was read",
      "const answer = new Response('x'); await answer.text(); return answer;",
      502,
      "FUNCTION_BAD_RESPONSE",
      /already read/,
    ],
    ["answers with status 99", "return new Response('x', { status: 99 });", 500, "FUNCTION_THREW", /RangeError/],
    [
      "answers with a broken header",
      "return new Response('x', { headers: { 'x-a': 'b\\r\\nset-cookie: c' } });",
      500,
      "FUNCTION_THREW",
      /x-a|header/i,
    ],
    [
      "answers with a control character",
      "return new Response('x', { headers: { 'x-a': 'b\\u0001' } });",
      502,
      "FUNCTION_BAD_RESPONSE",
      /x-a/,
    ],
    [
      "answers with 100 KiB of headers",
      "return new Response('x', { headers: { 'x-a': 'b'.repeat(100_000) } });",
      502,
      "FUNCTION_BAD_RESPONSE",
      /headers/,
    ],
    ["calls process.exit", "process.exit(3);", 502, "FUNCTION_CRASHED", /process\.exit\(3\)/],
    [
      "kills its process",
      "process.kill(process.pid, 'SIGKILL'); return await new Promise(() => {});",
      502,
      "FUNCTION_CRASHED",
      /SIGKILL/,
    ],
    ["aborts its process", "process.abort();", 502, "FUNCTION_CRASHED", /SIGABRT/],
    [
      "writes garbage to the platform's socket",
      "writeSync(3, Buffer.alloc(1000, 0xff)); return await new Promise(() => {});",
      502,
      "WIRE_VIOLATION",
      /platform's socket/,
    ],
    [
      "answers in another's name",
      "writeSync(3, frame(7, 1, 9999, Buffer.from([200, 0, 0, 0, 0, 0]))); return await new Promise(() => {});",
      502,
      "WIRE_VIOLATION",
      /stream 9999 is not open/,
    ],
    [
      "says twice that it is ready",
      "writeSync(3, frame(3, 0, 0, Buffer.from('{}'))); return await new Promise(() => {});",
      502,
      "WIRE_VIOLATION",
      /ready/,
    ],
    [
      "gives credit it does not have",
      "writeSync(3, frame(15, 0, 1, Buffer.from([0, 0, 0, 255]))); return await new Promise(() => {});",
      502,
      "WIRE_VIOLATION",
      /credit/,
    ],
    [
      "makes more calls than are allowed",
      'for (let n = 0; n < 300; n++) writeAll(frame(11, 0, 1, Buffer.concat([Buffer.alloc(4), Buffer.from(\'{"op":"invoke","function":"hangs"}\')]))); return await new Promise(() => {});',
      502,
      "WIRE_VIOLATION",
      /256 calls/,
    ],
    [
      "closes the platform's socket",
      "closeSync(3); return await new Promise(() => {});",
      502,
      "WIRE_VIOLATION",
      /closed/,
    ],
  ] as const;
  const top = `import { closeSync, writeSync } from "node:fs";
export const hangs = http("/hangs", () => new Promise<never>(() => {}));
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt32LE(payload.length, 0);
  head[4] = type;
  head[5] = flags;
  head.writeUInt32LE(stream, 8);
  return Buffer.concat([head, payload]);
}
function writeAll(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(3, bytes, at);
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
    }
  }
}
void [closeSync, writeSync, frame, writeAll];`;
  for (const [number, [name, body, status, code, says]] of cases.entries()) {
    test(name, async () => {
      const app = `fails-${number}`;
      await deployHandler(app, "{}", body, top);
      const response = await server.fetch(app, "/");
      const problem = await problemOf(response);
      assert.deepEqual([problem.code, response.status], [code, status], problem.detail);
      assert.match(problem.detail, says);
      const id = response.headers.get("x-request-id");
      const record = await recordWhere(app, "the failure", (one) => one.id === id);
      assert.deepEqual([record.status, record.outcome, record.errorCode], [status, "error", code]);
      // What comes next finds the function alive.
      await pidOf(app);
      await neighbourNoticedNothing();
    });
  }
});

test("a thrown error shows the user's own file and line", async () => {
  await server.deployFiles("places", {
    "index.ts": `import { fail } from "./lib/fail.ts";\nexport default { fetch: () => fail() };`,
    "lib/fail.ts": `export function fail(): never {\n  const why = "here";\n  throw new Error(why);\n}`,
  });
  const problem = await problemOf(await server.fetch("places", "/"));
  assert.match(String(problem["stack"]), /lib\/fail\.ts:3:\d+.*index\.ts:2:\d+/s);
  const line = await logLine("places", /lib\/fail\.ts:3/);
  assert.match(line.invocation, /^[0-9a-f]{32}$/);
});

test("a rejection after the answer is logged and harms nobody", async () => {
  await deployHandler(
    "afterwards",
    "{}",
    `setTimeout(() => Promise.reject(new Error("too late to matter")), 1); return new Response("ok");`,
  );
  const pid = await pidOf("afterwards");
  assert.equal(await (await server.fetch("afterwards", "/")).text(), "ok");
  await logLine("afterwards", /too late to matter/);
  assert.equal(await pidOf("afterwards"), pid);
});

test("a handler that never answers is aborted at its timeout, and its instance serves on", async () => {
  await deployHandler(
    "hangs",
    `{ timeout: "300ms" }`,
    `return new Promise<Response>((_, reject) => ctx.signal.addEventListener("abort", () => {
      console.log("aborted by", ctx.signal.reason.name);
      reject(ctx.signal.reason);
    }));`,
  );
  const pid = await pidOf("hangs");
  const response = await server.fetch("hangs", "/");
  assert.equal(response.status, 504);
  assert.equal((await problemOf(response)).code, "FUNCTION_TIMEOUT");
  await logLine("hangs", /aborted by TimeoutError/);
  assert.equal((await recordWhere("hangs", "the timeout", (one) => one.status === 504)).outcome, "timeout");
  assert.equal(await pidOf("hangs"), pid);
});

test("a handler that ignores its abort costs its instance, and never a back-off", async () => {
  await deployHandler("ignores", `{ timeout: "300ms" }`, `return await new Promise<Response>(() => {});`);
  const pid = await pidOf("ignores");
  for (let round = 0; round < 3; round += 1) assert.equal((await server.fetch("ignores", "/")).status, 504);
  await until("the end of the stuck instance", () => hasEnded(pid));
  assert.notEqual(await pidOf("ignores"), pid);
});

test("a blocked event loop gets no new work and is ended after its deadline", async () => {
  await deployHandler("blocks", `{ timeout: "2s" }`, `for (;;);`);
  const pid = await pidOf("blocks");
  let isAnswered = false;
  const blocked = server.fetch("blocks", "/").then((response) => {
    isAnswered = true;
    return response;
  });
  await until("that the instance counts as blocked", async () => {
    const group = (await server.client.status()).groups.find((one) => one.app === "blocks");
    return group !== undefined && group.inFlight === 1 && group.ready < group.instances;
  });
  const other = await pidOf("blocks");
  assert.notEqual(other, pid);
  assert.equal(isAnswered, false);
  await neighbourNoticedNothing();
  const response = await blocked;
  assert.equal((await problemOf(response)).code, "FUNCTION_TIMEOUT");
  assert.equal((await recordWhere("blocks", "the timeout", (one) => one.status === 504)).outcome, "timeout");
  await until("the end of the blocked instance", () => hasEnded(pid));
  assert.equal(await pidOf("blocks"), other);
});

describe("a handler that eats memory loses its instance with a clear error", { concurrency: 3 }, () => {
  const cases = [
    ["on V8's heap", "const all: unknown[] = []; for (;;) all.push(new Array(1000).fill(all.length));"],
    [
      "on V8's heap, a little at a time",
      "const all: unknown[] = []; for (;;) { for (let n = 0; n < 100; n++) all.push(new Array(1000).fill(n)); await new Promise(setImmediate); }",
    ],
    [
      "beside the heap",
      "const all: unknown[] = []; for (;;) { all.push(Buffer.alloc(8 << 20, 1)); await new Promise((resolve) => setTimeout(resolve, 5)); }",
    ],
  ] as const;
  for (const [number, [name, body]] of cases.entries()) {
    test(name, async () => {
      await deployHandler(`eats-${number}`, `{ memory: "96MiB" }`, body);
      const response = await server.fetch(`eats-${number}`, "/");
      const problem = await problemOf(response);
      assert.equal(problem.code, "FUNCTION_OUT_OF_MEMORY");
      assert.equal(response.status, 502);
      assert.match(problem.detail, /96 MiB/);
      await pidOf(`eats-${number}`);
      await neighbourNoticedNothing();
    });
  }
  test("after its answer", async () => {
    const body = `setInterval(() => all.push(Buffer.alloc(8 << 20, 1)), 5); return new Response("ok");`;
    await deployHandler("eats-later", `{ memory: "96MiB" }`, body, "const all: unknown[] = [];");
    const pid = await pidOf("eats-later");
    assert.equal(await (await server.fetch("eats-later", "/")).text(), "ok");
    await until("the end of the greedy instance", () => hasEnded(pid));
    await logLine("eats-later", /more than its 96 MiB/);
  });
});

describe("output without end is bounded", { concurrency: 2 }, () => {
  const cases = [
    [
      "through console",
      `for (;;) { for (let n = 0; n < 1000; n++) console.log("line", n); await new Promise(setImmediate); }`,
      true,
    ],
    [
      "through process.stdout, without a newline",
      `for (;;) { process.stdout.write("x".repeat(65536)); await new Promise(setImmediate); }`,
      false,
    ],
    [
      "through descriptor 1, without a newline",
      `for (;;) { try { writeSync(1, "x".repeat(65536)); } catch {} await new Promise(setImmediate); }`,
      false,
    ],
    [
      "through descriptor 2",
      `for (;;) { try { writeSync(2, "short\\n".repeat(10000)); } catch {} await new Promise(setImmediate); }`,
      true,
    ],
  ] as const;
  for (const [number, [name, body, isManyLines]] of cases.entries()) {
    test(name, async () => {
      const app = `prints-${number}`;
      await deployHandler(app, `{ timeout: "1500ms" }`, body, `import { writeSync } from "node:fs";\nvoid writeSync;`);
      const peak = watchRss();
      assert.equal((await server.fetch(app, "/")).status, 504);
      const grownBytes = peak.stop();
      assert.ok(grownBytes < 256 * MiB, `the server grew by ${Math.round(grownBytes / MiB)} MiB`);
      if (isManyLines) await logLine(app, /log lines were dropped/);
      else await logLine(app, /^x+$/);
      const lines = await server.client.listLogs(app, { limit: 10_000 });
      assert.ok(lines.every((line) => line.message.length <= 32 * 1024));
      await neighbourNoticedNothing();
    });
  }
});

test("an instance that asks on and on and reads no answer does not fill the server's memory", async () => {
  await deployHandler(
    "asks",
    `{ timeout: "3s" }`,
    `const sleep = new Int32Array(new SharedArrayBuffer(4));
     const call = Buffer.concat([Buffer.alloc(4), Buffer.from('{"op":"invoke","function":"big"}')]);
     const head = Buffer.alloc(12);
     head.writeUInt32LE(call.length, 0);
     head[4] = 11;
     head.writeUInt32LE(0, 8);
     // Never back to the event loop, so nothing is read.
     for (;;) {
       try { writeSync(3, Buffer.concat([head, call])); } catch {}
       Atomics.wait(sleep, 0, 0, 4);
     }`,
    `import { fn } from "aloft";
     import { writeSync } from "node:fs";
     export const big = fn(() => "x".repeat(1_000_000));`,
  );
  const peak = watchRss();
  // Ended by its timeout, or because more calls were open than may be.
  const { status } = await server.fetch("asks", "/");
  assert.ok(status === 504 || status === 502, `status ${status}`);
  const grownBytes = peak.stop();
  // 256 calls may be open, each with an answer of a megabyte.
  assert.ok(grownBytes < 640 * MiB, `the server grew by ${Math.round(grownBytes / MiB)} MiB`);
  await neighbourNoticedNothing();
});

describe("a body of 1 GiB passes in constant memory", { concurrency: 3 }, () => {
  test("as an answer", async () => {
    await deployHandler(
      "gives-much",
      "{}",
      `const chunk = new Uint8Array(65536);
       let left = ${GiB / 65536};
       return new Response(new ReadableStream({
         pull(controller) { if (left-- > 0) controller.enqueue(chunk.slice()); else controller.close(); },
       }));`,
    );
    const peak = watchRss();
    const response = await httpGet("gives-much", "/");
    assert.equal(response.statusCode, 200);
    let bytes = 0;
    for await (const chunk of response) bytes += (chunk as Buffer).length;
    assert.equal(bytes, GiB);
    assertConstant(peak.stop());
  });

  test("as an upload", async () => {
    await deployHandler(
      "takes-much",
      // Longer than it takes even where many tests run at once.
      `{ timeout: "10m" }`,
      `let bytes = 0;
       for await (const chunk of request.body!) bytes += chunk.length;
       return Response.json(bytes);`,
    );
    const peak = watchRss();
    const sending = request(`${server.http}/`, { method: "POST", headers: { "aloft-app": "takes-much" } });
    const answered = once(sending, "response") as Promise<[IncomingMessage]>;
    const chunk = Buffer.alloc(256 * 1024);
    for (let sent = 0; sent < GiB; sent += chunk.length) if (!sending.write(chunk)) await once(sending, "drain");
    sending.end();
    const [response] = await answered;
    assert.equal(await textOf(response), String(GiB));
    assertConstant(peak.stop());
  });

  test("as an answer that nobody reads", async () => {
    await deployHandler(
      "stalls",
      "{}",
      `const chunk = new Uint8Array(65536);
       return new Response(new ReadableStream({
         pull(controller) { sent += chunk.length; controller.enqueue(chunk.slice()); },
         cancel() { console.log("cancelled after", sent); },
       }));`,
      `let sent = 0;
       export const sentSoFar = http("/sent", () => Response.json(sent));`,
    );
    const client = await RawClient.open(server.http);
    client.get("/", "stalls");
    await client.received(/200 OK/);
    client.socket.pause();
    // It has stalled when it stands still between two looks that are further apart than any hiccup.
    const sent = async () => Number(await (await server.fetch("stalls", "/sent")).text());
    let before = -1;
    const stalledAt = await until("that the stream stands still", async () => {
      const now = await sent();
      if (now === before) return now;
      before = now;
      await new Promise((resolve) => setTimeout(resolve, 250));
      return null;
    });
    assert.ok(stalledAt < 32 * MiB, `${stalledAt} bytes were sent to nobody`);
    client.close();
    await logLine("stalls", /cancelled after/);
  });
});

describe(
  "an answer that is not what it says is cut, never ended cleanly, for a stream that",
  { concurrency: 4 },
  () => {
    const cases = [
      [
        "fails midway",
        "",
        `controller.enqueue(bytes("first")); await later(); controller.error(new Error("midway"));`,
        "FUNCTION_THREW",
      ],
      [
        "yields what are no bytes",
        "",
        `controller.enqueue(bytes("first")); await later(); controller.enqueue("text");`,
        "FUNCTION_THREW",
      ],
      [
        "is shorter than its content-length",
        `"content-length": "20"`,
        `controller.enqueue(bytes("first")); await later(); controller.close();`,
        "FUNCTION_BAD_RESPONSE",
      ],
      [
        "is longer than its content-length",
        `"content-length": "5"`,
        `controller.enqueue(bytes("first")); await later(); controller.enqueue(bytes("HTTP/1.1 200 OK\\r\\ncontent-length: 3\\r\\n\\r\\nbad")); controller.close();`,
        "FUNCTION_BAD_RESPONSE",
      ],
      ["dies midway", "", `controller.enqueue(bytes("first")); await later(); process.exit(1);`, "FUNCTION_CRASHED"],
    ] as const;
    for (const [number, [name, headers, steps, code]] of cases.entries()) {
      test(name, async () => {
        const app = `cut-${number}`;
        await deployHandler(
          app,
          "{}",
          `return new Response(new ReadableStream({ async start(controller) { ${steps} } }), { headers: { ${headers} } });`,
          `const bytes = (text: string) => new TextEncoder().encode(text);
         const later = () => new Promise((resolve) => setTimeout(resolve, 20));`,
        );
        const client = await RawClient.open(server.http);
        client.get("/", app);
        client.get("/pid", app);
        const text = await client.ended();
        assert.match(text, /^HTTP\/1\.1 200 OK/);
        assert.match(text, /first/);
        // Neither the end of a chunked body nor another answer: whoever reads this knows that it was cut.
        assert.doesNotMatch(text, /\r\n0\r\n\r\n/);
        assert.equal(text.match(/HTTP\/1\.1/g)?.length, 1, text);
        const record = await recordWhere(app, "the cut", (one) => one.errorCode === code);
        assert.equal(record.outcome, "error");
        await neighbourNoticedNothing();
      });
    }
  },
);

test("a cut answer is a reset for a client of HTTP/1.0, to which the end of the connection is the end of the body", async () => {
  await deployHandler(
    "cut-old",
    "{}",
    `return new Response(new ReadableStream({ async start(controller) {
       controller.enqueue(new TextEncoder().encode("first"));
       await new Promise((resolve) => setTimeout(resolve, 50));
       controller.error(new Error("midway"));
     } }));`,
  );
  const client = await RawClient.open(server.http);
  const failed = once(client.socket, "error") as Promise<[NodeJS.ErrnoException]>;
  client.send("GET / HTTP/1.0\r\nhost: localhost\r\naloft-app: cut-old\r\n\r\n");
  assert.equal((await failed)[0].code, "ECONNRESET");
});

test("an exception that nobody catches fails its own invocation; others of the instance finish, then it is replaced", async () => {
  await server.deployFiles("uncaught", {
    "index.ts": `import { http } from "aloft";
      let release: () => void;
      const released = new Promise<void>((resolve) => { release = resolve; });
      export const slow = http("/slow", async () => { await released; return Response.json(process.pid); });
      export const free = http("/release", () => { release(); return new Response("released"); });
      export const throws = http("/throws", () => new Promise<never>(() => {
        setTimeout(() => { throw new Error("out of a timer"); }, 1);
        // Not the next request but this very process lets the other go on.
        setTimeout(() => release(), 200);
      }));
      export const pid = http("/pid", () => Response.json(process.pid));`,
  });
  const pid = await pidOf("uncaught");
  const slow = server.fetch("uncaught", "/slow");
  await until("that the slow one runs", async () => {
    return (await server.client.status()).groups.some((one) => one.app === "uncaught" && one.inFlight === 1);
  });
  const problem = await problemOf(await server.fetch("uncaught", "/throws"));
  assert.equal(problem.code, "FUNCTION_CRASHED");
  assert.match(problem.detail, /out of a timer/);
  const next = await pidOf("uncaught");
  assert.notEqual(next, pid);
  const finished = await slow;
  assert.equal(finished.status, 200, await finished.clone().text());
  assert.equal(await finished.json(), pid);
  await until("the end of the broken instance", () => hasEnded(pid));
  await logLine("uncaught", /out of a timer/);
});

test("a rejection that nobody awaits fails its own invocation alone", async () => {
  await server.deployFiles("unawaited", {
    "index.ts": `import { http } from "aloft";
      let release = () => {};
      export const slow = http("/slow", async () => {
        await new Promise<void>((resolve) => { release = resolve; });
        return Response.json(process.pid);
      });
      export const rejects = http("/rejects", async () => {
        void (async () => { await null; throw new Error("nobody waits for this"); })();
        return await new Promise<never>(() => {});
      });
      export const free = http("/release", () => { release(); return new Response("released"); });
      export const pid = http("/pid", () => Response.json(process.pid));`,
  });
  const pid = await pidOf("unawaited");
  const slow = server.fetch("unawaited", "/slow");
  await until("that the slow one runs", async () => {
    return (await server.client.status()).groups.some((one) => one.app === "unawaited" && one.inFlight === 1);
  });
  const response = await server.fetch("unawaited", "/rejects");
  assert.equal(response.status, 500);
  assert.match((await problemOf(response)).detail, /nobody waits for this/);
  await server.fetch("unawaited", "/release");
  assert.equal(await (await slow).json(), pid);
  assert.equal(await pidOf("unawaited"), pid);
});

test("what waitUntil was given goes on after the answer, and counts until the timeout", async () => {
  await server.deployFiles("waits", {
    "index.ts": `import { http } from "aloft";
      let release = () => {};
      export const later = http("/later", (request, { waitUntil }) => {
        waitUntil(new Promise<void>((resolve) => { release = resolve; }).then(() => console.log("done after the answer")));
        return new Response("answered");
      });
      export const free = http("/release", () => { release(); return new Response("released"); });
      export const fails = http("/fails", (request, { waitUntil }) => {
        waitUntil(Promise.reject(new Error("in the background")));
        return new Response("answered");
      });
      export const never = http("/never", { timeout: "300ms" }, (request, { waitUntil }) => {
        if (request.headers.has("only-start")) return new Response("started");
        waitUntil(new Promise(() => {}));
        return new Response("answered");
      });`,
  });
  const later = await server.fetch("waits", "/later");
  assert.equal(await later.text(), "answered");
  await server.fetch("waits", "/release");
  const line = await logLine("waits", /done after the answer/);
  assert.equal(line.invocation, later.headers.get("x-request-id"));
  assert.equal((await recordWhere("waits", "the later one", (one) => one.function === "later")).outcome, "ok");
  assert.equal(await (await server.fetch("waits", "/fails")).text(), "answered");
  await logLine("waits", /in the background/);
  // Its timeout holds for the wait for an instance too, and on a busy machine a start may take longer.
  await until("its own instance runs", async () => {
    return (await server.fetch("waits", "/never", { headers: { "only-start": "1" } })).status === 200;
  });
  const client = await RawClient.open(server.http);
  client.get("/never", "waits");
  const [, id] = await client.received(/x-request-id: ([0-9a-f]+)[^]*answered/i);
  const record = await recordWhere("waits", "the one that never ends", (one) => one.id === id);
  assert.equal(record.outcome, "timeout");
  // The answer was complete: the client's connection is good for another request.
  client.get("/release", "waits");
  await client.received(/released/);
  client.close();
});

test("a stranger is not shown the user's errors; the developer finds them in the logs", async (t) => {
  const strict = await startTestServer(t, { mode: "serve" });
  await strict.deployFiles("secretive", {
    "index.ts": `export default { fetch: () => { throw new Error("password is hunter2"); } };`,
  });
  const response = await strict.fetch("secretive", "/");
  const text = await response.text();
  assert.equal(response.status, 500);
  assert.doesNotMatch(text, /hunter2|index\.ts/);
  const id = response.headers.get("x-request-id") ?? "";
  assert.match(text, new RegExp(id));
  await until("the line in the logs", async () => {
    return (await strict.client.listLogs("secretive", { invocation: id })).some((line) =>
      line.message.includes("hunter2"),
    );
  });
});

/** How far the server's resident memory rises above where it is now. The server runs in this process. */
function watchRss(): { stop(): number } {
  const before = process.memoryUsage.rss();
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss());
  }, 20).unref();
  return {
    stop() {
      clearInterval(timer);
      return Math.max(peak, process.memoryUsage.rss()) - before;
    },
  };
}

/** Well under half of what passed: garbage that was not yet collected on both ends, the client's in this process included. */
function assertConstant(grownBytes: number): void {
  assert.ok(grownBytes < 448 * MiB, `memory grew by ${Math.round(grownBytes / MiB)} MiB while 1 GiB passed`);
}

async function httpGet(app: string, path: string): Promise<IncomingMessage> {
  const sending = get(`${server.http}${path}`, { headers: { "aloft-app": app } });
  const [response] = (await once(sending, "response")) as [IncomingMessage];
  return response;
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return text;
}
