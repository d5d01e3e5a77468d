import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { ManualClock } from "../../lib/clock.ts";
import { type OpenedStore, storeSuite } from "../store.suite.ts";
import { encodeTuple, tupleRange } from "../../contract/tuple.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { openMemoryKeyspace, type Simulation } from "./memory-keyspace.ts";

async function openOn(disk: MemoryDisk, clock: ManualClock): Promise<OpenedStore> {
  const warnings: string[] = [];
  const keyspace = openMemoryKeyspace({ clock, disk, onWarning: (text) => warnings.push(text) });
  return {
    keyspace,
    warnings,
    reopen: async (next = clock) => {
      await keyspace.close();
      return openOn(disk, next);
    },
  };
}

storeSuite("memory", (_t, clock) => openOn(new MemoryDisk(), clock));

/** Simulated time: works in the order of their time, and whoever awaits them runs in between. */
class Schedule {
  readonly #works: { atMs: number; work: () => void }[] = [];
  #nowMs = 0;

  add(delayMs: number, work: () => void): void {
    this.#works.push({ atMs: this.#nowMs + delayMs, work });
  }

  async run(steps = Number.POSITIVE_INFINITY): Promise<void> {
    for (let step = 0; step < steps && this.#works.length > 0; step++) {
      this.#works.sort((a, b) => b.atMs - a.atMs);
      const next = this.#works.pop()!;
      this.#nowMs = next.atMs;
      next.work();
      await new Promise(setImmediate);
    }
  }
}

function simulate(seed: number, more: Partial<Simulation> = {}): { schedule: Schedule; simulation: Simulation } {
  const schedule = new Schedule();
  let state = seed >>> 0;
  const random = (): number => {
    // A linear congruential generator (Numerical Recipes): enough to shuffle with.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const simulation = {
    random,
    schedule: (delayMs: number, work: () => void) => schedule.add(delayMs, work),
    delayMsMax: 10,
    unknownShare: 0,
    lostWakeShare: 0,
    ...more,
  };
  return { schedule, simulation };
}

const key = (number: number): Uint8Array => encodeTuple(["k", number]);

test("simulation: completions overtake each other, and the order of commits stays that of the calls", async () => {
  const { schedule, simulation } = simulate(1);
  const keyspace = openMemoryKeyspace({ clock: new ManualClock(), simulation });
  const finished: number[] = [];
  const versions = Promise.all(
    Array.from({ length: 20 }, async (_, number) => {
      const outcome = await keyspace.commit({ checks: [], writes: [{ kind: "set", key: key(number), value: key(0) }] });
      finished.push(number);
      return outcome.kind === "committed" ? outcome.version : 0;
    }),
  );
  await schedule.run();
  const list = await versions;
  assert.deepEqual(
    list,
    list.toSorted((a, b) => a - b),
  );
  assert.notDeepEqual(
    finished,
    finished.toSorted((a, b) => a - b),
  );
});

test("simulation: after a crash every acknowledged commit is there, of the others a beginning, and nothing settles any more", async () => {
  const counts = new Set<number>();
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.nat(60), async (seed, steps) => {
      const { schedule, simulation } = simulate(seed);
      const disk = new MemoryDisk();
      const keyspace = openMemoryKeyspace({ clock: new ManualClock(), disk, simulation });
      const acknowledged = new Set<number>();
      let isDead = false;
      for (let number = 0; number < 20; number++) {
        const write = { kind: "set", key: key(number), value: key(0) } as const;
        void keyspace.commit({ checks: [], writes: [write] }).then(() => {
          assert.equal(isDead, false);
          acknowledged.add(number);
        });
      }
      await schedule.run(steps);
      keyspace.crash();
      isDead = true;
      void keyspace.get([key(0)]).then(() => assert.fail("a dead process got an answer"));
      await schedule.run();
      const { entries } = await openMemoryKeyspace({ clock: new ManualClock(), disk }).range(tupleRange(["k"]));
      const kept = entries.map((entry) => entry.version);
      assert.deepEqual(
        kept,
        Array.from({ length: kept.length }, (_, index) => index + 1),
      );
      for (const number of acknowledged) assert.ok(number < kept.length, `${number} of ${kept.length}`);
      counts.add(kept.length - acknowledged.size);
    }),
  );
  assert.ok(counts.has(0) && counts.size > 3, "crashes both lose and keep what was not acknowledged");
});

test("simulation: a commit whose outcome is unknown has happened or not, and `once` makes it safe to repeat", async () => {
  const { schedule, simulation } = simulate(7, { unknownShare: 0.5, lostWakeShare: 0.5 });
  const disk = new MemoryDisk();
  const keyspace = openMemoryKeyspace({ clock: new ManualClock(), disk, simulation });
  let unknown = 0;
  let repeats = 0;
  let woken = 0;
  keyspace.watch(encodeTuple([]), () => woken++);
  const work = Promise.all(
    Array.from({ length: 40 }, async (_, number) => {
      const commit = {
        once: encodeTuple(["once", number]),
        checks: [],
        writes: [{ kind: "add", key: encodeTuple(["sum"]), amount: 1n }],
      } as const;
      for (;;) {
        try {
          const outcome = await keyspace.commit(commit);
          if (outcome.kind === "committed" && outcome.isRepeat) repeats++;
          return;
        } catch (error) {
          assert.equal((error as { code: string }).code, "COMMIT_UNKNOWN");
          unknown++;
        }
      }
    }),
  );
  await schedule.run();
  await work;
  const [sum] = await openMemoryKeyspace({ clock: new ManualClock(), disk }).get([encodeTuple(["sum"])]);
  assert.equal(Buffer.from(sum!.value).readBigInt64BE(), 40n);
  assert.ok(unknown > repeats && repeats > 0, `${unknown} unknown, ${repeats} of them had happened`);
  assert.ok(woken > 0 && woken < 40, "some wake-ups are lost");
});

test("two keyspaces on one disk see each other's commits and wake each other", async () => {
  const disk = new MemoryDisk();
  const clock = new ManualClock();
  const [one, other] = [openMemoryKeyspace({ clock, disk }), openMemoryKeyspace({ clock, disk })];
  const woken = new Promise<void>((resolve) => other.watch(key(1), resolve));
  await one.commit({ checks: [], writes: [{ kind: "set", key: key(1), value: key(2) }] });
  await woken;
  assert.deepEqual((await other.get([key(1)]))[0]?.value, key(2));
});

test("a full disk refuses what needs room and goes on with acknowledgements and deletes", async () => {
  const keyspace = openMemoryKeyspace({ clock: new ManualClock() });
  const set = { kind: "set", key: key(1), value: key(2) } as const;
  keyspace.disk.isFull = true;
  await assert.rejects(keyspace.commit({ checks: [], writes: [set] }), { code: "DISK_FULL" });
  await keyspace.commit({ checks: [], writes: [set], isEssential: true });
  await keyspace.commit({ checks: [], writes: [{ kind: "delete", key: key(1) }] });
  assert.equal(keyspace.disk.size, 0);
});

test("expired entries do not stay in memory", async () => {
  const clock = new ManualClock();
  const keyspace = openMemoryKeyspace({ clock });
  for (let number = 0; number < 3000; number++) {
    const expiresAtMs = clock.nowMs() + 1;
    await keyspace.commit({ checks: [], writes: [{ kind: "set", key: key(number), value: key(0), expiresAtMs }] });
    clock.advance(1);
  }
  assert.ok(keyspace.disk.size <= 1000, `${keyspace.disk.size} are held`);
});
