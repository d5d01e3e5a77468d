import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { limits } from "../contract/limits.ts";
import type { InvocationRecord, LogFilter, LogLine, RecordFilter } from "../contract/observing.ts";
import { ManualClock } from "../lib/clock.ts";
import { openObserver, type ObserverOptions } from "./observer.ts";

const beginMs = 1_700_000_000_000;

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "aloft-observe-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function open(t: TestContext, options: Partial<ObserverOptions> = {}) {
  const folder = options.folder ?? folderOf(t);
  const clock = new ManualClock(beginMs);
  const warnings: string[] = [];
  const observer = await openObserver({ folder, clock, onWarning: (text) => warnings.push(text), ...options });
  t.after(() => observer.close());
  return { folder, clock, warnings, observer };
}

function idOf(atMs: number, number: number): string {
  return atMs.toString(16).padStart(12, "0") + number.toString(16).padStart(20, "0");
}

function recordOf(number: number, change: Partial<InvocationRecord> = {}): InvocationRecord {
  const startedAtMs = change.startedAtMs ?? beginMs + number;
  return {
    id: idOf(startedAtMs, number),
    app: "shop",
    alias: "production",
    function: "cart",
    deployment: "d".repeat(40),
    trigger: "http",
    startedAtMs,
    waitUs: 50,
    coldUs: 0,
    handlerUs: 400,
    status: 200,
    outcome: "ok",
    attempt: 1,
    memoryBytes: 60_000_000,
    errorCode: "",
    errorMessage: "",
    subject: `GET /items/${number}`,
    ...change,
  };
}

function lineOf(number: number, change: Partial<LogLine> = {}): LogLine {
  return {
    atMs: beginMs + number,
    app: "shop",
    function: "cart",
    deployment: "d".repeat(40),
    invocation: "",
    level: "info",
    stream: "console",
    message: `line ${number}`,
    ...change,
  };
}

test("records and lines come back as they were given, without a flush and after a restart", async (t) => {
  const { folder, observer } = await open(t);
  const records = [
    recordOf(1, { subject: "GET /世界/😀" }),
    recordOf(2, { outcome: "error", errorMessage: "né", errorCode: "FUNCTION_THREW" }),
  ];
  const lines = [
    lineOf(1, { invocation: records[0]!.id }),
    lineOf(2, { message: "", level: "error", stream: "stderr" }),
  ];
  for (const record of records) observer.record(record);
  for (const line of lines) observer.log(line);
  assert.deepEqual(await observer.listRecords({}), [...records].toReversed());
  assert.deepEqual(await observer.listLogs({}), lines);
  await observer.close();
  await observer.close();
  const again = await open(t, { folder });
  assert.deepEqual(await again.observer.listRecords({}), [...records].toReversed());
  assert.deepEqual(await again.observer.listLogs({}), lines);
  assert.deepEqual(again.warnings, []);
});

test("records are chosen by every filter, newest start first, whatever the order of their ends", async (t) => {
  const { observer } = await open(t);
  const apps = ["shop", "blog"];
  const all = Array.from({ length: 60 }, (_, i) =>
    recordOf((i * 37) % 60, {
      app: apps[i % 2]!,
      function: i % 3 === 0 ? "cart" : "list",
      outcome: i % 5 === 0 ? "error" : "ok",
    }),
  );
  for (const [i, record] of all.entries()) {
    observer.record(record);
    if (i % 7 === 0) await observer.flush(); // several blocks with overlapping times
  }
  const table: [RecordFilter, (record: InvocationRecord) => boolean][] = [
    [{}, () => true],
    [{ app: "shop" }, (r) => r.app === "shop"],
    [{ app: "none" }, () => false],
    [{ function: "cart" }, (r) => r.function === "cart"],
    [{ app: "blog", function: "list" }, (r) => r.app === "blog" && r.function === "list"],
    [{ outcome: "error" }, (r) => r.outcome === "error"],
    [{ outcome: "timeout" }, () => false],
    [
      { app: "shop", outcome: "ok", sinceMs: beginMs + 20 },
      (r) => r.app === "shop" && r.outcome === "ok" && r.startedAtMs >= beginMs + 20,
    ],
    [
      { sinceMs: beginMs + 20, untilMs: beginMs + 30 },
      (r) => r.startedAtMs >= beginMs + 20 && r.startedAtMs <= beginMs + 30,
    ],
    [{ untilMs: beginMs - 1 }, () => false],
    [{ limit: 7 }, () => true],
    [{ app: "blog", limit: 3, untilMs: beginMs + 40 }, (r) => r.app === "blog" && r.startedAtMs <= beginMs + 40],
  ];
  for (const [filter, passes] of table) {
    const expected = all
      .filter(passes)
      .sort((a, b) => b.startedAtMs - a.startedAtMs)
      .slice(0, filter.limit ?? 100);
    assert.deepEqual(await observer.listRecords(filter), expected, JSON.stringify(filter));
  }
});

test("lines are chosen by every filter, the newest of them, oldest first", async (t) => {
  const { observer } = await open(t);
  const levels = ["debug", "info", "warn", "error"] as const;
  const ids = [idOf(beginMs, 1), idOf(beginMs, 2), ""];
  const all = Array.from({ length: 60 }, (_, i) =>
    lineOf(i, {
      app: i % 2 === 0 ? "shop" : "blog",
      function: i % 3 === 0 ? "" : "list",
      level: levels[i % 4]!,
      invocation: ids[i % 3]!,
    }),
  );
  for (const [i, line] of all.entries()) {
    observer.log(line);
    if (i % 11 === 0) await observer.flush();
  }
  const table: [LogFilter, (line: LogLine) => boolean][] = [
    [{}, () => true],
    [{ app: "blog" }, (l) => l.app === "blog"],
    [{ app: "blog", function: "" }, (l) => l.app === "blog" && l.function === ""],
    [{ level: "debug" }, () => true],
    [{ level: "warn" }, (l) => l.level === "warn" || l.level === "error"],
    [{ level: "error", app: "blog" }, (l) => l.level === "error" && l.app === "blog"],
    [{ invocation: ids[1]! }, (l) => l.invocation === ids[1]],
    [{ invocation: idOf(beginMs, 99) }, () => false],
    [{ sinceMs: beginMs + 50 }, (l) => l.atMs >= beginMs + 50],
    [{ untilMs: beginMs + 5, limit: 2 }, (l) => l.atMs <= beginMs + 5],
    [{ limit: 1 }, () => true],
  ];
  for (const [filter, passes] of table) {
    const expected = all.filter(passes).slice(-(filter.limit ?? 1000));
    assert.deepEqual(await observer.listLogs(filter), expected, JSON.stringify(filter));
  }
});

test("a record is found by its id, near the id's time or far from it", async (t) => {
  const { observer } = await open(t);
  const odd = recordOf(7, { id: "ffffffffffff00000000000000000001" });
  const late = recordOf(8, { startedAtMs: beginMs - 900_000 });
  for (const record of [recordOf(1), odd, late]) observer.record(record);
  await observer.flush();
  observer.record(recordOf(9));
  for (const record of [recordOf(1), odd, late, recordOf(9)])
    assert.deepEqual(await observer.findRecord(record.id), record);
  assert.deepEqual(await observer.findRecord(late.id.toUpperCase()), late);
  for (const id of [idOf(beginMs, 77), "", "zz", "0".repeat(31)]) assert.equal(await observer.findRecord(id), null, id);
});

test("a rare app is found among the blocks of a thousand others", async (t) => {
  const { observer } = await open(t);
  observer.record(recordOf(1, { app: "rare" }));
  await observer.flush();
  for (let i = 0; i < 1000; i++) observer.record(recordOf(i, { app: `app-${i}` }));
  observer.record(recordOf(2000, { app: "rare" }));
  await observer.flush();
  for (let i = 0; i < 50; i++) {
    observer.record(recordOf(3000 + i));
    await observer.flush();
  }
  assert.deepEqual(
    (await observer.listRecords({ app: "rare" })).map((r) => r.startedAtMs),
    [beginMs + 2000, beginMs + 1],
  );
  assert.equal((await observer.listRecords({ app: "app-500" })).length, 1);
});

test("200,000 records in bursts are all counted and all there", async (t) => {
  const { folder, observer } = await open(t);
  for (let burst = 0; burst < 10; burst++) {
    for (let i = 0; i < 20_000; i++) observer.record(recordOf(burst * 20_000 + i));
    await observer.flush();
  }
  const { recordsAccepted, recordsWritten, recordsDropped } = observer.stats();
  assert.deepEqual(
    { recordsAccepted, recordsWritten, recordsDropped },
    { recordsAccepted: 200_000, recordsWritten: 200_000, recordsDropped: 0 },
  );
  assert.equal((await observer.listRecords({ limit: 1000 })).at(-1)?.startedAtMs, beginMs + 199_000);
  await observer.close();
  assert.equal(countIn(join(folder, "records.db")), 200_000);
});

test("what comes faster than the writer takes it is dropped, counted, and later records are kept again", async (t) => {
  const { observer } = await open(t, { inFlightBytesMax: limits.observeChunkBytes });
  // One turn of the event loop may not be enough for the writer: two chunks fill, and what follows is dropped or kept.
  for (let i = 0; i < 100_000; i++) observer.record(recordOf(i));
  await observer.flush();
  const { recordsAccepted, recordsWritten, recordsDropped } = observer.stats();
  assert.equal(recordsAccepted, 100_000);
  assert.equal(recordsWritten + recordsDropped, 100_000);
  assert(recordsWritten > 0);
  observer.record(recordOf(200_000));
  assert.equal((await observer.listRecords({ limit: 1 }))[0]?.startedAtMs, beginMs + 200_000);
  assert.equal(observer.stats().recordsDropped, recordsDropped);
});

test("a follower sees what passes its filter at once, until it stops; one that throws is let go", async (t) => {
  const { observer } = await open(t);
  const seen: string[] = [];
  const stop = observer.followRecords({ app: "shop", outcome: "error" }, (record) => seen.push(record.id));
  observer.followLogs({ level: "warn", invocation: idOf(beginMs, 3) }, (line) => seen.push(line.message));
  let throws = 0;
  observer.followLogs({}, () => {
    throws++;
    throw new Error("the reader failed");
  });
  const wanted = recordOf(1, { outcome: "error" });
  observer.record(wanted);
  observer.record(recordOf(2));
  observer.record(recordOf(3, { outcome: "error", app: "blog" }));
  observer.log(lineOf(1, { level: "warn" }));
  observer.log(lineOf(2, { level: "info", invocation: idOf(beginMs, 3) }));
  observer.log(lineOf(3, { level: "error", invocation: idOf(beginMs, 3) }));
  assert.deepEqual(seen, [wanted.id, "line 3"]);
  assert.equal(throws, 1);
  stop();
  observer.record(wanted);
  assert.equal(seen.length, 2);
});

test("what is older than the retention goes, as time passes", async (t) => {
  const { clock, observer } = await open(t, { retention: { records: { ageMs: 60_000 } } });
  for (let i = 0; i < 100; i++) {
    observer.record(recordOf(i));
    observer.log(lineOf(i));
    await observer.flush();
  }
  clock.advance(61_000);
  for (let i = 0; i < 2; i++) {
    observer.record(recordOf(61_000 + i));
    await observer.flush();
  }
  // Slices follow one another between messages: ask until the last one is done.
  let left = await observer.listRecords({});
  while (left.length > 2) left = await observer.listRecords({});
  assert.equal(left.length, 2);
  assert.equal((await observer.listLogs({})).length, 100);
});

test("the file stays within its bytes and the newest records stay in it", async (t) => {
  const bytes = 4 * 1024 * 1024;
  const { folder, observer } = await open(t, { retention: { records: { bytes } } });
  for (let i = 0; i < 200_000; i++) {
    observer.record(recordOf(i));
    if (i % 2000 === 0) await observer.flush();
  }
  const newest = await observer.listRecords({ limit: 1000 });
  assert.deepEqual([newest[0]?.startedAtMs, newest.length], [beginMs + 199_999, 1000]);
  await observer.close();
  const size = statSync(join(folder, "records.db")).size;
  assert(size < bytes * 2.5 + limits.observeChunkBytes * 16, `${size}`);
  assert(countIn(join(folder, "records.db")) > 20_000);
});

test("after kill -9 everything that was flushed is there and the file is healthy", async (t) => {
  const folder = folderOf(t);
  const child = spawn(process.execPath, [join(import.meta.dirname, "observer-crash.fixture.ts"), folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let flushed = 0;
  let rest = "";
  for await (const chunk of child.stdout) {
    const lines = (rest + String(chunk)).split("\n");
    rest = lines.pop() ?? "";
    flushed = Number(lines.at(-1) ?? flushed);
    if (flushed >= 20_000) child.kill("SIGKILL");
  }
  if (child.signalCode === null) await once(child, "exit");
  assert.equal(child.signalCode, "SIGKILL");
  const { warnings, observer } = await open(t, { folder, retention: { records: { ageMs: Infinity } } });
  const [newest] = await observer.listRecords({ limit: 1 });
  assert(newest !== undefined && newest.startedAtMs >= flushed - 1);
  await observer.close();
  assert.deepEqual(warnings, []);
  assert(countIn(join(folder, "records.db")) >= flushed);
});

test("a damaged or foreign file is moved aside with a warning, and the new one works", async (t) => {
  const folder = folderOf(t);
  writeFileSync(join(folder, "records.db"), "this is no database ".repeat(1000));
  const foreign = new DatabaseSync(join(folder, "logs.db"));
  foreign.exec("CREATE TABLE precious (x)");
  foreign.close();
  const { warnings, observer } = await open(t, { folder });
  observer.record(recordOf(1));
  observer.log(lineOf(1));
  assert.equal((await observer.listRecords({})).length, 1);
  assert.equal((await observer.listLogs({})).length, 1);
  assert.equal(warnings.length, 2);
  assert.match(warnings.join("\n"), /records\.db: damaged or not ours .* moved to .*records\.db\.aside-/);
  await observer.close();
  const kept = readdirSync(folder).find((name) => name.startsWith("logs.db.aside-"));
  assert(kept !== undefined);
  const aside = new DatabaseSync(join(folder, kept));
  assert.deepEqual(aside.prepare("SELECT count(*) AS n FROM precious").get()?.["n"], 0);
  aside.close();
});

test("a folder that cannot be used drops what arrives and stops nothing", async (t) => {
  const folder = join(folderOf(t), "file");
  writeFileSync(folder, "");
  const { warnings, observer } = await open(t, { folder });
  observer.record(recordOf(1));
  await observer.flush().catch(() => null);
  await observer.close();
  assert(warnings.length > 0);
  assert.equal(observer.stats().recordsDropped, 1);
  observer.record(recordOf(2));
  assert.equal(observer.stats().recordsDropped, 2);
});

test("a writer that dies loses what it held, counted, and is started again, at most once in a while", async (t) => {
  const threadUrl = new URL("./dying-writer.fixture.ts", import.meta.url);
  const { folder, clock, warnings, observer } = await open(t, { threadUrl });
  observer.record(recordOf(1, { app: "die" }));
  await assert.rejects(observer.flush(), { code: "INTERNAL" });
  assert.equal(observer.stats().recordsDropped, 1);
  assert.match(warnings.join("\n"), /the writer of records and logs ended: exit code 7/);
  // Too soon: nothing runs, but what arrives is kept in memory.
  observer.record(recordOf(2));
  await assert.rejects(observer.flush(), { code: "INTERNAL" });
  clock.advance(limits.observeRestartMs);
  assert.deepEqual(
    (await observer.listRecords({})).map((record) => record.startedAtMs),
    [beginMs + 2],
  );
  await observer.close();
  assert.equal(countIn(join(folder, "records.db")), 1);
});

/** Items in the file's blocks; also that SQLite finds nothing wrong with it. */
function countIn(path: string): number {
  const db = new DatabaseSync(path);
  try {
    assert.equal(db.prepare("PRAGMA integrity_check").get()?.["integrity_check"], "ok");
    return Number(db.prepare("SELECT sum(count) AS n FROM block").get()?.["n"]);
  } finally {
    db.close();
  }
}
