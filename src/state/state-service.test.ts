import assert from "node:assert/strict";
import { test } from "node:test";
import type { Environment, Resource, StateBatch, StateOutcome, StateService } from "../contract/durable.ts";
import { AloftError } from "../contract/errors.ts";
import type { Check, Keyspace } from "../contract/keyspace.ts";
import { limits } from "../contract/limits.ts";
import { encodeTuple, tupleRange } from "../contract/tuple.ts";
import { ManualClock } from "../lib/clock.ts";
import { openMemoryKeyspace } from "../store/memory/memory-keyspace.ts";
import type { Effect, Seen } from "../wire/effects.ts";
import type { KvPage } from "../wire/kv-shapes.ts";
import { createEnvironments, type EnvironmentRegistry } from "./environments.ts";
import { createKv } from "./kv/kv.ts";
import { createStateService } from "./state-service.ts";
import { createSweeper } from "./sweeper.ts";

interface Opened {
  readonly keyspace: Keyspace;
  readonly clock: ManualClock;
  readonly environments: EnvironmentRegistry;
  readonly service: StateService;
  readonly shop: Environment;
  commit(batch: Partial<StateBatch>, environment?: Environment): Promise<StateOutcome>;
  read(method: string, args: Record<string, unknown>, environment?: Environment): Promise<unknown>;
  seen(method: string, args: Record<string, unknown>): Promise<readonly Seen[]>;
}

async function open(wrap: (keyspace: Keyspace) => Keyspace = (one) => one, more: Resource[] = []): Promise<Opened> {
  const clock = new ManualClock();
  const keyspace = wrap(openMemoryKeyspace({ clock }));
  const environments = createEnvironments(keyspace);
  const service = createStateService({ keyspace, environments, resources: [createKv(keyspace), ...more] });
  const shop = await environments.get("shop", "production");
  const ask = (method: string, args: Record<string, unknown>, environment = shop) =>
    service.read(environment, { resource: "kv", name: "stock", method, args });
  return {
    keyspace,
    clock,
    environments,
    service,
    shop,
    commit: (batch, environment = shop) =>
      service.commit(environment, { checks: [], writes: [], seen: [], effects: [], ...batch }),
    read: async (method, args, environment) => (await ask(method, args, environment)).value,
    seen: async (method, args) => (await ask(method, args)).seen,
  };
}

function effect(method: string, args: Record<string, unknown>, name = "stock"): Effect {
  return { resource: "kv", name, method, args };
}

function set(key: string, json: unknown, more: Record<string, unknown> = {}): Effect {
  return effect("set", { key, value: { json }, ...more });
}

function code(wanted: string): (error: unknown) => boolean {
  return (error) => error instanceof AloftError && error.code === wanted;
}

const message = encodeTuple(["q", "message"]);
const acknowledged: Check = { kind: "absent", key: message };

test("effects commit together with the trigger's own writes, and are read back with their version", async () => {
  const { commit, read, keyspace } = await open();
  const outcome = await commit({
    checks: [acknowledged],
    writes: [{ kind: "set", key: message, value: Uint8Array.of(1) }],
    effects: [set("apple", { left: 3 }), effect("increment", { key: "sold", by: 2 })],
  });
  assert.equal(outcome.kind, "committed");
  const { version, results } = outcome;
  assert.deepEqual(results, [true, null]);
  assert.deepEqual(await read("get", { key: "apple" }), { key: "apple", value: { json: { left: 3 } }, version });
  assert.deepEqual(await read("get", { key: "sold" }), { key: "sold", value: { json: 2 }, version });
  assert.equal((await keyspace.get([message]))[0]?.version, version);
});

test("an event that is no longer the trigger's writes nothing, and that is said before any conflict", async () => {
  const { commit, read, seen } = await open();
  const stale = await seen("get", { key: "apple" });
  await commit({ effects: [set("apple", 1)], writes: [{ kind: "set", key: message, value: new Uint8Array(0) }] });
  const outcome = await commit({ checks: [acknowledged], seen: stale, effects: [set("pear", 1)] });
  assert.deepEqual(outcome, { kind: "lost", check: 0 });
  assert.equal(await read("get", { key: "pear" }), null);
});

test("rule 14: what was read is checked, a key and its absence, and outcomes without writes too", async () => {
  const { commit, seen } = await open();
  await commit({ effects: [set("apple", 1)] });
  const apple = await seen("get", { key: "apple" });
  const pear = await seen("get", { key: "pear" });
  assert.equal((await commit({ seen: [...apple, ...pear] })).kind, "committed");
  await commit({ effects: [effect("delete", { key: "apple" })] });
  assert.deepEqual(await commit({ seen: apple }), { kind: "conflict", where: "kv stock/apple" });
  await commit({ effects: [set("pear", 1)] });
  assert.deepEqual(await commit({ seen: pear }), { kind: "conflict", where: "kv stock/pear" });
  assert.deepEqual(await seen("get", { key: "apple", snapshot: true }), []);
});

test("rule 14: a list is checked against what comes into it, leaves it and changes in it, and nothing else", async () => {
  const { commit, seen } = await open();
  await commit({ effects: ["a1", "a2", "b1"].map((key) => set(key, 1)) });
  const changes: Effect[] = [set("a3", 1), effect("delete", { key: "a1" }), set("a2", 2), set("a", 1)];
  for (const change of changes) {
    const list = await seen("list", { prefix: "a" });
    assert.equal((await commit({ seen: list, effects: [set("b1", 3), set("Z", 1)] })).kind, "committed");
    await commit({ effects: [change] });
    const outcome = await commit({ seen: list });
    assert.deepEqual(outcome, { kind: "conflict", where: 'kv stock, the keys from "a" to "b"' });
  }
});

test("rule 14: a page of a list is checked to where it ends", async () => {
  const { commit, read, seen } = await open();
  await commit({ effects: ["a", "c", "e", "g"].map((key) => set(key, 1)) });
  for (const reverse of [false, true]) {
    const page = (await read("list", { limit: 2, reverse })) as KvPage;
    assert.deepEqual(
      page.entries.map(({ key }) => key),
      reverse ? ["g", "e"] : ["a", "c"],
    );
    const list = await seen("list", { limit: 2, reverse });
    const [inside, outside] = reverse ? ["f", "d"] : (["b", "d"] as const);
    assert.equal((await commit({ seen: list, effects: [set(outside, 1)] })).kind, "committed");
    assert.equal((await commit({ seen: list, effects: [set(inside, 1)] })).kind, "committed");
    assert.equal((await commit({ seen: list })).kind, "conflict");
    await commit({ effects: [effect("delete", { key: inside }), effect("delete", { key: outside })] });
  }
});

test("conditions are judged where the writes are, and say whether they held", async () => {
  const { commit, read } = await open();
  const results = async (...effects: Effect[]): Promise<unknown> =>
    ((await commit({ effects })) as Extract<StateOutcome, { kind: "committed" }>).results;
  assert.deepEqual(await results(set("a", 1, { ifAbsent: true })), [true]);
  assert.deepEqual(await results(set("a", 2, { ifAbsent: true })), [false]);
  const { version } = (await read("get", { key: "a" })) as { version: number };
  assert.deepEqual(await results(set("a", 3, { ifVersion: version + 1 }), set("b", 1)), [false, true]);
  assert.deepEqual(await results(set("a", 4, { ifVersion: version })), [true]);
  assert.deepEqual(await results(effect("delete", { key: "a", ifVersion: version })), [false]);
  assert.deepEqual(await read("get", { key: "a", snapshot: true }).then((one) => (one as { value: unknown }).value), {
    json: 4,
  });
});

test("a condition that another commit overtakes is planned anew: of a hundred callers one is the first", async () => {
  const { commit } = await open();
  const outcomes = await Promise.all(
    Array.from({ length: 100 }, (_, n) => commit({ effects: [set("first", n, { ifAbsent: true })] })),
  );
  const won = outcomes.filter((outcome) => outcome.kind === "committed" && outcome.results[0] === true);
  assert.equal(won.length, 1);
});

test("rule 15: increments are blind, so that none of them conflicts", async () => {
  const { commit, read } = await open();
  await commit({ effects: [set("n", 40)] });
  await Promise.all(Array.from({ length: 100 }, () => commit({ effects: [effect("increment", { key: "n" })] })));
  assert.deepEqual(((await read("get", { key: "n" })) as { value: unknown }).value, { json: 140 });
  await commit({ effects: [set("text", "forty-2")] });
  await assert.rejects(commit({ effects: [effect("increment", { key: "text" })] }), code("NOT_AN_INTEGER"));
});

test("values come back as they were: JSON, bytes and integers beyond what JSON keeps exact", async () => {
  const { commit, read } = await open();
  const values = [
    { json: null },
    { json: "1234567" },
    { json: 12345.7 },
    { json: { b64: "x" } },
    { b64: "" },
    { b64: Buffer.alloc(7, 9).toString("base64") },
    { b64: Buffer.alloc(8, 9).toString("base64") },
    { json: Number.MAX_SAFE_INTEGER },
    { big: "-9223372036854775808" },
  ];
  for (const value of values) {
    await commit({ effects: [effect("set", { key: "a", value })] });
    assert.deepEqual(((await read("get", { key: "a" })) as { value: unknown }).value, value);
  }
});

test("an entry is gone when its time is over, and a check of it fails", async () => {
  const { commit, read, seen, clock } = await open();
  await commit({ effects: [set("code", "1234", { expiresInMs: 1000 })] });
  const before = await seen("get", { key: "code" });
  assert.equal((await commit({ seen: before })).kind, "committed");
  clock.advance(1000);
  assert.equal(await read("get", { key: "code" }), null);
  assert.equal((await commit({ seen: before })).kind, "conflict");
});

test("keys are in the order of their code points, whatever page they come on", async () => {
  const { commit, read } = await open();
  const keys = ["a", "a\0", "a\0b", "b", "z", "é", "\u{FFFF}", "\u{1F600}", "\u{10FFFF}"];
  await commit({ effects: keys.toReversed().map((key) => set(key, 1)) });
  const got: string[] = [];
  for (let start: string | null = ""; start !== null;) {
    const page = (await read("list", { start, limit: 2 })) as KvPage;
    got.push(...page.entries.map(({ key }) => key));
    start = page.next;
  }
  assert.deepEqual(got, keys);
  const last = (await read("list", { prefix: "\u{10FFFF}" })) as KvPage;
  assert.deepEqual(
    last.entries.map(({ key }) => key),
    ["\u{10FFFF}"],
  );
});

test("rule 2: an unknown commit is repeated only when it carries `once`", async () => {
  let lost = 0;
  const { commit, read } = await open((inner) => ({
    ...inner,
    clock: inner.clock,
    get: (keys) => inner.get(keys),
    range: (query) => inner.range(query),
    async commit(one) {
      const outcome = await inner.commit(one);
      if (lost-- > 0) throw new AloftError("COMMIT_UNKNOWN", "the answer got lost");
      return outcome;
    },
  }));
  const add = effect("increment", { key: "n" });
  lost = 1;
  await assert.rejects(commit({ effects: [add] }), code("COMMIT_UNKNOWN"));
  lost = 2;
  assert.equal((await commit({ effects: [add], once: encodeTuple(["x", "once"]) })).kind, "committed");
  assert.deepEqual(((await read("get", { key: "n" })) as { value: unknown }).value, { json: 2 });
});

test("rule 15: a conflict on a key of the platform's own has the commit planned anew, and is never told", async () => {
  const own = encodeTuple(["q", "own"]);
  let planned = 0;
  const opened = await open(undefined, [
    {
      kind: "queue",
      read: () => Promise.reject(new Error("unused")),
      checkOf: () => null,
      async plan(_effect, plan) {
        planned += 1;
        const [entry = null] = await opened.keyspace.get([own]);
        plan.check(
          entry === null ? { kind: "absent", key: own } : { kind: "version", key: own, version: entry.version },
        );
        // Somebody else is faster, the first two times.
        if (planned < 3)
          await opened.keyspace.commit({
            checks: [],
            writes: [{ kind: "set", key: own, value: Uint8Array.of(planned) }],
          });
        return planned;
      },
    },
  ]);
  const outcome = await opened.commit({
    effects: [{ resource: "queue", name: "q", method: "send", args: {} }, effect("increment", { key: "n" })],
  });
  assert.equal(outcome.kind === "committed" && outcome.results[0], 3);
  assert.deepEqual(((await opened.read("get", { key: "n" })) as { value: unknown }).value, { json: 1 });
});

test("a commit that writes or has read too much is refused whole", async () => {
  const { commit, read } = await open();
  const many = Array.from({ length: limits.effects + 1 }, (_, n) => set(`k${n}`, n));
  await assert.rejects(commit({ effects: many }), code("EFFECTS_TOO_LARGE"));
  const large = Array.from({ length: 5 }, (_, n) => set(`k${n}`, "x".repeat(900_000)));
  await assert.rejects(commit({ effects: large }), code("EFFECTS_TOO_LARGE"));
  const range: Seen = { resource: "kv", name: "stock", start: "", end: null, count: 5001, highest: 1 };
  await assert.rejects(commit({ seen: [range, range] }), code("READ_SET_TOO_LARGE"));
  assert.deepEqual(((await read("list", {})) as KvPage).entries, []);
});

test("what is no effect or no read is refused with the place", async () => {
  const { commit, read } = await open();
  const bad: readonly [Effect, RegExp][] = [
    [effect("set", { key: "", value: { json: 1 } }), /"key" must not be empty/],
    [effect("set", { key: 5, value: { json: 1 } }), /"key" must be well-formed text/],
    [effect("set", { key: "\uD800", value: { json: 1 } }), /"key" must be well-formed text/],
    [effect("set", { key: "a" }), /"value" must be/],
    [effect("set", { key: "a", value: { json: 1 }, expiresInMs: -1 }), /"expiresInMs" must be a whole number from 1/],
    [effect("set", { key: "a", value: { json: 1 }, ifAbsent: "yes" }), /"ifAbsent" must be true or false/],
    [effect("increment", { key: "a", by: 0.5 }), /"by" must be an integer/],
    [effect("drop", { key: "a" }), /kv has no method "drop"/],
    [effect("delete", { key: "a" }, ""), /the name of a kv store/],
    [{ resource: "blob", name: "b", method: "put", args: {} }, /no state of the kind "blob"/],
  ];
  for (const [one, reason] of bad) await assert.rejects(commit({ effects: [one] }), reason);
  await assert.rejects(read("list", { limit: 0 }), /"limit" must be a whole number from 1 to 1000/);
  await assert.rejects(commit({ effects: [set("k".repeat(2000), 1)] }), code("KEY_INVALID"));
});

test("each alias has state of its own, and so has each store", async () => {
  const { commit, read, environments } = await open();
  const preview = await environments.get("shop", "preview");
  await commit({ effects: [set("a", 1), effect("set", { key: "a", value: { json: 5 } }, "other")] });
  assert.equal(await read("get", { key: "a" }, preview), null);
  assert.deepEqual(((await read("list", {})) as KvPage).entries.length, 1);
  assert.deepEqual(await read("stores", {}), ["other", "stock"]);
  assert.equal(await environments.get("shop", "preview"), preview);
});

test("an app that is deleted and made again begins empty, and nothing is written for the former one", async () => {
  const { commit, read, environments, keyspace, shop } = await open();
  await commit({ effects: [set("a", 1)] });
  await environments.retire("shop");
  await assert.rejects(commit({ effects: [set("b", 1)] }), code("APP_NOT_FOUND"));
  assert.deepEqual(await commit({ checks: [acknowledged], effects: [set("b", 1)] }), { kind: "lost", check: 0 });
  const again = await environments.get("shop", "production");
  assert.notEqual(again.id, shop.id);
  assert.equal(await read("get", { key: "a" }, again), null);
  assert.equal((await commit({ effects: [set("b", 1)] }, again)).kind, "committed");
  const reopened = createEnvironments(keyspace);
  assert.deepEqual(await reopened.get("shop", "production"), again);
  await reopened.retireAllBut((app) => app !== "shop");
  assert.equal(await reopened.find("shop", "production"), null);
});

test("rule 6: what a deleted app has left is removed in slices of a thousand", async () => {
  const sizes: number[] = [];
  const { commit, environments, keyspace } = await open((inner) => ({
    clock: inner.clock,
    get: (keys) => inner.get(keys),
    range: (query) => inner.range(query),
    watch: () => () => {},
    close: () => inner.close(),
    async commit(one) {
      for (const write of one.writes) {
        if (write.kind === "delete-range") sizes.push((await inner.range(write)).entries.length);
      }
      return await inner.commit(one);
    },
  }));
  for (let batch = 0; batch < 3; batch++) {
    await commit({ effects: Array.from({ length: 900 }, (_, n) => set(`${batch} ${n}`, n)) });
  }
  await environments.retire("shop");
  await createSweeper(keyspace, () => Promise.resolve()).sweep();
  assert.deepEqual(sizes, [1000, 1000, 700]);
  assert.deepEqual((await keyspace.range(tupleRange(["k"]))).entries, []);
  assert.deepEqual((await keyspace.range(tupleRange(["m", "retired"]))).entries, []);
});

test("a watch tells of a change since what was seen, also when it came between two calls", async () => {
  const { commit, read } = await open();
  const first = (await read("watch", { key: "a" })) as { changed: boolean; at: string };
  assert.deepEqual(first, { changed: true, at: "0" });
  const waiting = read("watch", { key: "a", after: "0" });
  await commit({ effects: [set("b", 1)] });
  const made = await commit({ effects: [set("a", 1)] });
  assert.deepEqual(await waiting, { changed: true, at: String((made as { version: number }).version) });
  const prefix = (await read("watch", { prefix: "" })) as { at: string };
  await commit({ effects: [effect("delete", { key: "a" })] });
  assert.equal(((await read("watch", { prefix: "", after: prefix.at })) as { changed: boolean }).changed, true);
  assert.equal(((await read("watch", { key: "a", after: "0", waitMs: 0 })) as { changed: boolean }).changed, false);
});
