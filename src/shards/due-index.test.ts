import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry, Keyspace, Write } from "../contract/keyspace.ts";
import { decodeTuple, encodeTuple } from "../contract/tuple.ts";
import { ManualClock } from "../lib/clock.ts";
import { ManualSchedule } from "../lib/schedule.ts";
import { openMemoryKeyspace } from "../store/memory/memory-keyspace.ts";
import { createAlarms } from "./alarms.ts";
import { type DueIndex, openDueIndex } from "./due-index.ts";

interface World {
  readonly clock: ManualClock;
  readonly time: ManualSchedule;
  readonly keyspace: Keyspace;
  /** Names of what was handed out and deleted, in order. */
  readonly done: string[];
  readonly reads: { count: number };
  readonly open: (fails?: (name: string) => boolean) => DueIndex;
  readonly add: (delayMs: number, names: readonly string[]) => Promise<void>;
}

function world(): World {
  const clock = new ManualClock();
  const time = new ManualSchedule((ms) => clock.advance(ms));
  const memory = openMemoryKeyspace({ clock });
  const reads = { count: 0 };
  const keyspace: Keyspace = {
    clock: memory.clock,
    get: (keys) => memory.get(keys),
    range(query) {
      reads.count++;
      return memory.range(query);
    },
    commit: (commit) => memory.commit(commit),
    watch: (prefix, onWake) => memory.watch(prefix, onWake),
    close: () => memory.close(),
  };
  const done: string[] = [];
  const startMs = clock.nowMs();
  return {
    clock,
    time,
    keyspace,
    done,
    reads,
    open: (fails = () => false) =>
      openDueIndex({
        keyspace,
        alarms: createAlarms(keyspace.clock, time.schedule),
        prefix: ["due", 3],
        onError: (error) => assert.fail(error as Error),
        async onDue(entries) {
          const good = entries.filter((entry) => !fails(nameOf(entry)));
          done.push(...good.map((entry) => nameOf(entry)));
          const writes = good.map(({ key }): Write => ({ kind: "delete", key }));
          await memory.commit({ checks: [], writes });
        },
      }),
    async add(delayMs, names) {
      for (let at = 0; at < names.length; at += 1000) {
        const writes = names.slice(at, at + 1000).map((name): Write => {
          const key = encodeTuple(["due", 3, startMs + delayMs, name]);
          return { kind: "set", key, value: new Uint8Array(0) };
        });
        await memory.commit({ checks: [], writes });
      }
    },
  };
}

function nameOf({ key }: Entry): string {
  return String(decodeTuple(key)[3]);
}

test("entries are handed out when their time has come, the earliest first, whenever they were written", async () => {
  const { time, add, done, open } = world();
  await add(5_000, ["later"]);
  const index = open();
  await time.advance(1_000);
  await add(2_000, ["sooner"]);
  await time.advance(500);
  assert.deepEqual(done, []);
  await time.advance(500);
  assert.deepEqual(done, ["sooner"]);
  await time.advance(3_000);
  assert.deepEqual(done, ["sooner", "later"]);
  await index.close();
});

test("an index of entries that are far off, or of none, is not read again and again", async () => {
  const { time, add, open, reads } = world();
  await add(
    365 * 24 * 3_600_000,
    Array.from({ length: 5000 }, (_, number) => String(number)),
  );
  const index = open();
  await time.advance(3_600_000);
  assert.equal(reads.count, 1);
  await index.close();
});

test("thousands that are due at once are handed out window by window, each once", async () => {
  const { time, add, done, open } = world();
  const names = Array.from({ length: 3000 }, (_, number) => String(number).padStart(4, "0"));
  await add(1_000, names);
  const index = open();
  await time.advance(1_000);
  for (let turn = 0; done.length < names.length && turn < 1000; turn++) await time.advance(0);
  assert.deepEqual(done, names);
  await index.close();
});

test("what a handler has left is handed out again a second later, and does not keep others waiting", async () => {
  const { time, add, done, open } = world();
  let failures = 0;
  await add(1_000, ["bad", "good"]);
  await add(1_500, ["next"]);
  const index = open((name) => name === "bad" && failures++ < 2);
  await time.advance(1_000);
  assert.deepEqual(done, ["good"]);
  await time.advance(1_000);
  assert.deepEqual(done, ["good", "next"]);
  await time.advance(5_000);
  assert.deepEqual(done, ["good", "next", "bad"]);
  assert.equal(failures, 3);
  await index.close();
});

test("rule 4: while the wall clock is behind, the store's time stands still and nothing is due too early or twice", async () => {
  const { clock, time, add, done, open } = world();
  await add(10_000, ["one"]);
  const index = open();
  await time.advance(5_000);
  await add(20_000, ["two"]);
  clock.stepWall(-3_600_000);
  await time.advance(60_000);
  assert.deepEqual(done, []);
  clock.stepWall(3_600_000);
  await time.advance(10_000);
  assert.deepEqual(done, ["one", "two"]);
  await index.close();
});
