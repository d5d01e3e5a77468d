import assert from "node:assert/strict";
import { test } from "node:test";
import { type OwnedShard, shardCount } from "../contract/durable.ts";
import type { Keyspace } from "../contract/keyspace.ts";
import { encodeTuple, tupleRange } from "../contract/tuple.ts";
import { ManualClock } from "../lib/clock.ts";
import { ManualSchedule } from "../lib/schedule.ts";
import { MemoryDisk } from "../store/memory/memory-disk.ts";
import { openMemoryKeyspace } from "../store/memory/memory-keyspace.ts";
import { ownerOf } from "./placement.ts";
import { Shards } from "./shards.ts";

const work = encodeTuple(["work"]);

interface TestNode {
  readonly shards: Shards;
  /** What its keepers were given and have not closed. */
  readonly working: Map<number, OwnedShard>;
  /** Lets its next commits to the store fail, as when the network to it is gone. */
  isCutOff: boolean;
  stalls: number;
}

class Cluster {
  readonly clock = new ManualClock();
  readonly time = new ManualSchedule((ms) => this.clock.advance(ms));
  readonly disk = new MemoryDisk();

  node(nodeId: string, isAlone = false): TestNode {
    const keyspace = openMemoryKeyspace({ clock: this.clock, disk: this.disk });
    const working = new Map<number, OwnedShard>();
    const cutOff: Keyspace = {
      clock: keyspace.clock,
      get: (keys) => keyspace.get(keys),
      range: (query) => keyspace.range(query),
      watch: (prefix, onWake) => keyspace.watch(prefix, onWake),
      close: () => keyspace.close(),
      commit: (commit) => (node.isCutOff ? Promise.reject(new Error("cut off")) : keyspace.commit(commit)),
    };
    const shards = new Shards({
      keyspace: cutOff,
      clock: this.clock,
      schedule: this.time.schedule,
      nodeId,
      isAlone,
      factories: [
        (shard) => {
          assert.equal(working.has(shard.shard), false, "a shard's former keeper still works");
          working.set(shard.shard, shard);
          return {
            close: async () => {
              assert.equal(shard.signal.aborted, true);
              await new Promise(setImmediate);
              working.delete(shard.shard);
            },
          };
        },
      ],
      onStalled: () => node.stalls++,
    });
    const node: TestNode = { shards, working, isCutOff: false, stalls: 0 };
    return node;
  }

  /** Whether a commit that depends on this ownership goes through. */
  async canCommit({ epochCheck }: OwnedShard): Promise<boolean> {
    const keyspace = openMemoryKeyspace({ clock: this.clock, disk: this.disk });
    const write = { kind: "set", key: work, value: work } as const;
    return (await keyspace.commit({ checks: [epochCheck], writes: [write] })).kind === "committed";
  }
}

test("rule 8: where one process holds the store, a start takes all shards in one commit with new epochs, and idles without one", async () => {
  const cluster = new Cluster();
  const first = cluster.node("a", true);
  await first.shards.start();
  assert.equal(first.working.size, shardCount);
  assert.equal(cluster.disk.version, 1);
  const formerly = first.working.get(7)!;
  const second = cluster.node("b", true);
  await second.shards.start();
  await cluster.time.advance(60_000);
  assert.equal(cluster.disk.version, 2, "no renewal");
  assert.equal(cluster.time.size, 0, "no timer");
  assert.equal(await cluster.canCommit(formerly), false);
  assert.equal(await cluster.canCommit(second.working.get(7)!), true);
});

test("nodes on one store share the shards among them, each with one owner", async () => {
  const cluster = new Cluster();
  const nodes = ["a", "b", "c"].map((id) => cluster.node(id));
  for (const { shards } of nodes) await shards.start();
  await cluster.time.advance(20_000);
  const owners = nodes.flatMap(({ working }) => [...working.keys()]);
  assert.equal(owners.length, shardCount);
  assert.equal(new Set(owners).size, shardCount);
  for (const { working } of nodes) assert.ok(working.size > 40, `${working.size}`);
  for (const { working } of nodes) assert.ok(await cluster.canCommit([...working.values()][0]!));
});

test("a node that goes gives up its shards, and the others have them after their next round", async () => {
  const cluster = new Cluster();
  const [a, b] = [cluster.node("a"), cluster.node("b")];
  await a.shards.start();
  await b.shards.start();
  await cluster.time.advance(10_000);
  await b.shards.close();
  assert.equal(b.working.size, 0);
  await cluster.time.advance(3_000);
  assert.equal(a.working.size, shardCount);
});

test("rule 8: a node is dead when its row has not changed for 10 s of the observer's own clock", async () => {
  const cluster = new Cluster();
  const [a, b] = [cluster.node("a"), cluster.node("b")];
  await a.shards.start();
  await b.shards.start();
  await cluster.time.advance(10_000);
  const ofB = [...b.working.values()][0]!;
  b.isCutOff = true;
  await cluster.time.advance(6_000);
  assert.ok(a.working.size < shardCount);
  await cluster.time.advance(8_000);
  assert.equal(a.working.size, shardCount);
  assert.equal(await cluster.canCommit(ofB), false, "its epoch is gone");
});

test("rule 9: a node that could not renew for 7 s stops its owned work before another may begin it, and comes back", async () => {
  const cluster = new Cluster();
  const [a, b] = [cluster.node("a"), cluster.node("b")];
  await a.shards.start();
  await b.shards.start();
  await cluster.time.advance(9_000);
  b.isCutOff = true;
  const held = [...b.working.values()][0]!;
  while (!held.signal.aborted) {
    assert.equal(a.working.has(held.shard), false, "both work on it");
    await cluster.time.advance(500);
  }
  assert.equal(b.stalls, 1);
  await cluster.time.advance(20_000);
  assert.equal(b.working.size, 0);
  b.isCutOff = false;
  await cluster.time.advance(20_000);
  assert.equal(a.working.size + b.working.size, shardCount);
  assert.ok(b.working.size > 40);
});

test("a wall clock that steps takes no lease away", async () => {
  const cluster = new Cluster();
  const [a, b] = [cluster.node("a"), cluster.node("b")];
  await a.shards.start();
  await b.shards.start();
  await cluster.time.advance(10_000);
  const before = [...b.working.keys()];
  cluster.clock.stepWall(-3_600_000);
  await cluster.time.advance(10_000);
  cluster.clock.stepWall(7_200_000);
  await cluster.time.advance(10_000);
  assert.deepEqual([...b.working.keys()], before);
  assert.equal(a.stalls + b.stalls, 0);
});

test("when a node comes or goes, only its own shards move", () => {
  const three = ["a", "b", "c"];
  const moved = Array.from({ length: shardCount }, (_, shard) => shard).filter(
    (shard) => ownerOf(shard, three) !== "c" && ownerOf(shard, three) !== ownerOf(shard, ["a", "b"]),
  );
  assert.deepEqual(moved, []);
  assert.equal(ownerOf(1, []), null);
});

test("ownership is all that the owner class holds", async () => {
  const cluster = new Cluster();
  await cluster.node("a").shards.start();
  const keyspace = openMemoryKeyspace({ clock: cluster.clock, disk: cluster.disk });
  const { entries } = await keyspace.range(tupleRange(["o"]));
  assert.equal(entries.length, shardCount + 1);
});
