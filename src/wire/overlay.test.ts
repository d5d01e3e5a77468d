import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { limits } from "../contract/limits.ts";
import { ManualClock } from "../lib/clock.ts";
import { createEnvironments } from "../state/environments.ts";
import { createKv } from "../state/kv/kv.ts";
import { createStateService } from "../state/state-service.ts";
import { openMemoryKeyspace } from "../store/memory/memory-keyspace.ts";
import type { Effect, ReadReply, StateRead } from "./effects.ts";
import { afterPrefix, compareKeys, type KvEntry, type KvPage } from "./kv-shapes.ts";
import { effectsMax, Overlay, readSetEntriesMax } from "./overlay.ts";

function read(method: string, args: Record<string, unknown>): StateRead {
  return { resource: "kv", name: "s", method, args };
}

async function openStore(): Promise<{
  through: (read: StateRead) => Promise<ReadReply>;
  commit: (overlay: Pick<Overlay, "seen" | "effects">) => Promise<string>;
}> {
  const keyspace = openMemoryKeyspace({ clock: new ManualClock() });
  const environments = createEnvironments(keyspace);
  const service = createStateService({ keyspace, environments, resources: [createKv(keyspace)] });
  const environment = await environments.get("shop", "production");
  return {
    through: (one) => service.read(environment, one),
    commit: async (overlay) => {
      const batch = { checks: [], writes: [], seen: overlay.seen(), effects: overlay.effects() };
      return (await service.commit(environment, batch)).kind;
    },
  };
}

const key = fc.constantFrom("a", "a\0", "ab", "b", "\u{FFFF}", "\u{1F600}");
const step = fc.oneof(
  fc.record({ method: fc.constant("set"), key, value: fc.integer({ min: -5, max: 5 }).map((json) => ({ json })) }),
  fc.record({ method: fc.constant("set"), key, value: fc.constant({ json: 1 }), ifAbsent: fc.constant(true) }),
  fc.record({ method: fc.constant("delete"), key }),
  fc.record({ method: fc.constant("increment"), key, by: fc.integer({ min: -3, max: 3 }) }),
  fc.record({ method: fc.constant("get"), key }),
  fc.record({
    method: fc.constant("list"),
    prefix: fc.constantFrom("", "a", "\u{1F600}"),
    start: fc.option(key, { nil: undefined }),
    end: fc.option(key, { nil: undefined }),
    limit: fc.integer({ min: 1, max: 4 }),
    reverse: fc.boolean(),
  }),
);

/** What a handler sees is what it would see if each of its writes were committed at once. */
test("rule 13: reads see the handler's own writes as if they had been committed, lists in the order of their keys", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.array(step, { maxLength: 25 }), async (before, steps) => {
      const [held, plain] = [await openStore(), await openStore()];
      const isWrite = (method: string): boolean => !["get", "list"].includes(method);
      for (const { method, ...args } of before.filter((one) => isWrite(one.method))) {
        for (const store of [held, plain]) await store.commit(asBatch({ resource: "kv", name: "s", method, args }));
      }
      const overlay = new Overlay(held.through);
      for (const { method, ...args } of steps) {
        const effect = { resource: "kv", name: "s", method, args } as const;
        if (isWrite(method)) {
          await overlay.write(effect);
          await plain.commit(asBatch(effect));
          continue;
        }
        if (method === "get") {
          const [own, expected] = [await overlay.read(effect), (await plain.through(effect)).value];
          assert.deepEqual(valueOf(own), valueOf(expected));
          continue;
        }
        const ask = (one: StateRead): Promise<unknown> => overlay.read(one);
        const askPlain = async (one: StateRead): Promise<unknown> => (await plain.through(one)).value;
        assert.deepEqual(await listAll(ask, args), await listAll(askPlain, args));
      }
      assert.equal(await held.commit(overlay), "committed");
      const all = read("list", {});
      assert.deepEqual(pageOf((await held.through(all)).value), pageOf((await plain.through(all)).value));
    }),
    { numRuns: 300 },
  );
});

function asBatch(effect: Effect): Pick<Overlay, "seen" | "effects"> {
  return { seen: () => [], effects: () => [effect] };
}

async function listAll(ask: (read: StateRead) => Promise<unknown>, args: object): Promise<unknown[]> {
  const found: unknown[] = [];
  const more: { start?: string | undefined; end?: string | undefined; reverse?: boolean } = { ...args };
  for (;;) {
    const page = (await ask(read("list", more))) as KvPage;
    found.push(...pageOf(page));
    if (page.next === null) return found;
    more[more.reverse === true ? "end" : "start"] = page.next;
  }
}

function pageOf(page: unknown): unknown[] {
  return (page as KvPage).entries.map(({ key: one, value }) => [one, value]);
}

function valueOf(entry: unknown): unknown {
  return (entry as KvEntry | null)?.value ?? null;
}

test("what is taken back leaves what was written before it, and what was read stays read", async () => {
  const { through } = await openStore();
  const overlay = new Overlay(through);
  const write = (method: string, args: Record<string, unknown>): Promise<unknown> =>
    overlay.write({ resource: "kv", name: "s", method, args });
  await write("set", { key: "a", value: { json: 1 } });
  await overlay.write({ resource: "queue", name: "q", method: "send", args: { n: 1 } });
  const before = overlay.effects();
  const mark = overlay.mark();
  await write("increment", { key: "a", by: 2 });
  await write("delete", { key: "b" });
  await overlay.write({ resource: "queue", name: "q", method: "send", args: { n: 2 } });
  await overlay.read(read("get", { key: "c" }));
  assert.equal(overlay.effects().length, 4);
  overlay.undo(mark);
  assert.deepEqual(overlay.effects(), before);
  assert.deepEqual(overlay.seen(), [{ resource: "kv", name: "s", key: "c", version: 0 }]);
});

test("writes to one key become one effect, and what is no integer is not added to", async () => {
  const { through } = await openStore();
  const overlay = new Overlay(through);
  const write = (method: string, args: Record<string, unknown>): Promise<unknown> =>
    overlay.write({ resource: "kv", name: "s", method, args: { key: "a", ...args } });
  for (let n = 0; n < 2000; n++) await write("increment", { by: 1 });
  assert.deepEqual(overlay.effects(), [
    { resource: "kv", name: "s", method: "increment", args: { key: "a", by: 2000 } },
  ]);
  await write("set", { value: { json: "x" } });
  await assert.rejects(write("increment", {}), { code: "NOT_AN_INTEGER" });
  await write("delete", {});
  await write("increment", { by: "9007199254740993" });
  assert.deepEqual(await overlay.read(read("get", { key: "a" })), {
    key: "a",
    value: { big: "9007199254740993" },
    version: Number.MAX_SAFE_INTEGER,
  });
});

test("a handler that reads or writes too much learns of it there", async () => {
  let version = 0;
  const overlay = new Overlay(({ name, args }) => {
    version += 1;
    return Promise.resolve({ value: null, seen: [{ resource: "kv", name, key: String(args["key"]), version }] });
  });
  for (let n = 0; n < readSetEntriesMax; n++) await overlay.read(read("get", { key: `${n}` }));
  await assert.rejects(overlay.read(read("get", { key: "one more" })), { code: "READ_SET_TOO_LARGE" });
  const set = (n: number): Promise<unknown> =>
    overlay.write({ resource: "kv", name: "s", method: "set", args: { key: `${n}`, value: { json: n } } });
  for (let n = 0; n < effectsMax; n++) await set(n);
  await assert.rejects(set(effectsMax), { code: "EFFECTS_TOO_LARGE" });
  assert.deepEqual([readSetEntriesMax, effectsMax], [limits.readSetEntries, limits.effects]);
});

test("keys are compared as the keyspace orders them, and the end of a prefix is behind all that have it", () => {
  const text = fc.string({
    unit: fc.constantFrom("a", "\0", "\u{D7FF}", "\u{E000}", "\u{FFFF}", "\u{10000}", "\u{10FFFF}"),
  });
  fc.assert(
    fc.property(text, text, (a, b) => {
      assert.equal(Math.sign(compareKeys(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)));
      const end = afterPrefix(a);
      const isBehind = end === null ? a === "" || /^\u{10FFFF}+$/u.test(a) : compareKeys(a + b, end) < 0;
      assert.ok(isBehind);
      if (end !== null && compareKeys(b, a) >= 0 && compareKeys(b, end) < 0) assert.ok(b.startsWith(a));
    }),
  );
});
