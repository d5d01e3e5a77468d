/**
 * What every driver of the keyspace must do; the numbers are those of the rules of the durable core. A driver's test gives
 * a way to open one on new data, and to close and open it again on the same.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import * as fc from "fast-check";
import type { Check, Commit, CommitOutcome, Entry, Key, Keyspace, Write } from "../contract/keyspace.ts";
import { limits } from "../contract/limits.ts";
import { ManualClock } from "../lib/clock.ts";
import { modelCommit, type Model, modelPage } from "./model.suite.ts";
import { appendedKey, decodeTuple, encodeTuple, tupleRange } from "../contract/tuple.ts";

export interface OpenedStore {
  readonly keyspace: Keyspace;
  readonly warnings: string[];
  /** Closes it and opens another one on the same data. */
  reopen(clock?: ManualClock): Promise<OpenedStore>;
}

export type OpenStore = (t: TestContext, clock: ManualClock) => Promise<OpenedStore>;

export function storeSuite(driver: string, open: OpenStore): void {
  function it(
    sentence: string,
    body: (store: Keyspace, clock: ManualClock, opened: OpenedStore) => Promise<void>,
  ): void {
    test(`${driver}: ${sentence}`, async (t) => {
      const clock = new ManualClock();
      const opened = await open(t, clock);
      await body(opened.keyspace, clock, opened);
    });
  }

  it("rule 1: all writes of a commit have one version, and the next commit's is higher", async (store) => {
    const first = await versionOf(store, [set("a", "1"), set("b", "2"), add("n", 3n)]);
    const second = await versionOf(store, [set("b", "3")]);
    assert.ok(first >= 1 && second > first, `${first}, ${second}`);
    assert.deepEqual(await contents(store), { a: ["1", first], b: ["3", second], n: [int(3n), first] });
  });

  it("rule 1: appended keys are in the order of commits, and in one of its writes", async (store) => {
    const prefix = encodeTuple(["log"]);
    const append = (text: string): Write => ({ kind: "append", prefix, value: Buffer.from(text) });
    const versions = await Promise.all([
      versionOf(store, [append("a"), set("x", ""), append("b")]),
      versionOf(store, [append("c")]),
      versionOf(store, [append("d"), append("e")]),
    ]);
    const { entries } = await store.range(tupleRange(["log"]));
    assert.deepEqual(entries.map(text), ["a", "b", "c", "d", "e"]);
    assert.deepEqual(decodeTuple(entries[1]!.key), ["log", versions[0], 2]);
    assert.deepEqual(bytes(entries[4]!.key), bytes(appendedKey(prefix, versions[2], 1)));
  });

  it("rule 1: whoever has seen a version never sees a smaller one appear later", async (store) => {
    const writing = { isOver: false };
    const writers = Promise.all(
      Array.from({ length: 8 }, async (_, writer) => {
        for (let i = 0; i < 60; i++) await store.commit({ checks: [], writes: [set(`k/${writer}/${i}`, "")] });
      }),
    ).finally(() => (writing.isOver = true));
    const seen = new Set<number>();
    let highest = 0;
    while (!writing.isOver) {
      for (const entry of await everything(store)) {
        assert.ok(seen.has(entry.version) || entry.version > highest, `${entry.version} came after ${highest}`);
        seen.add(entry.version);
      }
      highest = Math.max(0, ...seen);
    }
    await writers;
    assert.equal((await everything(store)).length, 480);
  });

  it("rule 2: a commit whose check fails writes nothing and names the check's key", async (store) => {
    const version = await versionOf(store, [set("a", "1")]);
    const checks: Check[] = [
      { kind: "version", key: key("a"), version },
      { kind: "absent", key: key("b") },
      { kind: "version", key: key("a"), version: version + 1 },
    ];
    const outcome = await store.commit({ checks, writes: [set("a", "2"), set("c", "3")] });
    assert.ok(outcome.kind === "conflict");
    assert.equal(outcome.check, 2);
    assert.deepEqual(bytes(outcome.key), bytes(key("a")));
    assert.deepEqual(await contents(store), { a: ["1", version] });
  });

  it("rule 2: a check of a key tells its version from another's, and absence", async (store) => {
    const version = await versionOf(store, [set("a", "")]);
    const table: [Check, boolean][] = [
      [{ kind: "version", key: key("a"), version }, true],
      [{ kind: "version", key: key("a"), version: version - 1 }, false],
      [{ kind: "version", key: key("b"), version }, false],
      [{ kind: "version", key: key("b"), version: 0 }, false],
      [{ kind: "absent", key: key("a") }, false],
      [{ kind: "absent", key: key("b") }, true],
    ];
    for (const [check, isHeld] of table) {
      const outcome = await store.commit({ checks: [check], writes: [] });
      assert.equal(outcome.kind, isHeld ? "committed" : "conflict", JSON.stringify(check));
      if (outcome.kind === "committed") assert.equal(outcome.version, version);
    }
  });

  it("rule 2: a check of a range fails after an insert, a change, a delete, and a delete with an insert", async (store) => {
    const changes: [string, Write[]][] = [
      ["nothing", [set("q", "outside"), set("s", "outside")]],
      ["insert", [set("r5", "")]],
      ["change", [set("r1", "other")]],
      ["delete", [del("r2")]],
      ["delete the highest", [del("r3")]],
      ["delete and insert", [del("r1"), set("r4", "")]],
      ["add", [add("r9", 1n)]],
      ["delete a range", [{ kind: "delete-range", start: key("r1"), end: key("r3") }]],
    ];
    for (const [name, writes] of changes) {
      await store.commit({ checks: [], writes: [{ kind: "delete-range", start: key("r"), end: key("s") }] });
      await store.commit({ checks: [], writes: [set("r1", ""), set("r2", ""), add("r9", 1n)] });
      await store.commit({ checks: [], writes: [set("r3", "")] });
      const check = await rangeCheck(store, "r", "s");
      assert.equal(check.count, 4);
      assert.equal((await store.commit({ checks: [check], writes: [] })).kind, "committed", name);
      await store.commit({ checks: [], writes });
      const { kind } = await store.commit({ checks: [check], writes: [set("t", "")] });
      assert.equal(kind, name === "nothing" ? "committed" : "conflict", name);
    }
    const empty: Check = { kind: "range", start: key("x"), end: key("y"), count: 0, highestVersion: 0 };
    assert.equal((await store.commit({ checks: [empty], writes: [set("x", "")] })).kind, "committed");
    assert.equal((await store.commit({ checks: [empty], writes: [] })).kind, "conflict");
  });

  it("rule 2: of commits made together each stands or falls alone, and sees the earlier ones", async (store) => {
    const absent: Check = { kind: "absent", key: key("a") };
    const outcomes = await Promise.allSettled([
      store.commit({ checks: [absent], writes: [set("a", "first")] }),
      store.commit({ checks: [absent], writes: [set("a", "second"), set("lost", "")] }),
      store.commit({ checks: [], writes: [set("a2", "x"), add("a2", 1n)] }),
      store.commit({ checks: [], writes: [del("a")] }),
      store.commit({ checks: [absent], writes: [set("a", "third")] }),
    ]);
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value.kind : outcome.reason.code)),
      ["committed", "conflict", "NOT_AN_INTEGER", "committed", "committed"],
    );
    assert.deepEqual(Object.keys(await contents(store)), ["a"]);
    assert.equal((await contents(store))["a"]?.[0], "third");
  });

  it("rule 2: writes that check what was read lose nothing, however many run at once", async (store) => {
    let conflicts = 0;
    async function increase(): Promise<void> {
      for (let done = 0; done < 20;) {
        const [entry] = await store.get([key("sum")]);
        const found = entry ?? null;
        const check: Check =
          found === null
            ? { kind: "absent", key: key("sum") }
            : { kind: "version", key: key("sum"), version: found.version };
        const value = String(Number(found === null ? 0 : text(found)) + 1);
        const { kind } = await store.commit({ checks: [check], writes: [set("sum", value), add("blind", 1n)] });
        if (kind === "committed") done++;
        else conflicts++;
      }
    }
    await Promise.all(Array.from({ length: 6 }, increase));
    const found = await contents(store);
    assert.deepEqual([found["sum"]?.[0], found["blind"]?.[0]], ["120", int(120n)]);
    assert.ok(conflicts > 0);
  });

  it("rule 2: a commit repeated with its `once` does nothing and answers with the first's version, for an hour", async (store, clock) => {
    const commit: Commit = { once: encodeTuple(["once", "id"]), checks: [], writes: [add("n", 1n)] };
    const first = await store.commit(commit);
    assert.ok(first.kind === "committed" && !first.isRepeat);
    clock.advance(limits.onceMs - 1);
    const repeats = await Promise.all([store.commit(commit), store.commit(commit)]);
    for (const repeat of repeats) assert.deepEqual(repeat, { ...first, isRepeat: true });
    assert.equal((await contents(store))["n"]?.[0], int(1n));
    clock.advance(1);
    assert.deepEqual(isRepeat(await store.commit(commit)), false);
    assert.equal((await contents(store))["n"]?.[0], int(2n));
  });

  it("rule 2: add counts in 64 bits, from 0, and refuses what is no such integer", async (store, clock) => {
    const most = 2n ** 63n - 1n;
    await store.commit({ checks: [], writes: [add("n", -5n), add("n", 2n), add("m", most)] });
    assert.deepEqual(values(await contents(store)), { m: int(most), n: int(-3n) });
    const refused: Write[][] = [
      [set("x", ""), add("m", 1n)],
      [set("x", ""), set("y", "text"), add("y", 1n)],
      [set("x", ""), add("z", -(2n ** 63n)), add("z", -1n)],
    ];
    for (const writes of refused) {
      await assert.rejects(store.commit({ checks: [], writes }), { code: "NOT_AN_INTEGER" });
    }
    assert.deepEqual(Object.keys(await contents(store)), ["m", "n"]);
    const expiresAtMs = clock.nowMs() + 100;
    await store.commit({ checks: [], writes: [{ ...set("e", ""), value: bytesOf(int(7n)), expiresAtMs }] });
    await store.commit({ checks: [], writes: [add("e", 1n)] });
    assert.equal((await store.get([key("e")]))[0]?.expiresAtMs, expiresAtMs);
    clock.advance(100);
    await store.commit({ checks: [], writes: [add("e", 1n)] });
    const [fresh] = await store.get([key("e")]);
    assert.deepEqual([text(fresh!), fresh!.expiresAtMs], [int(1n), null]);
  });

  it("rule 3: a range comes in pages, in both directions, and says what comes next", async (store) => {
    const names = Array.from({ length: 25 }, (_, index) => `p${String(index).padStart(2, "0")}`);
    await store.commit({ checks: [], writes: [set("o", ""), set("q", ""), ...names.map((name) => set(name, ""))] });
    for (const isReverse of [false, true]) {
      const seen: string[] = [];
      const sizes: number[] = [];
      let query = { start: key("p"), end: key("q"), limit: 10, isReverse };
      for (;;) {
        const { entries, next } = await store.range(query);
        sizes.push(entries.length);
        seen.push(...entries.map(name));
        if (next === null) break;
        query = { ...query, ...next };
      }
      assert.deepEqual(seen, isReverse ? names.toReversed() : names);
      assert.deepEqual(sizes, [10, 10, 5]);
    }
    assert.deepEqual(await store.range({ start: key("q"), end: key("p") }), { entries: [], next: null });
    const { entries, next } = await store.range({ start: key("p"), end: key("q"), limit: 25 });
    assert.deepEqual([entries.length, next], [25, null]);
  });

  it("rule 3: a page ends before it has too many bytes, but has one entry at least", async (store) => {
    const value = Buffer.alloc(limits.valueBytes, "v");
    for (const name of ["a", "b", "c", "d", "e"]) {
      await store.commit({ checks: [], writes: [{ kind: "set", key: key(name), value }] });
    }
    const first = await store.range({ start: key("a"), end: key("z") });
    assert.deepEqual(first.entries.map(name), ["a", "b", "c", "d"]);
    assert.ok(first.entries.every((entry) => Buffer.compare(entry.value, value) === 0));
    const second = await store.range(first.next ?? assert.fail("there is more"));
    assert.deepEqual([second.entries.map(name), second.next], [["e"], null]);
  });

  it("rule 3: a page, and what is got together, is read at one point in time", async (store) => {
    const names = ["a", "b", "c"];
    await store.commit({ checks: [], writes: names.map((name) => set(name, "0")) });
    const state = { isOver: false };
    const writing = (async () => {
      for (let i = 1; i <= 300; i++) {
        const all = [String(i), i % 2 === 0 ? "x".repeat(limits.largeValueBytes + 1) + String(i) : String(i)];
        await store.commit({ checks: [], writes: names.map((name) => set(name, all[i % 2] ?? "")) });
      }
    })().finally(() => (state.isOver = true));
    while (!state.isOver) {
      const [page, got] = await Promise.all([everything(store), store.get(names.map(key))]);
      for (const entries of [page, got]) {
        assert.equal(new Set(entries.map((entry) => `${entry!.version} ${text(entry!)}`)).size, 1);
      }
    }
    await writing;
  });

  it("rule 4: an expired entry does not exist for reads, ranges and checks, swept or not", async (store, clock, opened) => {
    const expiresAtMs = clock.nowMs() + 1000;
    const version = await versionOf(store, [{ ...set("e", "x"), expiresAtMs }, set("f", "y")]);
    const before = await rangeCheck(store, "e", "g");
    clock.advance(999);
    assert.equal((await store.get([key("e")]))[0]?.expiresAtMs, expiresAtMs);
    assert.equal((await store.commit({ checks: [before], writes: [] })).kind, "committed");
    clock.advance(1);
    const kinds: [Check, string][] = [
      [{ kind: "version", key: key("e"), version }, "conflict"],
      [{ kind: "absent", key: key("e") }, "committed"],
      [before, "conflict"],
      [{ ...before, count: 1 }, "committed"],
    ];
    let current = store;
    for (let run = 0; run < 2; run++) {
      assert.deepEqual(await current.get([key("e")]), [null]);
      assert.deepEqual((await everything(current)).map(name), ["f"]);
      for (const [check, kind] of kinds) {
        assert.equal((await current.commit({ checks: [check], writes: [] })).kind, kind, JSON.stringify(check));
      }
      if (run === 0) current = (await opened.reopen()).keyspace;
    }
  });

  it("rule 4: the store's clock stands still while the wall clock is behind, says so once, and outlives a restart", async (store, clock, opened) => {
    const beginMs = clock.nowMs();
    clock.advance(60_000);
    await store.commit({ checks: [], writes: [{ ...set("e", ""), expiresAtMs: beginMs + 60_000 }] });
    clock.advance(-3_600_000);
    assert.equal(store.clock.nowMs(), beginMs + 60_000);
    assert.deepEqual(await store.get([key("e")]), [null]);
    clock.advance(1000);
    assert.equal(store.clock.nowMs(), beginMs + 60_000);
    assert.equal(opened.warnings.length, 1);
    assert.match(opened.warnings[0]!, /the wall clock is 3600 s behind/);
    const again = await opened.reopen(new ManualClock(beginMs));
    assert.equal(again.keyspace.clock.nowMs(), beginMs + 60_000);
    assert.deepEqual(await again.keyspace.get([key("e")]), [null]);
  });

  it("rule 5: what is over a limit is refused before anything is written", async (store) => {
    const long = new Uint8Array(limits.keyBytes + 1);
    const allowed = new Uint8Array(limits.keyBytes).fill(7);
    const value = new Uint8Array(limits.valueBytes + 1);
    const start = key("a");
    const table: [string, Partial<Commit>][] = [
      ["KEY_INVALID", { writes: [{ kind: "set", key: long, value: start }] }],
      ["KEY_INVALID", { writes: [{ kind: "delete", key: long }] }],
      ["KEY_INVALID", { writes: [{ kind: "append", prefix: allowed, value: start }] }],
      ["KEY_INVALID", { checks: [{ kind: "absent", key: long }] }],
      ["KEY_INVALID", { once: long }],
      ["VALUE_TOO_LARGE", { writes: [{ kind: "set", key: start, value }] }],
      ["COMMIT_TOO_LARGE", { writes: many(limits.commitWrites + 1, set("x", "")) }],
      ["COMMIT_TOO_LARGE", { checks: many(limits.commitChecks + 1, { kind: "absent", key: start }) }],
      ["COMMIT_TOO_LARGE", { writes: many(9, { kind: "set", key: start, value: value.subarray(1) }) }],
      ["COMMIT_TOO_LARGE", { checks: [{ kind: "range", start, end: allowed, count: 10_001, highestVersion: 1 }] }],
    ];
    for (const [code, commit] of table) {
      await assert.rejects(store.commit({ checks: [], writes: [set("b", "")], ...commit }), { code });
    }
    await assert.rejects(store.get([long]), { code: "KEY_INVALID" });
    await assert.rejects(store.get(many(limits.getKeys + 1, start)), { code: "COMMIT_TOO_LARGE" });
    assert.deepEqual(await everything(store), []);
    await store.commit({ checks: [], writes: [{ kind: "set", key: allowed, value: value.subarray(1) }] });
    const [entry] = await store.get([allowed]);
    assert.equal(entry?.value.length, limits.valueBytes);
  });

  it("rule 6: a range of a thousand entries is deleted in one commit, a larger one is refused", async (store) => {
    const writes = Array.from({ length: limits.deleteRangeEntries + 1 }, (_, index) => set(`d/${index}`, ""));
    await store.commit({ checks: [], writes: [...writes, set("e", "")] });
    const all: Write = { kind: "delete-range", start: key("d/"), end: key("d0") };
    await assert.rejects(store.commit({ checks: [], writes: [set("f", ""), all] }), { code: "COMMIT_TOO_LARGE" });
    await store.commit({ checks: [], writes: [del("d/17")] });
    await store.commit({ checks: [], writes: [set("d/new", ""), all, set("d/newer", "")] });
    assert.deepEqual((await everything(store)).map(name), ["d/newer", "e"]);
  });

  it("values of any size come back as they were, also after others have taken their place", async (store, _clock, opened) => {
    const sizes = [0, 1, limits.largeValueBytes, limits.largeValueBytes + 1, 100_000];
    let current = store;
    for (let round = 0; round < sizes.length; round++) {
      const sizeOf = (index: number): number => sizes[(index + round) % sizes.length] ?? 0;
      const valueOf = (index: number): Buffer => Buffer.alloc(sizeOf(index), `${index}${round}`);
      const writes = sizes.map((_, index): Write => ({ kind: "set", key: key(`v${index}`), value: valueOf(index) }));
      await current.commit({ checks: [], writes });
      if (round === 3) current = (await opened.reopen()).keyspace;
      const found = await current.get(sizes.map((_, index) => key(`v${index}`)));
      for (const [index, entry] of found.entries()) assert.deepEqual(bytes(entry!.value), bytes(valueOf(index)));
    }
    await current.commit({ checks: [], writes: sizes.map((_, index) => del(`v${index}`)) });
    assert.deepEqual(await everything(current), []);
  });

  it("what is handed over may be changed after the call", async (store) => {
    const [ownKey, value] = [Buffer.from("key"), Buffer.from("value")];
    const committing = store.commit({ checks: [], writes: [{ kind: "set", key: ownKey, value }] });
    const getting = store.get([ownKey]);
    ownKey.fill("x");
    value.fill("x");
    await Promise.all([committing, getting]);
    assert.deepEqual(values(await contents(store)), { key: "value" });
  });

  it("a watcher wakes after commits under its prefix, when they can be read, and not after others", async (store) => {
    const woken: string[] = [];
    const target = new EventTarget();
    const watch = (prefix: string): (() => void) =>
      store.watch(key(prefix), () => {
        woken.push(prefix);
        target.dispatchEvent(new Event(prefix));
      });
    const ends = ["a/", "b/", "", "a/1"].map(watch);
    const seen = once(target, "a/1").then(() => store.get([key("a/1")]));
    await store.commit({ checks: [], writes: [set("a/1", "x")] });
    assert.equal(text((await seen)[0]!), "x");
    assert.deepEqual(woken.toSorted(), ["", "a/", "a/1"]);
    ends[0]!();
    const deleted = once(target, "a/1");
    await store.commit({ checks: [], writes: [{ kind: "delete-range", start: key("a/"), end: key("a0") }] });
    await deleted;
    assert.deepEqual(woken.toSorted(), ["", "", "a/", "a/1", "a/1"]);
    for (const end of ends) end();
    await store.commit({ checks: [], writes: [set("a/1", "x"), set("b/1", "x")] });
    assert.equal(woken.length, 5);
  });

  it("closing waits for the commits under way and refuses everything afterwards", async (store, _clock, opened) => {
    const commits = ["a", "b", "c"].map((name) => store.commit({ checks: [], writes: [set(name, "")] }));
    const { keyspace } = await opened.reopen();
    await Promise.all(commits);
    assert.deepEqual((await everything(keyspace)).map(name), ["a", "b", "c"]);
    await store.close();
    await assert.rejects(store.commit({ checks: [], writes: [] }), { code: "SHUTTING_DOWN" });
    await assert.rejects(store.get([key("a")]), { code: "SHUTTING_DOWN" });
    await assert.rejects(store.range({ start: key("a"), end: key("b") }), { code: "SHUTTING_DOWN" });
  });

  test(`${driver}: any commits in any groups leave what a plain model says, also after opening again`, async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(commitPlan, { maxLength: 6 }), { maxLength: 12 }), async (groups) => {
        const clock = new ManualClock();
        let opened = await open(t, clock);
        const model: Model = new Map();
        for (const [index, group] of groups.entries()) {
          const commits = group.map((plan) => plan(clock.nowMs(), model));
          const outcomes = await Promise.allSettled(commits.map((commit) => opened.keyspace.commit(commit)));
          for (const [at, outcome] of outcomes.entries()) modelCommit(model, commits[at]!, outcome, clock.nowMs());
          if (index % 3 === 1) clock.advance(10);
          if (index % 5 === 4) opened = await opened.reopen(clock);
          for (const isReverse of [false, true]) {
            const query = { start: key(""), end: key("\xff"), isReverse };
            assert.deepEqual(
              plain((await opened.keyspace.range(query)).entries),
              modelPage(model, query, clock.nowMs()),
            );
          }
        }
        await opened.keyspace.close();
      }),
      { numRuns: Math.ceil((fc.readConfigureGlobal().numRuns ?? 100) / 4) },
    );
  });
}

const names = fc.constantFrom("a", "b", "b1", "b2", "c", "d");
const planned: fc.Arbitrary<(nowMs: number) => Write> = fc.oneof(
  fc.tuple(names, fc.constantFrom(1, 8, 5000)).map(([name, size]) => (): Write => ({
    kind: "set",
    key: key(name),
    value: Buffer.alloc(size, name),
  })),
  fc.tuple(names, fc.nat(25)).map(([name, ms]) => (nowMs: number): Write => ({
    ...set(name, "expires"),
    expiresAtMs: nowMs + ms,
  })),
  names.map((name) => (): Write => del(name)),
  fc.tuple(names, fc.bigInt(-9n, 9n)).map(
    ([name, amount]) =>
      (): Write =>
        add(name, amount),
  ),
  fc.tuple(names, names).map(([start, end]) => (): Write => ({
    kind: "delete-range",
    start: key(start),
    end: key(end),
  })),
);

/** A commit that depends on the time and on what is there, so that its checks hold as often as not. */
const commitPlan = fc
  .record({
    writes: fc.array(planned, { maxLength: 4 }),
    check: fc.option(fc.tuple(names, fc.constantFrom("version", "absent", "range"), fc.boolean())),
  })
  .map(({ writes, check }) => (nowMs: number, model: Model): Commit => {
    const checks: Check[] = [];
    if (check !== null) {
      const [name, kind, isRight] = check;
      const entry = model.get(name);
      const version = (entry?.version ?? 0) + (isRight ? 0 : 1);
      if (kind === "absent") checks.push({ kind, key: key(name) });
      else if (kind === "version") checks.push({ kind, key: key(name), version });
      else checks.push({ kind: "range", start: key(name), end: key(`${name}\xff`), count: 1, highestVersion: version });
    }
    return { checks, writes: writes.map((write) => write(nowMs)) };
  });

function key(name: string): Key {
  return Buffer.from(name, "latin1");
}

function set(name: string, value: string): Extract<Write, { kind: "set" }> {
  return { kind: "set", key: key(name), value: Buffer.from(value) };
}

function del(name: string): Write {
  return { kind: "delete", key: key(name) };
}

function add(name: string, amount: bigint): Write {
  return { kind: "add", key: key(name), amount };
}

function many<T>(count: number, item: T): T[] {
  return Array.from({ length: count }, () => item);
}

async function versionOf(store: Keyspace, writes: readonly Write[]): Promise<number> {
  const outcome = await store.commit({ checks: [], writes });
  assert.ok(outcome.kind === "committed" && !outcome.isRepeat);
  return outcome.version;
}

async function rangeCheck(store: Keyspace, start: string, end: string): Promise<Extract<Check, { kind: "range" }>> {
  const range = { start: key(start), end: key(end) };
  const { entries } = await store.range(range);
  const highestVersion = Math.max(0, ...entries.map(({ version }) => version));
  return { kind: "range", ...range, count: entries.length, highestVersion };
}

async function everything(store: Keyspace): Promise<readonly Entry[]> {
  const { entries, next } = await store.range({ start: key(""), end: key("\xff") });
  assert.equal(next, null);
  return entries;
}

async function contents(store: Keyspace): Promise<Record<string, [string, number]>> {
  return Object.fromEntries((await everything(store)).map((entry) => [name(entry), [text(entry), entry.version]]));
}

function values(found: Record<string, [string, number]>): Record<string, string> {
  return Object.fromEntries(Object.entries(found).map(([name, [value]]) => [name, value]));
}

function plain(entries: readonly Entry[]): [string, string, number][] {
  return entries.map((entry) => [name(entry), text(entry), entry.version]);
}

function name(entry: Entry): string {
  return Buffer.from(entry.key).toString("latin1");
}

function text(entry: Entry): string {
  return Buffer.from(entry.value).toString("latin1");
}

/** As the value of an add reads as text. */
function int(value: bigint): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes.toString("latin1");
}

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

function bytes(array: Uint8Array): string {
  return Buffer.from(array).toString("hex");
}

function isRepeat(outcome: CommitOutcome): boolean {
  return outcome.kind === "committed" && outcome.isRepeat;
}
