/** What people do to queues from outside: look, pause, purge, bring dead letters back. */
import type { Environment, Environments, StateService } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import type { Check, Entry, Keyspace, Write } from "../../contract/keyspace.ts";
import type {
  MessageJson,
  QueueJson,
  QueueManaging,
  RedriveJson,
  RedriveRequest,
  SentJson,
} from "../../contract/managing-queues.ts";
import { defaultDeadLetter, parseQueueOptions } from "../../contract/queue-options.ts";
import { decodeTuple } from "../../contract/tuple.ts";
import type { Effect } from "../../wire/effects.ts";
import { assertResourceName } from "../arguments.ts";
import { putEffect } from "./queue.ts";
import {
  dueMsOf,
  keyAfter,
  type Lane,
  queueClassRange,
  type QueueKeys,
  queueKeys,
  type QueuePlace,
  queuePlace,
  queueRange,
} from "./queue-keys.ts";
import { encodeQueueState, type QueueState, type QueueStateRow, queueStateOf } from "./queue-state.ts";
import { decodeMessage, type StoredMessage } from "./stored-message.ts";
import { sweepQueue } from "./sweep-queue.ts";

/** A queue that a function of what is live consumes. */
export interface ConsumedQueue {
  readonly name: string;
  readonly functionName: string;
  readonly options: Readonly<Record<string, unknown>>;
}

export interface QueueOperationsOptions {
  readonly keyspace: Keyspace;
  readonly environments: Environments;
  readonly state: StateService;
  /** Throws APP_NOT_FOUND and ALIAS_NOT_FOUND. */
  readonly consumed: (app: string, alias: string) => readonly ConsumedQueue[];
  readonly onError: (error: unknown) => void;
}

const tries = 20;
/** Dead letters that go back in one commit. */
const redriveSlice = 100;
const shownIds = 100;

interface Opened {
  readonly place: QueuePlace;
  readonly keys: QueueKeys;
  readonly row: QueueStateRow;
}

export interface QueueOperations extends QueueManaging {
  /** Resolves when nothing is swept any more. */
  close(): Promise<void>;
}

export function createQueueOperations(options: QueueOperationsOptions): QueueOperations {
  const { keyspace, environments, state, consumed, onError } = options;
  const sweeping = new Set<Promise<void>>();
  let isClosed = false;

  async function open(environment: Environment, name: string): Promise<Opened> {
    const place = queuePlace(environment, "queue", name);
    const [entry = null] = await keyspace.get([place.stateKey]);
    const row = queueStateOf(entry);
    return { place, keys: queueKeys(place, row.generation), row };
  }

  /** Throws QUEUE_NOT_FOUND. */
  async function openExisting(app: string, alias: string, name: string): Promise<Opened> {
    assertResourceName("queue", name);
    const live = consumed(app, alias);
    const environment = await environments.get(app, alias);
    const opened = await open(environment, name);
    if (live.some((one) => one.name === name)) return opened;
    const { entries } = await keyspace.range({ ...queueRange(opened.place), limit: 1 });
    if (entries.length > 0) return opened;
    const names = await namesOf(environment, live);
    throw new AloftError("QUEUE_NOT_FOUND", `the app "${app}" has no queue "${name}"`, { detail: { queues: names } });
  }

  async function namesOf(environment: Environment, live: readonly ConsumedQueue[]): Promise<string[]> {
    const names = new Set(live.map(({ name }) => name));
    const { start, end } = queueClassRange(environment);
    for (let from = start; ;) {
      const { entries } = await keyspace.range({ start: from, end, limit: 1 });
      const [first] = entries;
      if (first === undefined) return [...names].toSorted();
      const name = String(decodeTuple(first.key)[4]);
      names.add(name);
      from = queueRange(queuePlace(environment, "queue", name)).end;
    }
  }

  async function describe(app: string, alias: string, { place, keys, row }: Opened): Promise<QueueJson> {
    const { name, environment } = place;
    const consumer = consumed(app, alias).find((one) => one.name === name) ?? null;
    const deadLetter =
      consumer === null ? defaultDeadLetter(name) : parseQueueOptions(name, consumer.options).deadLetter;
    const dead = await open(environment, deadLetter);
    const [messages = null, delayed = null, deadLetters = null] = await keyspace.get([
      keys.depth,
      keys.later,
      dead.keys.depth,
    ]);
    const firsts = await Promise.all(
      (["h", "m", "d"] as const).map(async (lane) => (await page(keys, lane, 1)).entries[0] ?? null),
    );
    const sent = firsts.flatMap((entry) => (entry === null ? [] : [decodeMessage(entry.value).sentAtMs]));
    return {
      name,
      consumer: consumer?.functionName ?? null,
      paused: row.isPaused,
      messages: countOf(messages),
      delayed: countOf(delayed),
      oldestSentAt: sent.length === 0 ? null : new Date(Math.min(...sent)).toISOString(),
      deadLetter,
      deadLetters: countOf(deadLetters),
    };
  }

  function page(keys: QueueKeys, lane: Lane, limit: number, from?: Uint8Array): ReturnType<Keyspace["range"]> {
    const { start, end } = keys.lanes[lane];
    return keyspace.range({ start: from ?? start, end, limit });
  }

  /** Until nobody else has changed it in between. The answer is what it was before. */
  async function changeState(
    app: string,
    alias: string,
    name: string,
    change: (state: QueueState) => QueueState,
  ): Promise<Opened> {
    for (let turn = 0; turn < tries; turn++) {
      const opened = await openExisting(app, alias, name);
      const { place, row } = opened;
      const key = place.stateKey;
      const check: Check = row.version === 0 ? { kind: "absent", key } : { kind: "version", key, version: row.version };
      const outcome = await state.commit(place.environment, {
        checks: [check],
        writes: [{ kind: "set", key, value: encodeQueueState(change(row)) }],
        seen: [],
        effects: [],
      });
      if (outcome.kind === "committed") return opened;
    }
    throw new AloftError("KEYSPACE_BUSY", `the queue ${name} could not be changed: others were faster every time`);
  }

  async function redrive(app: string, alias: string, name: string, request: RedriveRequest): Promise<RedriveJson> {
    const source = await openExisting(app, alias, name);
    const { deadLetter } = await describe(app, alias, source);
    const dead = await open(source.place.environment, deadLetter);
    const ids: string[] = [];
    let messages = 0;
    for (const lane of ["h", "m", "d"] as const) {
      for (let from = dead.keys.lanes[lane].start; ;) {
        const { entries, next } = await page(dead.keys, lane, redriveSlice, from);
        const wanted = entries
          .map((entry) => ({ entry, message: decodeMessage(entry.value) }))
          .filter(({ message }) => isWanted(message, name, request));
        if (wanted.length > 0) {
          if (!request.dryRun) await sendBack(name, dead, lane, wanted);
          messages += wanted.length;
          for (const { message } of wanted) if (ids.length < shownIds) ids.push(message.id);
        }
        const last = entries.at(-1);
        if (next === null || last === undefined) break;
        from = keyAfter(last.key);
      }
    }
    return { messages, ids, dryRun: request.dryRun };
  }

  /** Each of them once, or none: what somebody else took meanwhile has the rest looked at one by one. */
  async function sendBack(
    name: string,
    { place, keys }: Opened,
    lane: Lane,
    wanted: readonly { readonly entry: Entry; readonly message: StoredMessage }[],
  ): Promise<void> {
    const gone = -BigInt(wanted.length);
    const checks = wanted.map(({ entry }): Check => ({ kind: "version", key: entry.key, version: entry.version }));
    const writes: Write[] = wanted.map(({ entry }) => ({ kind: "delete", key: entry.key }));
    writes.push({ kind: "add", key: keys.depth, amount: gone });
    if (lane === "d") writes.push({ kind: "add", key: keys.later, amount: gone });
    const effects = wanted.map(({ message: { id, body, dead } }): Effect => {
      const { group, priority } = dead ?? {};
      return putEffect(name, {
        id,
        body,
        ...(group === undefined ? {} : { group }),
        ...(priority === undefined ? {} : { priority }),
      });
    });
    const outcome = await state.commit(place.environment, { checks, writes, seen: [], effects });
    if (outcome.kind !== "lost" || wanted.length === 1) return;
    for (const one of wanted) await sendBack(name, { place, keys, row: queueStateOf(null) }, lane, [one]);
  }

  return {
    async listQueues(app, alias) {
      const live = consumed(app, alias);
      const environment = await environments.get(app, alias);
      const found: QueueJson[] = [];
      for (const name of await namesOf(environment, live))
        found.push(await describe(app, alias, await open(environment, name)));
      return found;
    },
    getQueue: async (app, alias, name) => await describe(app, alias, await openExisting(app, alias, name)),
    async peek(app, alias, name, limit) {
      const { keys } = await openExisting(app, alias, name);
      const messages: MessageJson[] = [];
      for (const lane of ["h", "m", "d"] as const) {
        if (messages.length >= limit) break;
        const { entries } = await page(keys, lane, limit - messages.length);
        messages.push(...entries.map((entry) => messageJson(entry, lane)));
      }
      return messages;
    },
    async setPaused(app, alias, name, isPaused) {
      await changeState(app, alias, name, ({ generation }) => ({ generation, isPaused }));
      return await describe(app, alias, await openExisting(app, alias, name));
    },
    async purge(app, alias, name) {
      const { place, keys, row } = await changeState(app, alias, name, ({ generation, isPaused }) => ({
        generation: generation + 1,
        isPaused,
      }));
      const [depth = null] = await keyspace.get([keys.depth]);
      const work = sweepQueue(keyspace, place, row.generation + 1, [], () => isClosed).catch(onError);
      sweeping.add(work);
      void work.finally(() => sweeping.delete(work));
      return { purged: Math.max(0, countOf(depth)) };
    },
    redrive,
    async send(app, alias, name, message): Promise<readonly SentJson[]> {
      assertResourceName("queue", name);
      consumed(app, alias);
      const environment = await environments.get(app, alias);
      const args = message as Readonly<Record<string, unknown>>;
      const method = "messages" in args ? "sendBatch" : "send";
      const effect: Effect = { resource: "queue", name, method, args };
      const outcome = await state.commit(environment, { checks: [], writes: [], seen: [], effects: [effect] });
      if (outcome.kind !== "committed") throw new Error(`a commit without checks was ${outcome.kind}`);
      const [sent] = outcome.results;
      return (Array.isArray(sent) ? sent : [sent]) as readonly SentJson[];
    },
    async close() {
      isClosed = true;
      await Promise.all(sweeping);
    },
  };
}

function isWanted({ id, dead }: StoredMessage, queue: string, request: RedriveRequest): boolean {
  if (dead?.queue !== queue || (request.id !== undefined && request.id !== id)) return false;
  const { type, message, code = "" } = dead.error;
  return request.error === undefined || [type, message, code].some((text) => text.includes(request.error ?? ""));
}

function messageJson(entry: Entry, lane: Lane): MessageJson {
  const { id, body, sentAtMs, attempts, group, priority, notBeforeMs, dead } = decodeMessage(entry.value);
  const dueMs = lane === "d" ? dueMsOf(entry.key) : notBeforeMs;
  return {
    id,
    body,
    sentAt: new Date(sentAtMs).toISOString(),
    attempts,
    ...(group === undefined ? {} : { group }),
    ...(priority === undefined ? {} : { priority }),
    ...(dueMs === undefined ? {} : { dueAt: new Date(dueMs).toISOString() }),
    ...(dead === undefined
      ? {}
      : {
          dead: {
            queue: dead.queue,
            error: dead.error,
            attempts: dead.attempts,
            at: new Date(dead.atMs).toISOString(),
          },
        }),
  };
}

function countOf(entry: Entry | null): number {
  return entry === null ? 0 : Number(Buffer.from(entry.value).readBigInt64BE());
}
