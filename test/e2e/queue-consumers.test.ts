/** Queues whose consumers were written for other platforms: a Workers module, and a Lambda handler in Python. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { pythonMissing } from "../kit/python.ts";
import { startTestServer } from "../kit/server.ts";
import { until } from "../kit/until.ts";

const server = await startTestServer({ after }, { mode: "serve" });

/** The lines of an app that begin with the word, in order. */
async function linesOf(app: string, word: string): Promise<string[]> {
  const lines = await server.client.listLogs(app, {});
  return lines.map(({ message }) => message).filter((message) => message.startsWith(word));
}

test("a Workers module consumes the queue that aloft.json gives it, and gets again what it asks for", async () => {
  await server.deployFiles("worker", {
    "index.ts": `import { queue } from "aloft";
      export default {
        async fetch() { await queue("jobs").send({ n: 1 }); return new Response("sent"); },
        async queue(batch, env) {
          for (const message of batch.messages) {
            console.log("consumed", batch.queue, message.body.n, message.attempts);
            if (message.attempts === 1) message.retry({ delaySeconds: 0 });
          }
        },
      };`,
    "aloft.json": `{ "functions": { "default": { "triggers": [{ "queue": "jobs" }] } } }`,
  });
  assert.equal(await (await server.fetch("worker", "/")).text(), "sent");
  await until("two deliveries", async () => (await linesOf("worker", "consumed")).length === 2);
  assert.deepEqual(await linesOf("worker", "consumed"), ["consumed jobs 1 1", "consumed jobs 1 2"]);
});

test(
  "a Lambda handler in Python consumes a queue as SQS would give it",
  { skip: pythonMissing() ?? false },
  async () => {
    await server.deployFiles("snakes", {
      "index.ts": `import { queue } from "aloft";
      export default { async fetch() { await queue("images").send({ key: "a.png" }); return new Response("sent"); } };`,
      "app.py": `
import json

def handler(event, context):
    for record in event["Records"]:
        attempt = int(record["attributes"]["ApproximateReceiveCount"])
        print("consumed", json.loads(record["body"])["key"], record["eventSource"], attempt)
        if attempt == 1:
            raise RuntimeError("not yet")
`,
      "aloft.json": `{ "functions": { "resize": { "runtime": "python", "handler": "app.handler",
      "triggers": [{ "queue": "images", "options": { "retry": { "minDelay": "1ms" } } }] } } }`,
    });
    assert.equal(await (await server.fetch("snakes", "/")).text(), "sent");
    await until("two deliveries", async () => (await linesOf("snakes", "consumed")).length === 2);
    assert.deepEqual(await linesOf("snakes", "consumed"), ["consumed a.png aws:sqs 1", "consumed a.png aws:sqs 2"]);
  },
);
