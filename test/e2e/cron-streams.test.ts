/** Schedules and streams on a real server: real sandboxed handlers, the control API, a restart. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import type { CronJson, StreamJson, StreamRecordJson } from "../../src/contract/triggering.ts";
import { startTestServer, type TestServer, testToken } from "../kit/server.ts";
import { until } from "../kit/until.ts";

let server: TestServer;
const ends: (() => Promise<void>)[] = [];

before(async () => {
  server = await startTestServer({ after: (end: () => Promise<void>) => void ends.push(end) });
  await server.deployFiles("plant", { "index.ts": plant });
});

after(async () => {
  for (const end of ends.toReversed()) await end();
});

const plant = `
  import { cron, every, http, kv, stream } from "aloft";
  const counts = kv<number>("counts");
  const results = kv<unknown>("results");
  const readings = stream<{ at: number; celsius: number }>("readings", { partitions: 2 });

  export const second = every("1s", async () => { await counts.increment("seconds"); });
  export const nightly = cron("0 3 * * *", { timezone: "Asia/Shanghai" }, async ({ isManual }) => {
    await counts.increment("nights");
    return { isManual };
  });
  export const failing = cron("0 3 * * *", () => { throw new TypeError("no luck"); });

  export const measure = http("POST /readings", async (request) => {
    const list = await request.json();
    await readings.appendBatch(list.map(({ sensor, ...value }) => ({ value, key: sensor })));
    return new Response(null, { status: 204 });
  });
  export const each = readings.consume({ from: "earliest", batch: 10 }, async (records) => {
    for (const { key } of records) await counts.increment("of " + key);
  });
  export const perTen = readings.window(
    { size: "10s", from: "earliest", timestamp: ({ value }) => value.at, closeAfter: "300ms" },
    {
      init: () => ({ sum: 0, count: 0 }),
      add: (state, { value }) => ({ sum: state.sum + value.celsius, count: state.count + 1 }),
      close: async (state, window) => { await results.set(window.key + " " + window.start, state); },
    },
  );
  export const doubled = readings.consume({ from: "earliest" }, async (records) => {
    await stream("doubled").appendBatch(records.map(({ value }) => ({ value: value.celsius * 2 })));
  });
  export const show = http("GET /:store", async (_request, { params }) => {
    const found = {};
    for await (const { key, value } of kv(params.store).list()) found[key] = value;
    return Response.json(found);
  });
`;

async function get(path: string): Promise<Record<string, unknown>> {
  return (await (await server.fetch("plant", path)).json()) as Record<string, unknown>;
}

function ask<T>(method: "GET" | "POST", path: string, body?: unknown): Promise<T> {
  return server.client.ask<T>(method, `/v1/apps/plant/${path}`, body === undefined ? {} : { json: body });
}

test("an interval runs its function, and what it writes is there", async () => {
  await until("three ticks", async () => Number((await get("/counts"))["seconds"]) >= 3);
});

test("crons are listed with their next times, run by hand, and paused", async () => {
  const { crons } = await ask<{ crons: CronJson[] }>("GET", "crons");
  const nightly = crons.find(({ name }) => name === "nightly");
  assert.deepEqual([nightly?.schedule, nightly?.timezone, nightly?.next.length], ["0 3 * * *", "Asia/Shanghai", 5]);
  assert.ok(nightly?.next.every((time) => time.endsWith("T19:00:00.000Z")));
  assert.deepEqual(await ask("POST", "crons/nightly/run"), { value: { isManual: true } });
  assert.equal((await get("/counts"))["nights"], 1);
  await assert.rejects(ask("POST", "crons/failing/run"), { code: "FUNCTION_THREW", message: /no luck/ });
  await assert.rejects(ask("POST", "crons/nowhere/run"), { code: "CRON_NOT_FOUND" });
  const paused = await ask<CronJson>("POST", "crons/nightly/pause");
  assert.deepEqual([paused.paused, paused.next], [true, []]);
  assert.equal((await ask<CronJson>("POST", "crons/nightly/resume")).paused, false);
});

test("a cron stays paused, and keeps its history, when a deployment gives it another schedule", async () => {
  const deploy = (interval: string): Promise<unknown> =>
    server.deployFiles("clocked", {
      "index.ts": `import { every } from "aloft"; export const job = every("${interval}", () => {});`,
    });
  const job = async (): Promise<CronJson | undefined> =>
    (await server.client.ask<{ crons: CronJson[] }>("GET", "/v1/apps/clocked/crons", {})).crons[0];
  await deploy("1s");
  await until("a tick", async () => ((await job())?.succeeded ?? 0) > 0);
  await server.client.ask("POST", "/v1/apps/clocked/crons/job/pause", {});
  await deploy("2h");
  const changed = await until("the new schedule", async () => {
    const found = await job();
    return found?.schedule === "every 2h" && found;
  });
  assert.ok(changed.paused && changed.succeeded > 0 && changed.last !== null, JSON.stringify(changed));
});

test("records reach their consumers, windows are summed up, and what consumers append is there", async () => {
  const at = 1_700_000_000_000;
  const list = Array.from({ length: 60 }, (_, n) => ({ sensor: `s${n % 3}`, at: at + n * 1000, celsius: n }));
  assert.equal((await server.fetch("plant", "/readings", { method: "POST", body: JSON.stringify(list) })).status, 204);
  await until("each record is counted", async () => {
    const { "of s0": a, "of s1": b, "of s2": c } = await get("/counts");
    return a === 20 && b === 20 && c === 20;
  });
  const results = await until("all windows have ended", async () => {
    const found = await get("/results");
    return Object.keys(found).length === 18 ? found : null;
  });
  const expected: Record<string, { sum: number; count: number }> = {};
  for (const { sensor, at: time, celsius } of list) {
    const known = (expected[`${sensor} ${Math.floor(time / 10_000) * 10_000}`] ??= { sum: 0, count: 0 });
    known.sum += celsius;
    known.count += 1;
  }
  assert.deepEqual(results, expected);
  const { records } = await until("what was appended by a consumer", async () => {
    const found = await ask<{ records: StreamRecordJson[] }>("GET", "streams/doubled/records?limit=500");
    return found.records.length === 60 ? found : null;
  });
  assert.deepEqual(new Set(records.map(({ value }) => value)), new Set(list.map(({ celsius }) => celsius * 2)));
});

test("streams are shown with their consumers; one can be moved back, which is a replay", async () => {
  const stream = await until("nobody is behind", async () => {
    const found = await ask<StreamJson>("GET", "streams/readings");
    return found.consumers.length === 3 && found.consumers.every(({ lag }) => lag === 0) ? found : null;
  });
  assert.deepEqual([stream.partitions, stream.appended, stream.removed], [2, 60, 0]);
  assert.deepEqual(
    stream.consumers.map(({ name, state }) => [name, state]),
    [
      ["doubled", "running"],
      ["each", "running"],
      ["perTen", "running"],
    ],
  );
  assert.deepEqual(await ask("POST", "streams/readings/consumers/each/seek", { from: "earliest" }), { moved: true });
  await until("each record is counted again", async () => (await get("/counts"))["of s0"] === 40);
  assert.deepEqual(
    await ask("POST", "streams/readings/records", { records: [{ value: { at: 1, celsius: 1 }, key: "s9" }] }),
    { appended: 1 },
  );
  await until("it is counted", async () => (await get("/counts"))["of s9"] === 1);
});

const refused: [path: string, body: unknown, code: string][] = [
  ["streams/nowhere/records", { records: [{ value: 1 }] }, "STREAM_NOT_FOUND"],
  ["streams/readings/records", { records: [] }, "REQUEST_INVALID"],
  ["streams/readings/records", { records: [{ value: 1, key: 7 }] }, "REQUEST_INVALID"],
  ["streams/readings/records", { records: [{ value: "x".repeat(300_000) }] }, "VALUE_TOO_LARGE"],
  ["streams/readings/consumers/each/seek", { from: "yesterday" }, "REQUEST_INVALID"],
  ["streams/readings/consumers/each/seek", {}, "REQUEST_INVALID"],
  ["streams/readings/consumers/nobody/seek", { from: "earliest" }, "CONSUMER_NOT_FOUND"],
  ["streams/readings/consumers/each/redrive", { dryRun: "yes" }, "REQUEST_INVALID"],
  ["streams/readings/consumers/each/redrive", { id: "1" }, "REQUEST_INVALID"],
  ["streams/readings/consumers/nobody/redrive", {}, "CONSUMER_NOT_FOUND"],
  ["streams/nowhere/purge", undefined, "STREAM_NOT_FOUND"],
  ["streams/nowhere/consumers/each/pause", undefined, "STREAM_NOT_FOUND"],
];

async function aloft(...args: readonly string[]): Promise<string> {
  const bin = join(import.meta.dirname, "..", "..", "bin", "aloft");
  const flags = ["--server", server.admin, "--token", testToken];
  const { PATH = "" } = process.env;
  const { stdout } = await promisify(execFile)(process.execPath, [bin, ...args, ...flags], { env: { PATH } });
  return stdout;
}

test("the command line shows schedules and streams, appends, reads, pauses and runs", async () => {
  assert.match(await aloft("cron", "list", "plant"), /nightly +0 3 \* \* \* \(Asia\/Shanghai\) +\d{4}-/);
  assert.match(await aloft("cron", "run", "plant", "nightly"), /nightly has run: \{"isManual":true\}/);
  assert.match(await aloft("cron", "pause", "plant", "nightly"), /nightly is paused/);
  assert.match(
    await aloft("streams", "append", "plant", "doubled", "--key", "k", "--data", "[7]"),
    /appended 1 to doubled/,
  );
  const partition = JSON.parse(
    await aloft("streams", "read", "plant", "doubled", "--from", "latest", "--json"),
  ) as StreamRecordJson[];
  assert.partialDeepStrictEqual(partition.at(-1), { key: "k", value: [7], partition: 0 });
  assert.match(await aloft("streams", "show", "plant", "readings"), /each +running +0 /);
  assert.match(await aloft("streams", "pause", "plant", "readings", "each"), /each is paused/);
  assert.deepEqual(JSON.parse(await aloft("streams", "parked", "plant", "readings", "each", "--json")), []);
  await assert.rejects(aloft("streams", "show", "plant", "nowhere"), { code: 1, stderr: /no stream "nowhere"/ });
  await assert.rejects(aloft("streams", "shwo", "plant", "readings"), { code: 2, stderr: /no action "shwo"/ });
});

test("the command line sends back what was parked, empties a stream and deletes one that nobody consumes", async () => {
  await server.deployFiles("mended", {
    "index.ts": `
      import { http, kv, stream } from "aloft";
      const numbers = stream<number>("numbers");
      const seen = kv<number>("seen");
      const isMended = kv<boolean>("is mended");
      export const check = numbers.consume({ from: "earliest", attempts: 1 }, async (records) => {
        for (const { value } of records) {
          if (value < 0 && !(await isMended.get("it"))) throw new RangeError("below zero");
          await seen.increment("n" + value);
        }
      });
      export const mend = http("POST /mend", async () => { await isMended.set("it", true); return new Response("done"); });
      export const copy = http("POST /copy", async () => { await stream("copies").append(1); return new Response("done"); });
      export const show = http("GET /", async () => {
        const found = {};
        for await (const { key, value } of seen.list()) found[key] = value;
        return Response.json(found);
      });
    `,
  });
  await server.fetch("mended", "/copy", { method: "POST" });
  for (const data of ["1", "-1", "-2"]) await aloft("streams", "append", "mended", "numbers", "--data", data);
  const parked = await until("two are parked", async () => {
    const list = JSON.parse(await aloft("streams", "parked", "mended", "numbers", "check", "--json")) as unknown[];
    return list.length === 2 && (list as { record: { offset: string } }[]);
  });
  const redrive = ["streams", "redrive", "mended", "numbers", "check"] as const;
  assert.match(await aloft(...redrive, "--dry-run", "--error", "below"), /would send 2 records and 0 windows back/);
  await server.fetch("mended", "/mend", { method: "POST" });
  assert.match(await aloft(...redrive, "--offset", parked[0]?.record.offset ?? ""), /sent 1 records and 0 windows/);
  const seen = async (): Promise<unknown> => await (await server.fetch("mended", "/")).json();
  await until("it is handled", async () => Object.hasOwn((await seen()) as object, "n-1"));
  assert.partialDeepStrictEqual(JSON.parse(await aloft(...redrive, "--json")), { records: 1, dryRun: false });
  await until("all is handled", async () => Object.keys((await seen()) as object).length === 3);
  assert.deepEqual(await seen(), { n1: 1, "n-1": 1, "n-2": 1 });

  await assert.rejects(aloft("streams", "purge", "mended", "numbers"), { code: 2, stderr: /--yes/ });
  assert.match(await aloft("streams", "purge", "mended", "numbers", "--yes"), /deleted 3 records of numbers/);
  await assert.rejects(aloft("streams", "delete", "mended", "numbers", "--yes"), {
    code: 1,
    stderr: /consumed by check/,
  });
  assert.match(await aloft("streams", "delete", "mended", "copies", "--yes"), /deleted copies with 1 records/);
  await assert.rejects(aloft("streams", "show", "mended", "copies"), { code: 1, stderr: /no stream "copies"/ });
  await aloft("streams", "append", "mended", "numbers", "--data", "4");
  await until("a purged stream goes on", async () => Object.hasOwn((await seen()) as object, "n4"));
});

test("bad input is refused by its name", async () => {
  for (const [path, body, code] of refused) await assert.rejects(ask("POST", path, body), { code }, `${path} ${code}`);
});

const badApps: [what: string, code: string, message: RegExp][] = [
  [
    "a schedule that never comes",
    `import { cron } from "aloft"; export const a = cron("0 0 30 2 *", () => {});`,
    /never comes/,
  ],
  [
    "an unknown time zone",
    `import { cron } from "aloft"; export const a = cron("0 0 * * *", { timezone: "Mars/Base" }, () => {});`,
    /no time zone "Mars\/Base"/,
  ],
  [
    "an interval of nothing",
    `import { every } from "aloft"; export const a = every("0s", () => {});`,
    /interval of 0 ms is not allowed/,
  ],
  [
    "an absurd batch",
    `import { stream } from "aloft"; export const a = stream("s").consume({ batch: -1 }, () => {});`,
    /batch is -1; allowed is/,
  ],
  [
    "negative partitions",
    `import { stream } from "aloft"; export const a = stream("s", { partitions: -4 }).consume(() => {});`,
    /partitions is -4/,
  ],
];

test("triggers that cannot be are refused when the app is deployed", async () => {
  for (const [what, code, message] of badApps) {
    await assert.rejects(server.deployFiles("bad", { "index.ts": code }), { message }, what);
  }
});

test("a module worker's scheduled, and a Lambda function on a stream, run unmodified", async () => {
  await server.deployFiles("worker", {
    "index.js": `
      let last = null;
      export default {
        fetch: () => Response.json(last),
        scheduled: (event, env, ctx) => { last = { cron: event.cron, has: typeof event.scheduledTime + typeof ctx.waitUntil }; },
      };`,
    "aloft.json": `{ "functions": { "default": { "triggers": [{ "cron": "every 1s" }] } } }`,
  });
  await until("it was called", async () => {
    const last = (await (await server.fetch("worker", "/")).json()) as { cron: string; has: string } | null;
    return last?.cron === "every 1s" && last.has === "numberfunction";
  });
  await server.deployFiles("kinesis", {
    "index.mjs": `
      export const handler = async (event) => {
        const texts = event.Records.map(({ kinesis }) => Buffer.from(kinesis.data, "base64").toString());
        console.log(event.Records[0].eventSource + " " + texts.join());
      };`,
    "aloft.json": `{ "functions": { "handler": { "triggers": [{ "stream": "clicks", "options": { "from": "earliest" } }] } } }`,
  });
  await server.client.ask("POST", "/v1/apps/kinesis/streams/clicks/records", {
    json: { records: [{ value: { n: 1 } }] },
  });
  await until("its log", async () => {
    const lines = await server.client.listLogs("kinesis", {});
    return lines.some(({ message }) => message.includes('aws:kinesis {"n":1}'));
  });
});

test("a Lambda function with tumbling windows sums up in its state, and is told of each window's end", async () => {
  await server.deployFiles("tumbling", {
    "index.mjs": `
      export const handler = async (event) => {
        const sum = event.Records.reduce((all, { kinesis }) => all + Number(atob(kinesis.data)), event.state.sum ?? 0);
        if (event.isFinalInvokeForWindow) console.log("window of " + event.shardId + " sum " + sum);
        return { state: { sum } };
      };`,
    "aloft.json": `{ "functions": { "handler": { "triggers": [
      { "stream": "clicks", "options": { "from": "earliest", "tumblingWindow": "1s" } }] } } }`,
  });
  const sent = [1, 2, 3, 4];
  for (const value of sent)
    await server.client.ask("POST", "/v1/apps/tumbling/streams/clicks/records", { json: { records: [{ value }] } });
  await until("the sums of all windows", async () => {
    const lines = await server.client.listLogs("tumbling", {});
    const sums = lines.map(({ message }) => /window of shardId-000000000000 sum (\d+)/.exec(message)?.[1] ?? "0");
    return sums.reduce((all, sum) => all + Number(sum), 0) === 10;
  });
});
