/** The loads of the keyspace's benchmark, for Aloft's and for bare node:sqlite. Closed loops: a caller's next follows its last. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { DatabaseSync } from "node:sqlite";
import type { Commit, Keyspace } from "../src/contract/keyspace.ts";
import { systemClock } from "../src/lib/clock.ts";
import { openSqliteKeyspace } from "../src/store/sqlite/sqlite-keyspace.ts";
import { encodeTuple } from "../src/contract/tuple.ts";
import { percentile } from "./lib/stats.ts";

export const callers = 64;
/** Keys that are overwritten at random, and keys that are read. */
const keyCount = 20_000;
const value = Buffer.alloc(200, "v");
const keys = Array.from({ length: keyCount }, (_, number) => encodeTuple(["state", 4711, 1, "key", number]));

export interface Sample {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** CPU time of all threads for one call: it says little less on a busy machine. */
  readonly cpuUs: number;
  /** Of the event loop, with the 1 ms between two looks at it. */
  readonly loopP99Ms: number;
}

const warmMs = 300;

/** What one caller does, over and over. */
type Work = (caller: number) => Promise<void>;

export const aloftLoads = {
  alone: { callers: 1, work: setOne },
  "one key": { callers, work: setOne },
  "append, then delete": { callers, work: appendAndDelete },
  "three keys, one check": { callers, work: checkAndSetThree },
  "read one key": { callers, work: readOne },
} as const satisfies Record<string, { callers: number; work: (keyspace: Keyspace) => Work }>;

/** One thread, one connection, the settings of Aloft's writer. */
export const bareLoads = {
  alone: { callers: 1 },
  "groups of 64": { callers: 64 },
  "read one key": { callers: 1 },
} as const;

export async function measureAloft(load: keyof typeof aloftLoads, seconds: number): Promise<Sample> {
  const folder = mkdtempSync(join(tmpdir(), "aloft-bench-"));
  const keyspace = await openSqliteKeyspace({ file: join(folder, "keyspace.db"), clock: systemClock });
  try {
    for (let at = 0; at < keyCount; at += 1000) {
      await keyspace.commit({
        checks: [],
        writes: keys.slice(at, at + 1000).map((key) => ({ kind: "set", key, value })),
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 1000)); // the writer tidies up
    const { work, callers } = aloftLoads[load];
    return await run(work(keyspace), callers, seconds);
  } finally {
    await keyspace.close();
    rmSync(folder, { recursive: true });
  }
}

/** As many single commits in one transaction as there are callers; a read for each call. */
export async function measureBare(load: keyof typeof bareLoads, seconds: number): Promise<Sample> {
  const folder = mkdtempSync(join(tmpdir(), "aloft-bench-"));
  const db = new DatabaseSync(join(folder, "bare.db"));
  try {
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -32768");
    db.exec("CREATE TABLE entry (key BLOB PRIMARY KEY, version INTEGER, value BLOB) WITHOUT ROWID");
    const set = db.prepare(
      "INSERT INTO entry VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET version = 0, value = excluded.value",
    );
    const get = db.prepare("SELECT version, value FROM entry WHERE key = ?");
    db.exec("BEGIN");
    for (const key of keys) set.run(key, 1, value);
    db.exec("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
    const { callers } = bareLoads[load];
    const work = load === "read one key" ? () => get.get(randomKey()) : commitGroup;
    function commitGroup(): void {
      db.exec("BEGIN");
      for (let caller = 0; caller < callers; caller++) set.run(randomKey(), 1, value);
      db.exec("COMMIT");
    }
    const timesUs: number[] = [];
    const cpuBefore = process.cpuUsage();
    const beginMs = performance.now();
    let nowMs = beginMs;
    while (nowMs - beginMs < seconds * 1000) {
      work();
      const doneMs = performance.now();
      timesUs.push((doneMs - nowMs) * 1000);
      nowMs = doneMs;
    }
    const sample = sampleOf(timesUs, nowMs - beginMs, process.cpuUsage(cpuBefore), Number.NaN);
    return { ...sample, perSecond: sample.perSecond * callers, cpuUs: sample.cpuUs / callers };
  } finally {
    db.close();
    rmSync(folder, { recursive: true });
  }
}

async function run(work: Work, callers: number, seconds: number): Promise<Sample> {
  const timesUs: number[] = [];
  const warmUntilMs = performance.now() + warmMs;
  const endMs = warmUntilMs + seconds * 1000;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  async function loop(caller: number): Promise<void> {
    for (let beginMs = performance.now(); beginMs < endMs;) {
      await work(caller);
      const doneMs = performance.now();
      if (beginMs > warmUntilMs) timesUs.push((doneMs - beginMs) * 1000);
      beginMs = doneMs;
    }
  }
  delay.enable();
  const cpuBefore = process.cpuUsage();
  await Promise.all(Array.from({ length: callers }, (_, caller) => loop(caller)));
  delay.disable();
  // What ran before the times count is in it: as much as its share of the time.
  const { user, system } = process.cpuUsage(cpuBefore);
  const share = (seconds * 1000) / (endMs - warmUntilMs + warmMs);
  const cpu = { user: user * share, system: system * share };
  return sampleOf(timesUs, seconds * 1000, cpu, delay.percentile(99) / 1e6);
}

function setOne(keyspace: Keyspace): Work {
  return () => commit(keyspace, { checks: [], writes: [{ kind: "set", key: randomKey(), value }] });
}

/** The life of a message: one commit writes it, the next one of the caller takes it away. */
function appendAndDelete(keyspace: Keyspace): Work {
  const prefix = encodeTuple(["queue", 4711, 1, 17]);
  const own = new Map<number, number>();
  return async (caller) => {
    const version = own.get(caller) ?? 0;
    if (version === 0) {
      own.set(caller, await versionOf(keyspace, { checks: [], writes: [{ kind: "append", prefix, value }] }));
      return;
    }
    const key = encodeTuple(["queue", 4711, 1, 17, version, 0]);
    own.set(caller, 0);
    await commit(keyspace, { checks: [{ kind: "version", key, version }], writes: [{ kind: "delete", key }] });
  };
}

/** An event's outcome: its own key checked and written, and two keys of the app's state. */
function checkAndSetThree(keyspace: Keyspace): Work {
  const own = new Map<number, number>();
  return async (caller) => {
    const key = encodeTuple(["own", caller]);
    const version = own.get(caller);
    const checks: Commit["checks"] =
      version === undefined ? [{ kind: "absent", key }] : [{ kind: "version", key, version }];
    const writes: Commit["writes"] = [
      { kind: "set", key, value },
      { kind: "set", key: randomKey(), value },
      { kind: "set", key: randomKey(), value },
    ];
    own.set(caller, await versionOf(keyspace, { checks, writes }));
  };
}

function readOne(keyspace: Keyspace): Work {
  return async () => {
    const [entry] = await keyspace.get([randomKey()]);
    if (entry?.value.length !== value.length) throw new Error("an entry is missing");
  };
}

async function commit(keyspace: Keyspace, each: Commit): Promise<void> {
  await versionOf(keyspace, each);
}

async function versionOf(keyspace: Keyspace, each: Commit): Promise<number> {
  const outcome = await keyspace.commit(each);
  if (outcome.kind !== "committed") throw new Error("a commit of the benchmark met a conflict");
  return outcome.version;
}

function randomKey(): Uint8Array {
  const key = keys[Math.floor(Math.random() * keyCount)];
  if (key === undefined) throw new RangeError("no such key");
  return key;
}

function sampleOf(timesUs: readonly number[], ms: number, cpu: NodeJS.CpuUsage, loopP99Ms: number): Sample {
  return {
    cpuUs: (cpu.user + cpu.system) / timesUs.length,
    perSecond: (timesUs.length / ms) * 1000,
    p50Us: percentile(timesUs, 0.5),
    p99Us: percentile(timesUs, 0.99),
    loopP99Ms,
  };
}
