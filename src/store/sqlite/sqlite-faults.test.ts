import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import type { Entry, Keyspace, Write } from "../../contract/keyspace.ts";
import { ManualClock, systemClock } from "../../lib/clock.ts";
import { decodeTuple, encodeTuple, tupleRange } from "../../contract/tuple.ts";
import { openForWriting } from "./format.ts";
import { beginIncarnation } from "./incarnation.ts";
import { keyspaceMetrics } from "./keyspace-metrics.ts";
import { openSqliteKeyspace, type SqliteKeyspace, type SqliteKeyspaceOptions } from "./sqlite-keyspace.ts";

const child = join(import.meta.dirname, "sqlite-keyspace.child.ts");
const has = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "aloft-keyspace-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function openIn(
  t: TestContext,
  folder: string,
  more: Partial<SqliteKeyspaceOptions> = {},
): Promise<{ keyspace: SqliteKeyspace; warnings: string[]; file: string }> {
  const warnings: string[] = [];
  const file = join(folder, "ks.db");
  const onWarning = (text: string): number => warnings.push(text);
  const keyspace = await openSqliteKeyspace({ file, clock: systemClock, reserveBytes: 0, onWarning, ...more });
  t.after(() => keyspace.close());
  return { keyspace, warnings, file };
}

function set(number: number, bytes = 100): Write {
  return { kind: "set", key: encodeTuple(["k", number]), value: Buffer.alloc(bytes, String(number)) };
}

async function commit(keyspace: Keyspace, ...writes: Write[]): Promise<void> {
  assert.equal((await keyspace.commit({ checks: [], writes })).kind, "committed");
}

async function listAll(keyspace: Keyspace, name: string): Promise<Entry[]> {
  const all: Entry[] = [];
  let query: Parameters<Keyspace["range"]>[0] | null = tupleRange([name]);
  while (query !== null) {
    const page = await keyspace.range(query);
    all.push(...page.entries);
    query = page.next;
  }
  return all;
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise(setImmediate);
}

test("rule 2: after kill -9 every acknowledged commit is there, none by half, and the file is sound", async (t) => {
  const folder = folderOf(t);
  const acknowledged = new Map<string, number>();
  for (let round = 1; round <= 6; round++) {
    const writer = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", child, join(folder, "ks.db"), "write"],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    let text = "";
    for await (const chunk of writer.stdout.setEncoding("utf8")) {
      text += String(chunk);
      if (text.length > 4000 * round) writer.kill("SIGKILL");
    }
    if (writer.exitCode === null && writer.signalCode === null) await once(writer, "exit");
    for (const line of text.split("\n").slice(0, -1)) {
      const [name = "", number] = line.split(" ");
      acknowledged.set(`w${name}`, Number(number));
    }
    const { keyspace, file } = await openIn(t, folder);
    const last = new Map((await listAll(keyspace, "last")).map((entry) => [nameOf(entry), numberIn(entry)]));
    const [left, right] = [await listAll(keyspace, "left"), await listAll(keyspace, "right")];
    assert.deepEqual(left.map(content), right.map(content));
    for (const [name, number] of acknowledged) {
      const found = last.get(name) ?? -1;
      assert.ok(found >= number, `${name}: acknowledged ${number}, found ${found}`);
      const numbers = left.filter((entry) => nameOf(entry) === name).map((entry) => decodeTuple(entry.key)[2]);
      const first = Math.max(0, found - 9);
      assert.deepEqual(
        numbers,
        Array.from({ length: found - first + 1 }, (_, index) => first + index),
      );
    }
    await keyspace.close();
    assertSound(file);
  }
  assert.equal(acknowledged.size, 16);
});

const noStrace = has("strace") ? false : "strace is not installed";

test("rule 2: a lonely commit costs one sync of the disk, and fifty at once share theirs", { skip: noStrace }, (t) => {
  const syncsOf = (mode: string): number => {
    const folder = folderOf(t);
    const trace = join(folder, "trace");
    const program = [
      process.execPath,
      "--disable-warning=ExperimentalWarning",
      child,
      join(folder, "ks.db"),
      mode,
      "500",
    ];
    const traced = spawnSync("strace", ["-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", trace, ...program]);
    assert.equal(traced.signal ?? "SIGKILL", "SIGKILL", String(traced.stderr));
    return readFileSync(trace, "utf8")
      .split("\n")
      .filter((line) => /\bf(?:data)?sync\(/.test(line)).length;
  };
  const opening = syncsOf("open");
  const lonely = syncsOf("lonely") - opening;
  // The large values among them make one checkpoint or two, of two syncs and one for the new beginning of the log.
  assert.ok(lonely >= 500 && lonely <= 520, `${lonely} syncs for 500 commits`);
  const grouped = syncsOf("group") - opening;
  assert.ok(grouped >= 10 && grouped <= 100, `${grouped} syncs for 500 commits of 50 callers`);
});

test("rule 6: a full disk refuses what needs room; acknowledgements and deletes go on; all goes on when there is room", async (t) => {
  const folder = folderOf(t);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], { stdio: "ignore" });
  } catch {
    t.skip("a small tmpfs cannot be mounted here");
    return;
  }
  try {
    const reserveBytes = 3 * 1024 * 1024;
    const { keyspace, warnings, file } = await openIn(t, folder, { reserveBytes });
    const accepted: number[] = [];
    for (let number = 0; number < 50; number++) await commit(keyspace, set(number, 2000));
    fill(join(folder, "filler"));
    truncateSync(join(folder, "filler"), statSync(join(folder, "filler")).size - 4 * 4096);
    await assert.rejects(
      async () => {
        for (let number = 50; ; number++) {
          await commit(keyspace, set(number, 2000));
          accepted.push(number);
        }
      },
      { code: "DISK_FULL" },
    );
    assert.equal(existsSync(`${file}.reserve`), false);
    await commit(keyspace, { kind: "delete", key: encodeTuple(["k", 0]) });
    assert.match(keyspaceMetrics(keyspace.stats()), /^aloft_keyspace_disk_full 1$/m);
    const acknowledgement = {
      checks: [],
      writes: [set(1000), { kind: "delete", key: encodeTuple(["k", 1]) } as const],
    };
    await assert.rejects(keyspace.commit(acknowledgement), { code: "DISK_FULL" });
    await keyspace.commit({ ...acknowledgement, isEssential: true });
    const expected = [...Array.from({ length: 48 }, (_, index) => index + 2), ...accepted, 1000];
    assert.deepEqual(
      (await listAll(keyspace, "k")).map((entry) => decodeTuple(entry.key)[1]),
      expected,
    );
    rmSync(join(folder, "filler"));
    await until(() =>
      commit(keyspace, set(1001)).then(
        () => true,
        () => false,
      ),
    );
    assert.equal(statSync(`${file}.reserve`).size, reserveBytes);
    assert.match(keyspaceMetrics(keyspace.stats()), /^aloft_keyspace_disk_full 0$/m);
    assert.match(keyspaceMetrics(keyspace.stats()), /commits_total\{outcome="refused"\} [2-9]/);
    assert.equal(warnings.length, 2);
    assert.match(warnings.join(), /the disk is full.*room on the disk again/s);
    await keyspace.close();
    // A start on a disk that is full to the last block has the reserve to live on.
    fill(join(folder, "filler"));
    const again = await openIn(t, folder, { reserveBytes });
    await assert.rejects(commit(again.keyspace, set(1002)), { code: "DISK_FULL" });
    await commit(again.keyspace, { kind: "delete", key: encodeTuple(["k", 1001]) });
    assert.deepEqual(
      (await listAll(again.keyspace, "k")).map((entry) => decodeTuple(entry.key)[1]),
      expected,
    );
    await again.keyspace.close();
  } finally {
    execFileSync("umount", ["-l", folder]);
  }
});

const noPrlimit = has("prlimit") ? false : "prlimit is not installed";

test(
  "rule 2: an error while committing leaves the outcome unknown, and the keyspace goes on",
  { skip: noPrlimit },
  async (t) => {
    const folder = folderOf(t);
    const program = [process.execPath, "--disable-warning=ExperimentalWarning", child, join(folder, "ks.db"), "limit"];
    const ran = spawnSync("prlimit", ["--fsize=300000:unlimited", ...program], { encoding: "utf8" });
    assert.equal(ran.stderr, "");
    const [failed, acknowledged = ""] = ran.stdout.trim().split("\n");
    assert.equal(failed, "failed COMMIT_UNKNOWN");
    const { keyspace } = await openIn(t, folder);
    const [last] = await listAll(keyspace, "last");
    assert.equal(numberIn(last!), Number(acknowledged.split(" ")[1]));
    assert.equal((await listAll(keyspace, "left")).length, 10);
  },
);

test("a writer's thread that dies leaves outcomes unknown, is started again, and nothing acknowledged is lost", async (t) => {
  const threadUrl = new URL("./dying-writer.fixture.ts", import.meta.url);
  const { keyspace, warnings } = await openIn(t, folderOf(t), { threadUrl });
  await commit(keyspace, set(1));
  const [before, unknown] = await Promise.allSettled([
    keyspace.commit({ checks: [], writes: [set(2)] }),
    // The fixture dies at the sight of this value.
    keyspace.commit({ checks: [], writes: [{ kind: "set", key: encodeTuple(["k", 3]), value: Buffer.from("die") }] }),
  ]);
  assert.equal(before.status, "rejected");
  assert.ok(unknown.status === "rejected");
  assert.equal(unknown.reason.code, "COMMIT_UNKNOWN");
  await commit(keyspace, set(4));
  assert.deepEqual(
    (await listAll(keyspace, "k")).map((entry) => decodeTuple(entry.key)[1]),
    [1, 4],
  );
  assert.match(warnings.join(), /the writer's thread ended/);
});

test("a second opening of the same file is refused, in this process and in others", async (t) => {
  const folder = folderOf(t);
  const { keyspace, file } = await openIn(t, folder);
  await assert.rejects(openIn(t, folder), { code: "DATA_LOCKED" });
  const other = spawnSync(process.execPath, [child, file, "open"], { encoding: "utf8" });
  assert.match(other.stderr, /DATA_LOCKED/);
  await commit(keyspace, set(1));
  await keyspace.close();
  const again = await openIn(t, folder);
  assert.equal((await listAll(again.keyspace, "k")).length, 1);
});

test("a file of a newer format, of something else, or in a folder that is not there is refused and left alone", async (t) => {
  const folder = folderOf(t);
  const { keyspace, file } = await openIn(t, folder);
  await keyspace.close();
  const db = new DatabaseSync(file);
  db.exec("PRAGMA user_version = 99");
  db.close();
  await assert.rejects(openIn(t, folder), { code: "DATA_TOO_NEW", message: /has format 99/ });
  writeFileSync(file, "This is not a database, but a text that is long enough to be taken for one.".repeat(20));
  await assert.rejects(openIn(t, folder), { code: "DATA_CORRUPT" });
  assert.match(readFileSync(file, "utf8"), /^This is not/);
  rmSync(file);
  const foreign = new DatabaseSync(file);
  foreign.exec("CREATE TABLE other (x)");
  foreign.close();
  await assert.rejects(openIn(t, folder), { code: "DATA_CORRUPT", message: /not written by aloft/ });
  await assert.rejects(openIn(t, join(folder, "missing")), { code: "DATA_UNWRITABLE" });
});

test("only the server's user may read what is kept, and its backup", async (t) => {
  const folder = folderOf(t);
  const { keyspace, file } = await openIn(t, folder, { reserveBytes: 1000 });
  await commit(keyspace, set(1));
  await keyspace.backup(join(folder, "copy.db"));
  for (const path of [file, `${file}-wal`, `${file}-shm`, join(folder, "copy.db")]) {
    assert.equal(statSync(path).mode & 0o777, 0o600, path);
  }
});

test("an older format is brought up to date step by step, each of them once", (t) => {
  const file = join(folderOf(t), "old.db");
  const ran: number[] = [];
  const steps = [1, 2, 3].map((step) => (db: DatabaseSync): void => {
    ran.push(step);
    db.exec(`CREATE TABLE t${step} (x)`);
  });
  openForWriting(file, steps.slice(0, 1)).close();
  openForWriting(file, steps).close();
  openForWriting(file, steps).close();
  assert.deepEqual(ran, [1, 2, 3]);
  assert.throws(() => openForWriting(file, steps.slice(0, 2)), { code: "DATA_TOO_NEW" });
});

test("a damaged page is reported by whoever comes upon it, reading, writing or opening", async (t) => {
  const folder = folderOf(t);
  const first = await openIn(t, folder);
  for (let number = 0; number < 400; number++) await commit(first.keyspace, set(number, 500));
  await first.keyspace.close();
  const { keyspace: merged, file } = await openIn(t, folder, { unmergedEntries: 0 });
  await commit(merged, set(400));
  await merged.close();
  const whole = readFileSync(file);
  // The first pages stay, so that the file opens; every other one is noise.
  writeFileSync(file, Buffer.concat([whole.subarray(0, 8 * 4096), Buffer.alloc(whole.length - 8 * 4096, 0xa5)]));
  const opened = await openIn(t, folder).catch((error: unknown) => error);
  if (opened instanceof Error) {
    assert.equal((opened as Error & { code: string }).code, "DATA_CORRUPT");
    return;
  }
  const { keyspace } = opened as Awaited<ReturnType<typeof openIn>>;
  await assert.rejects(listAll(keyspace, "k"), { code: "DATA_CORRUPT", message: /damaged/ });
  const check = { kind: "absent", key: encodeTuple(["k", 200]) } as const;
  await assert.rejects(keyspace.commit({ checks: [check], writes: [set(200)] }), { code: "DATA_CORRUPT" });
});

test("damage to the log is found when the file is opened", async (t) => {
  const folder = folderOf(t);
  const { keyspace, file } = await openIn(t, folder, { idleMs: 600_000 });
  for (let number = 0; number < 20; number++) await commit(keyspace, set(number));
  await keyspace.close();
  const db = new DatabaseSync(file);
  const row = db.prepare("SELECT changes FROM log WHERE version = 7").get()!["changes"] as Uint8Array;
  row[40]! ^= 1;
  db.prepare("UPDATE log SET changes = ? WHERE version = 7").run(row);
  db.close();
  await assert.rejects(openIn(t, folder), { code: "DATA_CORRUPT", message: /row 7 of the log/ });
});

test("rule 17: a backup holds everything committed before it and nothing after, while writing goes on", async (t) => {
  const folder = folderOf(t);
  const { keyspace } = await openIn(t, folder, { unmergedEntries: 20 });
  const state = { isOver: false, number: 0 };
  const committed = (): Promise<void> => {
    const number = state.number++;
    return commit(keyspace, set(number), { kind: "set", key: encodeTuple(["copy", number]), value: Buffer.alloc(9) });
  };
  while (state.number < 300) await committed();
  const writing = (async () => {
    while (!state.isOver) await committed();
  })();
  const before = state.number;
  const target = mkdtempSync(join(folder, "backup-"));
  await keyspace.backup(join(target, "ks.db"));
  state.isOver = true;
  await writing;
  const { keyspace: copy } = await openIn(t, target);
  const found = await listAll(copy, "k");
  assert.ok(
    found.length >= before - 1 && found.length < state.number,
    `${before} before, ${found.length} found, ${state.number} in the end`,
  );
  assert.equal((await listAll(copy, "copy")).length, found.length);
  await commit(copy, set(999_999));
  await assert.rejects(keyspace.backup(join(folder, "missing", "ks.db")));
  await commit(keyspace, set(999_999));
});

test("rule 17: a restored copy goes on with versions above any that the original can have given out since", async (t) => {
  const folder = folderOf(t);
  const { keyspace, file } = await openIn(t, folder);
  for (let number = 0; number < 5; number++) await commit(keyspace, set(number));
  const copy = join(mkdtempSync(join(folder, "copy-")), "ks.db");
  await keyspace.backup(copy);
  let last = 0;
  for (let number = 0; number < 20; number++) {
    const outcome = await keyspace.commit({ checks: [], writes: [set(number)] });
    last = outcome.kind === "committed" ? outcome.version : 0;
  }
  beginIncarnation(copy);
  const first = await openIn(t, join(copy, ".."), { unmergedEntries: 0, idleMs: 1 });
  assert.equal((await listAll(first.keyspace, "k")).length, 5);
  // What was read before the copy still can be checked; what came after it never holds.
  const [entry] = await listAll(first.keyspace, "k");
  const check = { kind: "version", key: entry!.key } as const;
  const late = await first.keyspace.commit({ checks: [{ ...check, version: last }], writes: [set(0)] });
  assert.equal(late.kind, "conflict");
  const outcome = await first.keyspace.commit({ checks: [{ ...check, version: entry!.version }], writes: [set(0)] });
  assert.ok(outcome.kind === "committed" && outcome.version > 2 ** 44, JSON.stringify(outcome));
  const reader = new DatabaseSync(copy, { readOnly: true });
  await until(() => Number(reader.prepare("SELECT count(*) AS n FROM log").get()!["n"]) === 0);
  reader.close();
  await first.keyspace.close();
  beginIncarnation(copy);
  const second = await openIn(t, join(copy, ".."));
  const next = await second.keyspace.commit({ checks: [], writes: [set(1)] });
  assert.ok(next.kind === "committed" && next.version > 2 ** 45);
  assert.equal((await listAll(second.keyspace, "k")).length, 5);
  await second.keyspace.close();
  assertSound(copy);
  writeFileSync(copy, "no keyspace");
  assert.throws(() => beginIncarnation(copy), { code: "DATA_CORRUPT" });
  assert.ok((await keyspace.commit({ checks: [], writes: [set(1)] })).kind === "committed");
  assert.ok(existsSync(file));
});

test("rule 6: expired entries leave the file, and the file gives back what deletes have freed", async (t) => {
  const clock = new ManualClock();
  const folder = folderOf(t);
  const { keyspace, file } = await openIn(t, folder, { clock, idleMs: 1 });
  const expiresAtMs = clock.nowMs() + 1000;
  for (let number = 0; number < 3000; number += 300) {
    const writes = Array.from({ length: 300 }, (_, index): Write => ({
      kind: "set",
      key: encodeTuple(["k", number + index]),
      value: Buffer.alloc(index % 3 === 0 ? 6000 : 2000),
      expiresAtMs,
    }));
    await commit(keyspace, ...writes);
  }
  const reader = new DatabaseSync(file, { readOnly: true });
  const count = (table: string): number => Number(reader.prepare(`SELECT count(*) AS n FROM ${table}`).get()!["n"]);
  const pages = (): number => Number(reader.prepare("PRAGMA page_count").get()!["page_count"]);
  await until(() => count("entry") === 3000 && count("log") === 0);
  const [large, most] = [count("large"), pages()];
  clock.advance(1000);
  await commit(keyspace, { kind: "delete", key: encodeTuple(["other"]) });
  await until(() => count("entry") === 0 && count("large") === 0 && pages() < most / 2);
  reader.close();
  assert.deepEqual([large, await listAll(keyspace, "k")], [1000, []]);
});

test("rule 6: expired entries leave the file also when commits never pause", async (t) => {
  const clock = new ManualClock();
  const { keyspace, file } = await openIn(t, folderOf(t), { clock, idleMs: 600_000, unmergedEntries: 50 });
  const expiresAtMs = clock.nowMs() + 1000;
  for (let number = 0; number < 500; number++) await commit(keyspace, { ...set(number, 300), expiresAtMs } as Write);
  clock.advance(1000);
  const reader = new DatabaseSync(file, { readOnly: true });
  const counted = reader.prepare("SELECT count(*) AS n FROM entry WHERE expires_ms IS NOT NULL");
  let number = 1000;
  await until(async () => {
    await commit(keyspace, set(number++));
    return Number(counted.get()!["n"]) === 0;
  });
  reader.close();
  assert.equal((await listAll(keyspace, "k")).length, number - 1000);
});

test("rule 6: the write-ahead log is truncated when it has grown beyond its limit", async (t) => {
  const { keyspace, file } = await openIn(t, folderOf(t), { walBytesMax: 256 * 1024, idleMs: 1 });
  const reader = new DatabaseSync(file, { readOnly: true });
  reader.exec("BEGIN; SELECT * FROM counter"); // holds the log up, as a backup does
  for (let number = 0; number < 100; number++) await commit(keyspace, set(number, 20_000));
  assert.ok(statSync(`${file}-wal`).size > 1_000_000);
  reader.close();
  await until(async () => {
    await commit(keyspace, set(1));
    return statSync(`${file}-wal`).size <= 256 * 1024;
  });
});

test("a message that is deleted before it was merged never gets into the tree", async (t) => {
  const { keyspace, file } = await openIn(t, folderOf(t), { idleMs: 1 });
  await commit(keyspace, set(0));
  for (let number = 1; number < 50; number++) {
    await commit(keyspace, set(number));
    await commit(keyspace, { kind: "delete", key: encodeTuple(["k", number]) });
  }
  const reader = new DatabaseSync(file, { readOnly: true });
  await until(() => Number(reader.prepare("SELECT count(*) AS n FROM log").get()!["n"]) === 0);
  assert.equal(Number(reader.prepare("SELECT count(*) AS n FROM entry").get()!["n"]), 1);
  reader.close();
});

/** To the last block, whatever others take meanwhile. */
function fill(file: string): void {
  for (let bytes = 1024 * 1024; bytes >= 4096; bytes /= 4) {
    try {
      for (;;) writeFileSync(file, Buffer.alloc(bytes), { flag: "a" });
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
    }
  }
}

function assertSound(file: string): void {
  const db = new DatabaseSync(file);
  const rows = db.prepare("PRAGMA integrity_check").all();
  const dangling = db
    .prepare("SELECT count(*) AS n FROM entry WHERE large IS NOT NULL AND large NOT IN (SELECT id FROM large)")
    .get();
  db.close();
  assert.deepEqual(
    rows.map((row) => row["integrity_check"]),
    ["ok"],
  );
  assert.equal(dangling!["n"], 0);
}

function nameOf(entry: Entry): string {
  return String(decodeTuple(entry.key)[1]);
}

function numberIn(entry: Entry): number {
  return Buffer.from(entry.value).readUInt32LE();
}

function content(entry: Entry): unknown[] {
  return [...decodeTuple(entry.key).slice(1), Buffer.from(entry.value).toString("latin1"), entry.version];
}
