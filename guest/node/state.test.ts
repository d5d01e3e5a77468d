import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../src/lib/clock.ts";
import { createEnvironments } from "../../src/state/environments.ts";
import { createKv } from "../../src/state/kv/kv.ts";
import { createLines } from "../../src/state/lines.ts";
import { answerStateCall, type StateCall } from "../../src/state/state-calls.ts";
import { createStateService } from "../../src/state/state-service.ts";
import { openMemoryKeyspace } from "../../src/store/memory/memory-keyspace.ts";
import type { Effect } from "../../src/wire/effects.ts";
import { InvokeKind } from "../../src/wire/frames.ts";
import { Invocation } from "./invocation.ts";
import { GuestState } from "./state.ts";

/** The real service behind the guest's side, without the socket between. */
async function open(kind: number) {
  const keyspace = openMemoryKeyspace({ clock: new ManualClock() });
  const environments = createEnvironments(keyspace);
  const service = createStateService({ keyspace, environments, resources: [createKv(keyspace)] });
  const environment = await environments.get("shop", "production");
  const lines = createLines();
  const invocation = new Invocation(7, kind, 0, "", 60_000, null, 0);
  let before = async (_call: StateCall): Promise<void> => {};
  const state = new GuestState(
    async (call, stream) => {
      assert.equal(stream, 7);
      await before(call as StateCall);
      return await answerStateCall(service, lines, environment, call as StateCall);
    },
    () => invocation,
  );
  if (kind === InvokeKind.event) state.hold(invocation);
  const request = (method: string, args: Record<string, unknown>): Effect => ({
    resource: "kv",
    name: "s",
    method,
    args,
  });
  const set = (key: string, json: unknown): Promise<unknown> => state.write(request("set", { key, value: { json } }));
  const get = async (key: string): Promise<unknown> =>
    ((await state.read(request("get", { key }))) as { value: { json: unknown } } | null)?.value.json ?? null;
  const stored = async (key: string): Promise<unknown> =>
    ((await service.read(environment, request("get", { key }))).value as { value: { json: unknown } } | null)?.value
      .json ?? null;
  const setBeside = async (key: string, json: unknown): Promise<void> => {
    const effects = [request("set", { key, value: { json } })];
    await service.commit(environment, { checks: [], writes: [], seen: [], effects });
  };
  return {
    state,
    invocation,
    set,
    get,
    stored,
    setBeside,
    onCall: (next: typeof before) => (before = next),
  };
}

test("rule 13: with an event's invocation a write is held, and sent with what was read", async () => {
  const { state, invocation, set, get, stored } = await open(InvokeKind.event);
  assert.equal(await get("a"), null);
  await set("a", 1);
  assert.equal(await get("a"), 1);
  assert.equal(await stored("a"), null);
  const { seen, effects } = await state.seal(invocation);
  assert.deepEqual(seen, [{ resource: "kv", name: "s", key: "a", version: 0 }]);
  assert.deepEqual(
    effects.map(({ method, args }) => [method, args]),
    [["set", { key: "a", value: { json: 1 } }]],
  );
  await assert.rejects(set("a", 2), { code: "INVOCATION_ENDED" });
});

test("in an event's handler a block is part of the whole, and one that throws takes its writes back where asked to", async () => {
  const { state, invocation, set } = await open(InvokeKind.event);
  await state.atomic(() => set("a", 1));
  const failing = state.undoOnThrow(async () => {
    await set("b", 1);
    throw new Error("no");
  });
  await assert.rejects(failing, /no/);
  const { effects } = await state.seal(invocation);
  assert.deepEqual(
    effects.map(({ args }) => args["key"]),
    ["a"],
  );
});

test("rule 14: a block that throws has failed only if what it has read still holds", async () => {
  const { state, get, set, setBeside, stored } = await open(InvokeKind.http);
  let runs = 0;
  const read: unknown[] = [];
  const failing = state.atomic(async () => {
    runs += 1;
    read.push(await get("a"));
    await set("b", runs);
    if (runs === 1) await setBeside("a", "changed");
    throw new Error(`run ${runs}`);
  });
  await assert.rejects(failing, /run 2/);
  assert.deepEqual(read, [null, "changed"]);
  assert.equal(await stored("b"), null);
});

test("rule 15: a block that others overtake every time ends with HOT_KEY, which names the key", async () => {
  const { state, get, set, setBeside, onCall } = await open(InvokeKind.http);
  let n = 0;
  onCall(async (call) => {
    if (call.op === "commit") await setBeside("a", (n += 1));
  });
  const hot = state.atomic(async () => set("a", Number(await get("a")) + 1));
  await assert.rejects(hot, { code: "HOT_KEY", message: /kv s\/a was changed by others/ });
  assert.equal(n, 101);
});
