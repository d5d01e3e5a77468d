/**
 * Handlers that read and write the same few keys at once, on two nodes that crash, over a store that is slow, forgets its answers
 * and loses wake-ups. Each commits its writes together with the end of its message, and with a line of a journal that says
 * what it had read. Played back one after the other, in the order of the commits, every handler must have read just what
 * was there: then they might as well have run alone (rules 2, 14 and 15 of docs/exactly-once.md).
 */
import assert from "node:assert/strict";
import type { Environment } from "../../src/contract/durable.ts";
import { AloftError } from "../../src/contract/errors.ts";
import type { Keyspace } from "../../src/contract/keyspace.ts";
import { encodeTuple, tupleRange } from "../../src/contract/tuple.ts";
import { createEnvironments } from "../../src/state/environments.ts";
import { createKv } from "../../src/state/kv/kv.ts";
import { createStateService } from "../../src/state/state-service.ts";
import type { Effect, Seen } from "../../src/wire/effects.ts";
import type { KvEntry, KvPage } from "../../src/wire/kv-shapes.ts";
import type { Counts } from "./seeds.ts";
import { type Faults, noFaults, World } from "./world.ts";

const faults: Faults = {
  delayMsMax: 10,
  unknownShare: 0.05,
  refusedShare: 0.02,
  stallShare: 0.02,
  stallMs: 300,
  lostWakeShare: 0.2,
  secondWakeShare: 0.1,
};
const keys = ["a", "b", "ba", "c"];
const messageCount = 14;
const handlersAtOnce = 3;
const eventsBetweenCrashes = 600;

type Reading = { readonly key: string; readonly found: unknown } | { readonly prefix: string; readonly found: unknown };

interface JournalLine {
  readonly message: number;
  readonly readings: readonly Reading[];
  readonly effects: readonly Effect[];
}

const messageKey = (number: number): Uint8Array => encodeTuple(["message", number]);
const journalPrefix = encodeTuple(["journal"]);

interface Tally {
  conflicts: number;
  unknowns: number;
  crashes: number;
}

export async function simulateEffects(seed: number): Promise<Counts> {
  const world = new World(seed);
  const tally: Tally = { conflicts: 0, unknowns: 0, crashes: 0 };
  const calm = world.openKeyspace(noFaults);
  const writes = Array.from({ length: messageCount }, (_, number) => ({
    kind: "set" as const,
    key: messageKey(number),
    value: Buffer.from("{}"),
  }));
  await world.run(calm.commit({ checks: [], writes }));
  await world.run(createEnvironments(calm).get("app", "production"));

  const nodes = [0, 1].map(() => node(world, tally));
  const crash = (): void => {
    const at = world.pick(nodes.length);
    tally.crashes += 1;
    nodes[at]?.crash();
    nodes[at] = node(world, tally);
    world.afterEvents(world.pick(eventsBetweenCrashes), crash);
  };
  world.afterEvents(world.pick(eventsBetweenCrashes), crash);
  while ((await world.run(waiting(calm))).length > 0) await world.runFor(50);
  // What was under way when the last message was gone finds that it is, and ends.
  await world.runFor(2_000);
  await verify(world, calm);
  return { ...tally };
}

/** Takes whatever message is there, several at once, until there is none. */
function node(world: World, counts: Tally): { crash(): void } {
  const keyspace = world.openKeyspace(faults);
  const life = { isOver: false };
  const work = async (): Promise<void> => {
    const environments = createEnvironments(keyspace);
    const environment = await environments.get("app", "production");
    const service = createStateService({ keyspace, environments, resources: [createKv(keyspace)] });
    const read = async (method: string, args: Record<string, unknown>) =>
      await service.read(environment, { resource: "kv", name: "s", method, args });
    while (!life.isOver) {
      const numbers = await waiting(keyspace);
      if (numbers.length === 0) return;
      const number = world.one(numbers);
      try {
        const outcome = await handle(world, number, read, keyspace, environment, service);
        if (outcome === "conflict") counts.conflicts += 1;
      } catch (error) {
        // Whether it happened is seen by whether the message is still there.
        if (!(error instanceof AloftError) || error.fault !== "platform") throw error;
        counts.unknowns += 1;
      }
      await world.sleep(world.random() * 5);
    }
  };
  for (let at = 0; at < handlersAtOnce; at += 1) {
    work().catch((error: unknown) => {
      world.schedule(0, () => {
        throw error;
      });
    });
  }
  return {
    crash() {
      life.isOver = true;
      keyspace.crash();
    },
  };
}

type Read = (method: string, args: Record<string, unknown>) => Promise<{ value: unknown; seen: readonly Seen[] }>;

async function handle(
  world: World,
  number: number,
  read: Read,
  keyspace: Keyspace,
  environment: Environment,
  service: ReturnType<typeof createStateService>,
): Promise<"committed" | "conflict" | "lost"> {
  const [message] = await keyspace.get([messageKey(number)]);
  if (message === null || message === undefined) return "lost";
  const readings: Reading[] = [];
  const seen: Seen[] = [];
  let sum = number;
  for (let reads = 1 + world.pick(3); reads > 0; reads -= 1) {
    if (world.chance(0.4)) {
      const prefix = world.one(["", "b", "c"]);
      const reply = await read("list", { prefix });
      const found = (reply.value as KvPage).entries.map(({ key, value }) => [key, value]);
      readings.push({ prefix, found });
      seen.push(...reply.seen);
      sum += found.length * 7;
    } else {
      const key = world.one(keys);
      const reply = await read("get", { key });
      const found = (reply.value as KvEntry | null)?.value ?? null;
      readings.push({ key, found });
      seen.push(...reply.seen);
      sum += JSON.stringify(found).length;
    }
    await world.sleep(world.random() * 8);
  }
  const effects = Array.from({ length: 1 + world.pick(2) }, (): Effect => {
    const base = { resource: "kv" as const, name: "s" };
    const key = world.one(keys);
    if (world.chance(0.35)) return { ...base, method: "delete", args: { key } };
    return { ...base, method: "set", args: { key, value: { json: sum + world.pick(1000) } } };
  });
  const line: JournalLine = { message: number, readings, effects };
  const outcome = await service.commit(environment, {
    seen,
    effects,
    checks: [{ kind: "version", key: messageKey(number), version: message.version }],
    writes: [
      { kind: "delete", key: messageKey(number) },
      { kind: "append", prefix: journalPrefix, value: Buffer.from(JSON.stringify(line)) },
    ],
  });
  return outcome.kind;
}

async function waiting(keyspace: Keyspace): Promise<number[]> {
  const { entries } = await keyspace.range(tupleRange(["message"]));
  return entries.map(({ key }) => numberIn(key));
}

function numberIn(key: Uint8Array): number {
  for (let number = 0; number < messageCount; number += 1) {
    if (Buffer.compare(messageKey(number), key) === 0) return number;
  }
  throw new Error("a message that nobody sent");
}

async function verify(world: World, keyspace: Keyspace): Promise<void> {
  const { entries } = await world.run(keyspace.range(tupleRange(["journal"])));
  const lines = entries.map(({ value }) => JSON.parse(Buffer.from(value).toString()) as JournalLine);
  assert.deepEqual(
    lines.map(({ message }) => message).toSorted((a, b) => a - b),
    Array.from({ length: messageCount }, (_, number) => number),
    "each message once",
  );
  const model = new Map<string, unknown>();
  for (const { readings, effects, message } of lines) {
    for (const reading of readings) {
      const there =
        "key" in reading
          ? (model.get(reading.key) ?? null)
          : [...model].filter(([key]) => key.startsWith(reading.prefix)).toSorted(([a], [b]) => (a < b ? -1 : 1));
      assert.deepEqual(reading.found, there, `what the handler of message ${message} read`);
    }
    for (const { method, args } of effects) {
      if (method === "delete") model.delete(args["key"] as string);
      else model.set(args["key"] as string, args["value"]);
    }
  }
}
