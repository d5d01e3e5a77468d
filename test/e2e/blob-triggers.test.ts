/** `{ "blob": … }` in aloft.json: code of every language is told of what is put and deleted, once, in the shape it knows. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { sendTo } from "../kit/link-client.ts";
import { pythonMissing } from "../kit/python.ts";
import { startTestServer, type TestServer } from "../kit/server.ts";
import { until } from "../kit/until.ts";
import { deployProgram } from "../lambda/deploy.ts";

const scope = { after };
const server = await startTestServer(scope);

/** As the tests see it: what the function was given, whatever it is written in. */
interface Heard {
  readonly name: string;
  readonly key: string;
}

/** Puts, deletes and leaves aside; from outside of the functions, through links. */
async function change(app: string): Promise<void> {
  const put = async (key: string): Promise<void> => {
    const { url } = await server.client.linkBlob(placeOf(app, key), { method: "PUT" });
    assert.equal((await sendTo(url, "PUT", { body: key, headers: { "content-type": "text/plain" } })).status, 201);
  };
  for (const key of ["in/a b/é.txt", "out/b", "in/c"]) await put(key);
  for (const key of ["in/c", "out/b"]) await server.client.deleteEntry(placeOf(app, key));
}

function placeOf(app: string, key: string): Parameters<TestServer["client"]["deleteEntry"]>[0] {
  return { kind: "blobs", app, alias: "production", store: "files", key };
}

/** What the functions have written down, each under a number of its own. */
async function heardBy(app: string, count: number): Promise<readonly unknown[]> {
  const place = { kind: "kv", app, alias: "production", store: "heard", key: "" } as const;
  const entries = await until(`${app} has heard ${count}`, async () => {
    const entries = await server.client.listEntries(place, undefined, 100);
    return entries.length >= count && entries;
  });
  return entries.map(({ value }) => (value as { json: unknown }).json);
}

const triggers = JSON.stringify([{ blob: "files", options: { on: ["created", "deleted"], prefix: "in/" } }]);

function namesAndKeys(events: readonly unknown[]): Heard[] {
  const found = events.map((event) => {
    const { Records: records } = event as {
      Records: { eventSource: string; eventName: string; s3: { bucket: { name: string }; object: { key: string } } }[];
    };
    assert.equal(records.length, 1);
    const [record] = records;
    assert.deepEqual([record?.eventSource, record?.s3.bucket.name], ["aws:s3", "files"]);
    return { name: record?.eventName ?? "", key: record?.s3.object.key ?? "" };
  });
  return found.toSorted((a, b) => `${a.name} ${a.key}`.localeCompare(`${b.name} ${b.key}`));
}

const asS3: readonly Heard[] = [
  { name: "ObjectCreated:Put", key: "in/a+b/%C3%A9.txt" },
  { name: "ObjectCreated:Put", key: "in/c" },
  { name: "ObjectRemoved:Delete", key: "in/c" },
];

const nodeLambda = `
  import { kv } from "aloft";
  const heard = kv("heard");
  export const handler = async (event) => {
    await heard.set(event.Records[0].responseElements["x-amz-request-id"] + event.Records[0].eventName, event);
  };
`;

test("a Lambda handler of Node gets the records of S3", async () => {
  await server.deployFiles("lambda", {
    "index.ts": nodeLambda,
    "aloft.json": `{ "functions": { "handler": { "triggers": ${triggers} } } }`,
  });
  await change("lambda");
  assert.deepEqual(namesAndKeys(await heardBy("lambda", 3)), asS3);
});

const pythonCode = `
import http.client, json, os, socket

class State(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["ALOFT_STATE_SOCKET"])

def work(event, context):
    record = event["Records"][0]
    state = State("state")
    headers = {"content-type": "application/json", "aloft-invocation": context.aws_request_id}
    key = record["responseElements"]["x-amz-request-id"] + record["eventName"]
    state.request("PUT", "/kv/heard/" + key, json.dumps(event), headers)
    assert state.getresponse().status == 204
`;

const noPython = pythonMissing();
test("so does one of Python", { skip: noPython ?? false }, async () => {
  await server.deployFiles("snake", {
    "jobs.py": pythonCode,
    "aloft.json": `{ "functions": { "work": { "runtime": "python", "handler": "jobs.work", "triggers": ${triggers} } } }`,
  });
  await change("snake");
  assert.deepEqual(namesAndKeys(await heardBy("snake", 3)), asS3);
});

test("so does a bootstrap of a custom runtime", async () => {
  await deployProgram(server, scope, "custom", {
    bootstrap: { program: "blob-listener.sh" },
    "aloft.json": `{ "functions": { "default": { "triggers": ${triggers} } } }`,
  });
  await change("custom");
  assert.deepEqual(namesAndKeys(await heardBy("custom", 3)), asS3);
});

const program = `
  import { createServer, request } from "node:http";
  createServer(async (incoming, response) => {
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const { messages: [message], store } = JSON.parse(Buffer.concat(chunks));
    const outgoing = request({
      socketPath: process.env.ALOFT_STATE_SOCKET, method: "PUT", path: "/kv/heard/" + message.id + message.body.type,
      headers: { "content-type": "application/json", "aloft-invocation": incoming.headers["aloft-invocation"] },
    }, (answer) => { answer.resume(); response.statusCode = answer.statusCode; response.end(); });
    outgoing.end(JSON.stringify({ store, ...message.body }));
  }).listen(process.env.PORT);
`;

test("a program gets the events as they are, with what is known of the blob", async () => {
  await server.deployFiles("plain", {
    "server.mjs": program,
    "aloft.json": `{ "functions": { "work": { "command": ["node", "server.mjs"], "triggers": ${triggers} } } }`,
  });
  await change("plain");
  const events = (await heardBy("plain", 3)) as { type: string; store: string; key: string; size: number }[];
  const told = events.map(({ type, store, key, size }) => `${type} ${store} ${key} ${size}`).toSorted();
  assert.deepEqual(told, ["created files in/a b/é.txt 13", "created files in/c 4", "deleted files in/c 4"]);
  const records = await until("their records", async () => {
    const records = await server.client.listInvocations("plain", { function: "work", limit: 10 });
    return records.length === 3 && records;
  });
  assert.deepEqual(records.map(({ trigger, subject }) => `${trigger}: ${subject}`).toSorted(), [
    "blob: files created in/a b/é.txt",
    "blob: files created in/c",
    "blob: files deleted in/c",
  ]);
});

test("options that no blob trigger has are refused with the place", async () => {
  for (const [options, reason] of [
    [{ on: "changed" }, /on must be "created", "deleted" or a list of both/],
    [{ on: [] }, /on must be/],
    [{ on: ["created", "created"] }, /on must be/],
    [{ prefix: 5 }, /prefix must be a text/],
    [{ suffix: ".png" }, /suffix/],
  ] as const) {
    const config = { functions: { handler: { triggers: [{ blob: "files", options }] } } };
    const files = { "index.ts": nodeLambda, "aloft.json": JSON.stringify(config) };
    await assert.rejects(server.deployFiles("wrong", files), reason);
  }
  const twice = [{ blob: "files" }, { blob: "files", options: { on: "deleted" } }];
  const config = JSON.stringify({ functions: { handler: { triggers: twice } } });
  const files = { "index.ts": nodeLambda, "aloft.json": config };
  await assert.rejects(server.deployFiles("wrong", files), /blob files is there twice/);
});

test("rule 10: a function that fails is told again, and a blob that nobody listens to tells nobody", async () => {
  await server.deployFiles("failing", {
    "index.ts": `
      import { blob, kv } from "aloft";
      const heard = kv("heard");
      export const told = blob("files").onCreated({ prefix: "in/", retry: { minDelay: 0 } }, async ({ key }, { attempt }) => {
        await heard.set(key, attempt);
        if (attempt < 3) throw new Error("not yet");
      });
    `,
  });
  await change("failing");
  await until("the third attempt has done well", async () => JSON.stringify(await heardBy("failing", 2)) === "[3,3]");
});
