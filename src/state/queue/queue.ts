/**
 * The resource `queue`: named queues of messages.
 *
 * Effects
 *   send       {body, delayMs?, dedupeId?, group?, priority?}      {id, duplicate}
 *   sendBatch  {messages: [the same]}                              a list of these
 *
 * A message that was sent with a deduplication id within the last day is not sent again: the first one's id stands. Its content
 * must be the same, else DEDUPE_MISMATCH. The platform moves messages under the id that they have, by `put` (`putEffect`).
 */
import { createHash, randomBytes } from "node:crypto";
import type { CommitPlan, Environment, Resource } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import type { Check, Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { BoundedMap } from "../../lib/bounded-map.ts";
import type { Effect, ReadReply, Seen, StateRead } from "../../wire/effects.ts";
import {
  type Args,
  assertResourceName,
  invalidArg,
  optionalInteger,
  optionalText,
  unknownMethod,
} from "../arguments.ts";
import { dedupeKey, lanePrefix, type QueueKeys, queueKeys, type QueuePlace, queuePlace } from "./queue-keys.ts";
import { type QueueStateRow, queueStateOf } from "./queue-state.ts";
import { type DeadLetter, encodeMessage, type StoredMessage } from "./stored-message.ts";

export interface Sent {
  readonly id: string;
  /** Sent before with the same deduplication id: the id is that of the first. */
  readonly duplicate: boolean;
}

/** A message that the platform puts somewhere itself, under the id that it has. */
export type PutMessage = Pick<StoredMessage, "id" | "body" | "group" | "priority" | "dead">;

/** What the platform has made itself: nothing that came from a guest can be one. */
const ownMessages = new WeakSet<PutMessage>();

/** The effect that puts a message into a queue: a dead letter into its queue, or back out of it. */
export function putEffect(queue: string, message: PutMessage): Effect {
  ownMessages.add(message);
  return { resource: "queue", name: queue, method: "put", args: { message } };
}

/** Queues whose place and state are remembered, some 500 bytes each. */
const knownMost = 20_000;

interface Known {
  readonly place: QueuePlace;
  keys: QueueKeys;
  state: QueueStateRow | null;
}

/** What was planned already in the same commit. */
interface Notes {
  readonly checked: Set<Known>;
  readonly dedupes: Map<string, { readonly id: string; readonly hash: string }>;
}

export function createQueue(keyspace: Keyspace, newId: () => string = randomId): Resource {
  const known = new BoundedMap<string, Known>(knownMost);
  const notesOf = new WeakMap<CommitPlan, Notes>();

  function find(environment: Environment, name: string): Known {
    const id = `${environment.id} ${environment.generation} ${name}`;
    let found = known.get(id);
    if (found === undefined) {
      const place = queuePlace(environment, "queue", name);
      found = { place, keys: queueKeys(place, 0), state: null };
      known.set(id, found);
    }
    return found;
  }

  function plan({ name, method, args }: Effect, into: CommitPlan): unknown {
    assertResourceName("queue", name);
    const messages = messagesOf(method, args);
    const queue = find(into.environment, name);
    const hasDedupe = messages.some(({ dedupeId }) => dedupeId !== null);
    const notes = notesFor(into);
    if (!hasDedupe && isFresh(queue, into, notes)) return answer(method, sendAll(queue, messages, into, notes));
    return planSlowly(method, queue, messages, into, notes);
  }

  async function planSlowly(
    method: string,
    queue: Known,
    messages: readonly Message[],
    into: CommitPlan,
    notes: Notes,
  ): Promise<unknown> {
    if (!isFresh(queue, into, notes)) {
      const [entry = null] = await keyspace.get([queue.place.stateKey]);
      queue.state = queueStateOf(entry);
      if (queue.keys.generation !== queue.state.generation) queue.keys = queueKeys(queue.place, queue.state.generation);
    }
    await readDedupes(queue, messages, notes);
    return answer(method, sendAll(queue, messages, into, notes));
  }

  function notesFor(plan: CommitPlan): Notes {
    let notes = notesOf.get(plan);
    if (notes === undefined) {
      notes = { checked: new Set(), dedupes: new Map() };
      notesOf.set(plan, notes);
    }
    return notes;
  }

  /** The ids that stand already, in the store or earlier in this commit. */
  async function readDedupes({ place }: Known, messages: readonly Message[], notes: Notes): Promise<void> {
    const ids = [...new Set(messages.flatMap(({ dedupeId }) => (dedupeId === null ? [] : [dedupeId])))];
    const fresh = ids.filter((id) => !notes.dedupes.has(noteKey(place, id)));
    if (fresh.length === 0) return;
    const entries = await keyspace.get(fresh.map((id) => dedupeKey(place, id)));
    for (const [index, entry] of entries.entries()) {
      if (entry === null) continue;
      const stored = JSON.parse(Buffer.from(entry.value).toString()) as { id: string; hash: string };
      notes.dedupes.set(noteKey(place, fresh[index] as string), stored);
    }
  }

  function sendAll(queue: Known, messages: readonly Message[], into: CommitPlan, notes: Notes): Sent[] {
    const { place, keys, state } = queue;
    if (!notes.checked.has(queue)) {
      notes.checked.add(queue);
      into.check(checkOfVersion(place.stateKey, state?.version ?? 0));
    }
    const sent: Sent[] = [];
    let added = 0n;
    let delayed = 0n;
    for (const message of messages) {
      const id = message.id ?? newId();
      const first = message.dedupeId === null ? null : noteDedupe(queue, message, id, into, notes);
      if (first !== null) {
        sent.push({ id: first, duplicate: true });
        continue;
      }
      const { body, group, priority, delayMs, dead } = message;
      const stored: StoredMessage = {
        id,
        body,
        sentAtMs: into.nowMs,
        attempts: 0,
        ...(group === null ? {} : { group }),
        ...(priority === 0 ? {} : { priority }),
        ...(dead === null ? {} : { dead }),
      };
      const prefix = lanePrefix(place, keys, delayMs === 0 ? { priority } : { dueMs: into.nowMs + delayMs });
      into.write({ kind: "append", prefix, value: encodeMessage(stored) });
      added += 1n;
      if (delayMs > 0) delayed += 1n;
      sent.push({ id, duplicate: false });
    }
    if (added > 0n) into.write({ kind: "add", key: keys.depth, amount: added });
    if (delayed > 0n) into.write({ kind: "add", key: keys.later, amount: delayed });
    return sent;
  }

  /** The id that stands, or null when this message is the first. */
  function noteDedupe({ place }: Known, message: Message, id: string, into: CommitPlan, notes: Notes): string | null {
    const dedupeId = message.dedupeId as string;
    const hash = hashOf(message);
    const stands = notes.dedupes.get(noteKey(place, dedupeId));
    if (stands !== undefined) {
      if (stands.hash === hash) return stands.id;
      throw new AloftError(
        "DEDUPE_MISMATCH",
        `queue ${place.name}: the deduplication id "${dedupeId}" was used before with other content`,
        { hint: "use another id for another message; an id stands for 24 hours", detail: { id: stands.id } },
      );
    }
    const key = dedupeKey(place, dedupeId);
    into.check({ kind: "absent", key });
    const value = Buffer.from(JSON.stringify({ id, hash }));
    into.write({ kind: "set", key, value, expiresAtMs: into.nowMs + limits.dedupeMs });
    notes.dedupes.set(noteKey(place, dedupeId), { id, hash });
    return null;
  }

  return { kind: "queue", plan, read, checkOf };
}

async function read(_: Environment, { method }: StateRead): Promise<ReadReply> {
  throw unknownMethod("queue", method);
}

/** Queues are not read by handlers. */
function checkOf(_: Environment, seen: Seen): Check | null {
  throw new AloftError("REQUEST_INVALID", `nothing of a ${seen.resource} is read under check`);
}

/** Remembered and not known to be old: a plan that was made before has failed, perhaps by this. */
function isFresh(queue: Known, { tries }: CommitPlan, { checked }: Notes): boolean {
  return queue.state !== null && (tries === 0 || checked.has(queue));
}

interface Message {
  /** null: a new one. */
  readonly id: string | null;
  readonly body: unknown;
  readonly delayMs: number;
  readonly dedupeId: string | null;
  readonly group: string | null;
  readonly priority: number;
  readonly dead: DeadLetter | null;
}

function messagesOf(method: string, args: Args): readonly Message[] {
  switch (method) {
    case "send":
      return [parseMessage(args)];
    case "sendBatch": {
      const list = args["messages"];
      if (!Array.isArray(list)) throw invalidArg("messages", "must be a list");
      if (list.length > limits.sendBatchMessages) {
        throw invalidArg("messages", `has ${list.length} messages, at most ${limits.sendBatchMessages} are allowed`);
      }
      return list.map((one: unknown) => {
        if (typeof one !== "object" || one === null) throw invalidArg("messages", "must hold objects");
        return parseMessage(one as Args);
      });
    }
    case "put": {
      const { message } = args as { message?: PutMessage };
      if (message === undefined || !ownMessages.has(message)) throw unknownMethod("queue", method);
      const { id, body, group = null, priority = 0, dead = null } = message;
      return [{ id, body, group, priority, dead, delayMs: 0, dedupeId: null }];
    }
    default:
      throw unknownMethod("queue", method);
  }
}

function parseMessage(args: Args): Message {
  const body = args["body"];
  if (body === undefined) throw invalidArg("body", "is missing; it is anything that JSON has");
  const group = boundedText(args, "group", limits.groupChars);
  const delayMs = optionalInteger(args, "delayMs", 0, limits.messageDelayMs) ?? 0;
  const priority = optionalInteger(args, "priority", 0, limits.messagePriority) ?? 0;
  if (group !== null && (delayMs > 0 || priority > 0)) {
    throw invalidArg("group", "cannot be given together with a delay or a priority: a group keeps its order");
  }
  const bytes = Buffer.byteLength(JSON.stringify(body));
  if (bytes > limits.messageBytes) {
    throw new AloftError(
      "PAYLOAD_TOO_LARGE",
      `the message has ${bytes} bytes as JSON, at most ${limits.messageBytes} are allowed`,
      { hint: "put large content into a blob and send its name" },
    );
  }
  const dedupeId = boundedText(args, "dedupeId", limits.dedupeIdChars);
  return { id: null, body, delayMs, priority, group, dedupeId, dead: null };
}

function boundedText(args: Args, name: string, charsMax: number): string | null {
  const text = optionalText(args, name);
  if (text === null) return null;
  if (text === "" || text.length > charsMax) throw invalidArg(name, `must have 1 to ${charsMax} characters`);
  return text;
}

function answer(method: string, sent: readonly Sent[]): unknown {
  return method === "sendBatch" ? sent : sent[0];
}

function noteKey({ shard, name }: QueuePlace, dedupeId: string): string {
  return `${shard} ${name}\0${dedupeId}`;
}

function hashOf({ body, group, priority }: Message): string {
  return createHash("sha256")
    .update(JSON.stringify([body, group, priority]))
    .digest("base64url");
}

function checkOfVersion(key: Uint8Array, version: number): Check {
  return version === 0 ? { kind: "absent", key } : { kind: "version", key, version };
}

function randomId(): string {
  return randomBytes(12).toString("base64url");
}
