import assert from "node:assert/strict";
import { test } from "node:test";
import { failedKey } from "../../sdk/declared-function.ts";
import { loadFunctions } from "./load.ts";
import { testContext } from "./test-context.ts";

interface Message {
  readonly id: string;
  readonly body: unknown;
  readonly attempts: number;
  readonly timestamp: Date;
  ack(): void;
  retry(options?: { delaySeconds?: number }): void;
}

interface Batch {
  readonly queue: string;
  readonly messages: readonly Message[];
  ackAll(): void;
  retryAll(options?: { delaySeconds?: number }): void;
}

const payload = {
  queue: "jobs",
  messages: ["a", "b", "c"].map((id, at) => ({ id, body: { at }, attempt: 2, sentAtMs: 1000 + at })),
};

async function deliver(queue: (batch: Batch, env: unknown, context: unknown) => unknown) {
  const module = { fetch: () => new Response(), queue };
  const functions = loadFunctions({ default: module }, [], { KEY: "value" });
  assert.deepEqual(
    functions.map(({ name, style }) => `${name} ${style}`),
    ["default fetch"],
  );
  const value = (await functions[0]?.event?.("queue", payload, testContext())) as { [failedKey]?: unknown[] } | null;
  const failed = (value?.[failedKey] ?? []) as { id: string; error: { aloftRetry?: number } }[];
  return failed.map(({ id, error }) => [id, error.aloftRetry]);
}

test("the queue of a Workers module gets batches, and says which messages it wants again", async () => {
  const failed = await deliver((batch, env, context) => {
    assert.equal(batch.queue, "jobs");
    assert.deepEqual(
      batch.messages.map(({ id, body, attempts, timestamp }) => [id, body, attempts, timestamp.getTime()]),
      [
        ["a", { at: 0 }, 2, 1000],
        ["b", { at: 1 }, 2, 1001],
        ["c", { at: 2 }, 2, 1002],
      ],
    );
    assert.deepEqual(env, { KEY: "value" });
    assert.ok(typeof (context as { waitUntil?: unknown }).waitUntil === "function");
    batch.messages[1]?.retry({ delaySeconds: 1.5 });
  });
  assert.deepEqual(failed, [["b", 1500]]);
});

test("the first word about a message counts, and one about the batch is for those that had none", async () => {
  const failed = await deliver((batch) => {
    batch.messages[0]?.ack();
    batch.messages[0]?.retry();
    batch.messages[2]?.retry({ delaySeconds: 60 });
    batch.retryAll({ delaySeconds: 1 });
    batch.ackAll();
  });
  assert.deepEqual(failed, [
    ["c", 60_000],
    ["b", 1000],
  ]);
  assert.deepEqual(await deliver((batch) => batch.ackAll()), []);
  assert.deepEqual(await deliver(() => {}), []);
});

test("what it throws is the delivery's error", async () => {
  await assert.rejects(
    deliver(() => {
      throw new Error("no");
    }),
    { message: "no" },
  );
});
