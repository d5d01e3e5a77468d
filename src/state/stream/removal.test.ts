import assert from "node:assert/strict";
import { test } from "node:test";
import type { Environment } from "../../contract/durable.ts";
import type { Keyspace } from "../../contract/keyspace.ts";
import { ManualClock } from "../../lib/clock.ts";
import { openMemoryKeyspace } from "../../store/memory/memory-keyspace.ts";
import { createEnvironments } from "../environments.ts";
import { createStateService } from "../state-service.ts";
import { findLayouts, jsonBytes } from "./layouts.ts";
import { decodeRecord } from "./record.ts";
import { deleteStream, purgeStream } from "./removal.ts";
import { listStreams, readCounter, readLowWater } from "./retention.ts";
import { consumerKeys, streamKeys } from "./stream-keys.ts";
import { createStreamResource } from "./stream.ts";

interface Opened {
  readonly keyspace: Keyspace;
  readonly environment: Environment;
  append(values: readonly number[], more?: object): Promise<void>;
  values(): Promise<unknown[]>;
}

/** `before`: each commit of what is removed. */
async function opened(before: () => Promise<void> = () => Promise.resolve()): Promise<Opened> {
  const memory = openMemoryKeyspace({ clock: new ManualClock() });
  const keyspace: Keyspace = {
    clock: memory.clock,
    get: (keys) => memory.get(keys),
    range: (query) => memory.range(query),
    watch: (prefix, onWake) => memory.watch(prefix, onWake),
    close: () => memory.close(),
    async commit(commit) {
      await before();
      return await memory.commit(commit);
    },
  };
  const environments = createEnvironments(memory);
  const environment = await environments.get("app", "production");
  const service = createStateService({
    keyspace: memory,
    environments,
    resources: [createStreamResource({ keyspace: memory })],
  });
  return {
    keyspace,
    environment,
    async append(values, more = {}) {
      const records = values.map((value) => ({ value, key: String(value) }));
      const args = { records, shape: { partitions: 3 }, ...more };
      const effect = { resource: "stream", name: "logs", method: "append", args } as const;
      await service.commit(environment, { seen: [], effects: [effect], checks: [], writes: [] });
    },
    async values() {
      const found: unknown[] = [];
      const keys = streamKeys(environment, "logs");
      for (let partition = 0; partition < 3; partition++) {
        const { entries } = await memory.range(keys.recordsAfter(partition, null));
        found.push(...entries.map((entry) => decodeRecord(entry).value));
      }
      return found.toSorted();
    },
  };
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

test("rule 6: a purge removes every record of every partition in slices, and counts them", async () => {
  let slices = 0;
  const it = await opened(() => {
    slices += 1;
    return Promise.resolve();
  });
  for (let n = 0; n < 3; n++) await it.append(upTo(1000));
  assert.equal(await purgeStream(it.keyspace, it.environment, "logs"), 3000);
  assert.deepEqual(await it.values(), []);
  assert.ok(slices >= 6, `${slices} slices of 500 at most`);
  const keys = streamKeys(it.environment, "logs");
  let [count, removed] = [0, 0];
  for (let partition = 0; partition < 3; partition++) {
    const [counter = null, mark = null] = await it.keyspace.get([keys.count(partition), keys.lowWater(partition)]);
    count += readCounter(counter);
    removed += readLowWater(mark).records;
  }
  assert.deepEqual([count, removed], [3000, 3000]);
  await it.append([7]);
  assert.deepEqual(await it.values(), [7]);
});

test("a stream that is deleted is gone with its consumers, its counters and its producers' numbers", async () => {
  const it = await opened();
  await it.append(upTo(10), { producer: { id: "p", sequence: 5 } });
  const consumer = consumerKeys(it.environment, "logs", "reader");
  const value = jsonBytes({});
  const writes = [consumer.directory, consumer.meta, consumer.cursor(0, 0), consumer.counter("late")].map((key) => ({
    kind: "set" as const,
    key,
    value,
  }));
  await it.keyspace.commit({ checks: [], writes });
  assert.equal(await deleteStream(it.keyspace, it.environment, "logs"), 10);
  assert.deepEqual(await listStreams(it.keyspace, it.environment), []);
  assert.equal(await findLayouts(it.keyspace, streamKeys(it.environment, "logs")), null);
  const left = await it.keyspace.get(writes.map(({ key }) => key));
  assert.deepEqual(
    left.map((entry) => entry === null),
    [true, true, true, true],
  );
  await it.append([1], { producer: { id: "p", sequence: 1 } });
  assert.deepEqual(await it.values(), [1], "a new stream remembers no sequence of the old one");
  const keys = streamKeys(it.environment, "logs");
  const counts = await it.keyspace.get([0, 1, 2].map((partition) => keys.count(partition)));
  assert.equal(
    counts.reduce((sum, entry) => sum + readCounter(entry), 0),
    1,
  );
});

test("what is appended while a stream is deleted is in the old one or makes a new one, and is never lost halfway", async () => {
  let hooks: (() => Promise<void>)[] = [];
  const it = await opened(async () => await hooks.shift()?.());
  for (let before = 0; before < 6; before++) {
    await it.append(upTo(3));
    hooks = Array.from({ length: before + 1 }, (_, index) => async () => {
      if (index === before) await it.append([100]);
    });
    await deleteStream(it.keyspace, it.environment, "logs");
    const isNew = hooks.length > 0;
    for (const hook of hooks) await hook();
    assert.deepEqual(await it.values(), isNew ? [100] : []);
    assert.deepEqual(await listStreams(it.keyspace, it.environment), isNew ? ["logs"] : []);
    if (isNew) await deleteStream(it.keyspace, it.environment, "logs");
  }
});
