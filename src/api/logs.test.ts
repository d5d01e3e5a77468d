import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { codeOf, deploy } from "../apps/apps.fixture.ts";
import type { InvocationRecord, LogLine } from "../contract/observing.ts";
import { follow } from "./follow.ts";
import { inject, injectOpen, openTestApi, type TestApi } from "./inject.fixture.ts";

const folder = await mkdtemp(join(tmpdir(), "aloft-logs-"));
after(() => rm(folder, { recursive: true }));
let folders = 0;

async function openWithApp(): Promise<TestApi> {
  const api = await openTestApi(join(folder, String(++folders)));
  await deploy(api.apps, "shop", codeOf(["hello"]));
  return api;
}

function lineOf(api: TestApi, message: string, more: Partial<LogLine> = {}): LogLine {
  const atMs = api.clock.nowMs();
  return {
    atMs,
    app: "shop",
    function: "hello",
    deployment: "d",
    invocation: "",
    level: "info",
    stream: "stdout",
    message,
    ...more,
  };
}

function recordOf(api: TestApi, id: string): InvocationRecord {
  return {
    id,
    app: "shop",
    alias: "production",
    function: "hello",
    deployment: "d".repeat(40),
    trigger: "http",
    startedAtMs: api.clock.nowMs(),
    waitUs: 1,
    coldUs: 0,
    handlerUs: 2,
    status: 200,
    outcome: "ok",
    attempt: 1,
    memoryBytes: 0,
    errorCode: "",
    errorMessage: "",
    subject: "GET /hello",
  };
}

const messagesOf = (text: string): string[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => (JSON.parse(line) as LogLine).message);

test("logs are one JSON value a line, filtered as asked", async () => {
  const api = await openWithApp();
  api.observer.log(lineOf(api, "old"));
  api.clock.advance(3_600_000);
  api.observer.log(lineOf(api, "new"));
  api.observer.log(lineOf(api, "bad", { level: "error" }));
  api.observer.log(lineOf(api, "other app", { app: "other" }));
  const table: [string, string[]][] = [
    ["", ["old", "new", "bad"]],
    ["?since=10m", ["new", "bad"]],
    [`?until=${api.clock.nowMs() - 1000}`, ["old"]],
    [`?since=${new Date(api.clock.nowMs()).toISOString()}&level=warn`, ["bad"]],
    ["?limit=1", ["bad"]],
    ["?function=none", []],
  ];
  for (const [query, expected] of table) {
    const answer = await inject(api, { path: `/v1/apps/shop/logs${query}` });
    assert.equal(answer.headers["content-type"], "application/x-ndjson");
    assert.deepEqual(messagesOf(answer.text), expected, query);
  }
  await api.close();
});

test("logs of an app whose first deploy failed can be read", async () => {
  const api = await openWithApp();
  api.observer.log(lineOf(api, "import failed", { app: "unborn" }));
  assert.deepEqual(messagesOf((await inject(api, { path: "/v1/apps/unborn/logs" })).text), ["import failed"]);
  await api.close();
});

test("following gives what is there and then what comes, until the server stops", async () => {
  const api = await openWithApp();
  api.observer.log(lineOf(api, "before"));
  const response = await injectOpen(api, { path: "/v1/apps/shop/logs?follow=true" });
  const seen: string[] = [];
  for await (const line of createInterface({ input: response })) {
    seen.push((JSON.parse(line) as LogLine).message);
    if (seen.length === 1) api.observer.log(lineOf(api, "live"));
    if (seen.length === 2) void api.api.close();
  }
  assert.deepEqual(seen, ["before", "live"]);
  await api.close();
});

test("invocations are listed newest first, followed as they come and found by id", async () => {
  const api = await openWithApp();
  const ids = ["a", "b", "c"].map((digit) => digit.repeat(32));
  for (const id of ids) {
    api.clock.advance(10);
    api.observer.record(recordOf(api, id));
  }
  const listed = await inject(api, { path: "/v1/apps/shop/invocations?limit=2&outcome=ok" });
  assert.deepEqual(
    (listed.body as { invocations: InvocationRecord[] }).invocations.map((each) => each.id),
    [ids[2], ids[1]],
  );
  const found = await inject(api, { path: `/v1/invocations/${ids[0]}` });
  assert.deepEqual(found.body, { ...recordOf(api, ids[0] ?? ""), startedAtMs: api.clock.nowMs() - 20 });
  const response = await injectOpen(api, { path: "/v1/apps/shop/invocations?follow=true" });
  const seen: string[] = [];
  for await (const line of createInterface({ input: response })) {
    seen.push((JSON.parse(line) as InvocationRecord).id[0] ?? "");
    if (seen.length === 3) api.observer.record(recordOf(api, "d".repeat(32)));
    if (seen.length === 4) void api.api.close();
  }
  assert.deepEqual(seen, ["a", "b", "c", "d"]);
  await api.close();
});

test("what comes while the stored is read is sent once, after it", async () => {
  const stop = new AbortController();
  let say = (_value: string): void => {};
  const values = follow<string>({
    subscribe: (onValue) => ((say = onValue), () => {}),
    listStored: async () => {
      say("in both");
      say("only live");
      return ["stored", "in both"];
    },
    signal: stop.signal,
  });
  const seen: string[] = [];
  for await (const value of values) {
    seen.push(value);
    if (seen.length === 3) stop.abort();
  }
  assert.deepEqual(seen, ["stored", "in both", "only live"]);
});

test("a reader that is too slow loses lines, and is told how many", async () => {
  const stop = new AbortController();
  let say = (_value: string): void => {};
  const values = follow<string>({
    subscribe: (onValue) => ((say = onValue), () => {}),
    listStored: async () => ["stored"],
    signal: stop.signal,
    lost: (count) => `lost ${count}`,
  });
  assert.equal((await values.next()).value, "stored");
  for (let index = 0; index < 10_007; index++) say(String(index));
  let last = "";
  for await (const value of values) {
    last = value;
    if (value.startsWith("lost")) stop.abort();
  }
  assert.equal(last, "lost 7");
});
