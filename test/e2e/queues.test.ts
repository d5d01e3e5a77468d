/** Queues as apps use them: a real server on its store, real sandboxed handlers, the SDK and a Lambda handler. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { runCommandLine } from "../../src/cli/canned-api.suite.ts";
import { startTestServer, testToken, type TestServer } from "../kit/server.ts";
import { until } from "../kit/until.ts";

let server: TestServer;
const ends: (() => Promise<void>)[] = [];

before(async () => {
  server = await startTestServer({ after: (end: () => Promise<void>) => void ends.push(end) });
  await server.deployFiles("shop", { "index.ts": shop });
});

after(async () => {
  for (const end of ends.toReversed()) await end();
});

const shop = `
  import { http, kv, NonRetryable, queue, RetryAfter } from "aloft";
  const seen = kv<unknown>("seen");
  const counts = kv<number>("counts");

  export const get = http("GET /seen/:key", async (_request, { params }) => Response.json(await seen.get(params.key)));
  export const count = http("GET /counts/:key", async (_request, { params }) =>
    Response.json((await counts.get(params.key)) ?? 0));
  export const order = http("POST /send/:queue", async (request, { params }) => {
    const { body, ...options } = await request.json();
    return Response.json(await queue(params.queue).send(body, options));
  });
  export const many = http("POST /many/:queue", async (request, { params }) => {
    const { n } = await request.json();
    await queue(params.queue).sendBatch(Array.from({ length: n }, (_, number) => ({ body: { number } })));
    return new Response("sent");
  });

  export const orders = queue<{ sku: string }>("orders", async ([message], { attempt, idempotencyKey }) => {
    await seen.set(message.body.sku, { attempt, idempotencyKey, id: message.id, sentAt: message.sentAt instanceof Date });
    if (message.body.sku === "again" && attempt === 1) throw new RetryAfter("10ms");
    if (message.body.sku === "never") throw new NonRetryable("no such thing");
    await mails.send({ to: message.body.sku });
  });
  export const mails = queue<{ to: string }>("mails", async ([{ body }]) => void (await seen.set("mail-" + body.to, true)));
  export const dead = queue<{ sku: string }>("orders-dead", async ([{ body, dead }]) => void (await seen.set("dead-" + body.sku, dead)));

  export const numbers = queue<{ number: number }>("numbers", { batch: 100, retry: { minDelay: "1ms" } }, async (messages) => {
    await messages.each(async ({ body, attempt }) => {
      await counts.increment("sum", body.number);
      await counts.increment("handled");
      if (body.number === 7 && attempt === 1) throw new Error("seven");
    });
  });
`;

// oxlint-disable-next-line typescript/no-explicit-any -- what comes back is what the test says
async function ask(path: string, body?: unknown): Promise<any> {
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await server.fetch("shop", path, init);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

test("an order is handled, and the mail that its handler sends is sent with its success", async () => {
  const { id } = await ask("/send/orders", { body: { sku: "a" } });
  await until("the mail", async () => (await ask("/seen/mail-a")) === true);
  assert.deepEqual(await ask("/seen/a"), { attempt: 1, idempotencyKey: id, id, sentAt: true });
});

test("what a failed attempt wrote is gone, and the next one is the second", async () => {
  await ask("/send/orders", { body: { sku: "again" } });
  await until("the mail", async () => (await ask("/seen/mail-again")) === true);
  assert.equal((await ask("/seen/again")).attempt, 2);
});

test("what will never work goes to the dead-letter queue at once, which is a queue like any other", async () => {
  await ask("/send/orders", { body: { sku: "never" } });
  await until("the dead letter", async () => (await ask("/seen/dead-never")) !== null);
  assert.equal(await ask("/seen/never"), null);
  const { error, attempts, queue } = await ask("/seen/dead-never");
  assert.deepEqual([error, attempts, queue], [{ type: "NonRetryable", message: "no such thing" }, 1, "orders"]);
});

test("rule 11: messages.each undoes the writes of one that throws, and its next attempt counts once", async () => {
  await ask("/many/numbers", { n: 300 });
  await until("300 messages", async () => (await ask("/counts/handled")) >= 300);
  assert.deepEqual([await ask("/counts/handled"), await ask("/counts/sum")], [300, (299 * 300) / 2]);
});

test("an unmodified SQS handler gets records, and those that it names are tried again", async () => {
  await server.deployFiles("thumbs", {
    "index.ts": `
      import { http, kv, queue } from "aloft";
      const seen = kv<unknown>("seen");
      export const send = http("POST /send", async (request) =>
        Response.json(await queue("images").sendBatch((await request.json()).map((name) => ({ body: { name } })))));
      export const get = http("GET /seen", async () => {
        const found = {};
        for await (const { key, value } of seen.list()) found[key] = value;
        return Response.json(found);
      });
      const tried = new Map();
      export const handler = async (event) => {
        const batchItemFailures = [];
        for (const { messageId, body, attributes, eventSource, eventSourceARN, md5OfBody } of event.Records) {
          const { name } = JSON.parse(body);
          const count = Number(attributes.ApproximateReceiveCount);
          tried.set(name, { count, eventSource, eventSourceARN, digest: md5OfBody.length });
          if (name === "bad" && count === 1) batchItemFailures.push({ itemIdentifier: messageId });
        }
        // Failed messages are named by an outcome that has written nothing.
        if (batchItemFailures.length > 0) return { batchItemFailures };
        for (const [name, value] of tried) await seen.set(name, value);
      };`,
    "aloft.json": JSON.stringify({
      functions: {
        handler: { triggers: [{ queue: "images", options: { batch: 10, retry: { minDelay: "1ms" } } }] },
      },
    }),
  });
  const response = await server.fetch("thumbs", "/send", { method: "POST", body: '["good", "bad"]' });
  assert.equal(response.status, 200, await response.text());
  const seen = await until("both images", async () => {
    const found = (await (await server.fetch("thumbs", "/seen")).json()) as Record<string, Record<string, unknown>>;
    return found["bad"]?.["count"] === 2 && found;
  });
  const { eventSource, eventSourceARN, digest } = seen["good"] ?? {};
  assert.deepEqual([eventSource, eventSourceARN, digest], ["aws:sqs", "arn:aws:sqs:local:000000000000:images", 32]);
});

test("a deploy with an option of a queue that there is not is refused, and says what there is", async () => {
  const files = (options: string): Record<string, string> => ({
    "index.ts": `import { queue } from "aloft"; export const q = queue("q", ${options}, () => {});`,
  });
  for (const [options, message] of [
    ["{ batch: 0 }", /queue q: batch must be a whole number from 1 to 1000/],
    ["{ retry: { attempts: -1 } }", /attempts must be a whole number/],
    ["{ retry: { tries: 3 } }", /tries is no option; there are attempts/],
    ['{ maxAge: "soon" }', /maxAge must be a duration such as "20s"/],
    ["{ rate: { messages: 1e9 } }", /messages must be a whole number/],
    ['{ deadLetter: "q" }', /deadLetter must be another queue/],
  ] as const) {
    await assert.rejects(server.deployFiles("wrong", files(options)), (error: Error & { code?: string }) => {
      assert.match(error.message, message);
      assert.equal(error.code, "DESCRIBE_FAILED");
      return true;
    });
  }
});

test("aloft queues shows and mends a queue, for people and for programs", async () => {
  await server.deployFiles("depot", {
    "index.ts": `
      import { queue } from "aloft";
      export const boxes = queue<number>("boxes", { retry: { attempts: 1 } }, ([{ body }]) => {
        if (body < 0) throw new Error("less than nothing");
      });`,
  });
  const connection = ["--server", server.admin, "--token", testToken];
  const aloft = async (...line: string[]): Promise<string> => {
    const { code, out, err } = await runCommandLine(["queues", ...line, ...connection]);
    assert.equal(code, 0, err);
    return out;
  };
  assert.match(await aloft("pause", "depot", "boxes"), /^paused boxes: 0 messages wait/);
  const sent = JSON.parse(await aloft("send", "depot", "boxes", "--data", "-1", "--dedupe-id", "x", "--json"));
  assert.equal(typeof sent.id, "string");
  assert.match(await aloft("send", "depot", "boxes", "--data", "-1", "--dedupe-id", "x"), /sent before with this id/);
  assert.match(await aloft("list", "depot"), /boxes \(paused\) +boxes +1 +0 +\d{4}-/);
  assert.match(await aloft("peek", "depot", "boxes"), new RegExp(`^${sent.id} .* -1\n$`));
  await aloft("resume", "depot", "boxes");
  const show = async () => JSON.parse(await aloft("show", "depot", "boxes", "--json")) as { deadLetters: number };
  await until("the dead letter", async () => (await show()).deadLetters === 1);
  assert.match(await aloft("peek", "depot", "boxes-dead"), /dead after 1: Error: less than nothing -1/);
  assert.match(
    await aloft("redrive", "depot", "boxes", "--error", "nothing", "--dry-run"),
    /would send 1 dead letters/,
  );
  assert.match(await aloft("purge", "depot", "boxes-dead", "--yes"), /deleted 1 messages/);
  const unknown = await runCommandLine(["queues", "show", "depot", "crates", ...connection]);
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /QUEUE_NOT_FOUND: the app "depot" has no queue "crates"/);
  const mistaken = await runCommandLine(["queues", "shwo", "depot", "boxes", ...connection]);
  assert.equal(mistaken.code, 2);
  assert.match(mistaken.err, /did you mean aloft queues show/);
  const wrong = await runCommandLine(["queues", "send", "depot", "boxes", "--data", "{", ...connection]);
  assert.equal(wrong.code, 2);
});
