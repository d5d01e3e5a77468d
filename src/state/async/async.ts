/**
 * The resource `async`: calls of functions that are kept before they are acknowledged. Its name is the function's.
 *
 * Effects
 *   start    {input?, delayMs?, idempotencyKey?, retry?, maxAgeMs?, onSuccess?, onFailure?}   {id, duplicate}
 *   cancel   {id}                                                                             {cancelled, status}
 * Reads
 *   get      {id}                                 an AsyncCallJson
 *   list     {function?, status?, limit?, before?}    a list of them, newest first
 */
import { createHash, randomBytes } from "node:crypto";
import type { AsyncCallBegun, AsyncCallJson, AsyncCallStatus, Destination } from "../../contract/async-calls.ts";
import type { CommitPlan, Environment, Resource } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import type { Check, Entry, Keyspace } from "../../contract/keyspace.ts";
import { limits, queueLimits } from "../../contract/limits.ts";
import { isFunctionName } from "../../contract/names.ts";
import type { RetryPolicy } from "../../contract/queue-options.ts";
import { BoundedMap } from "../../lib/bounded-map.ts";
import type { Effect, ReadReply, Seen, StateRead } from "../../wire/effects.ts";
import {
  type Args,
  assertResourceName,
  invalidArg,
  optionalInteger,
  optionalText,
  textArg,
  unknownMethod,
} from "../arguments.ts";
import { dedupeKey, lanePrefix, queueKeys, type QueuePlace } from "../queue/queue-keys.ts";
import { encodeMessage } from "../queue/stored-message.ts";
import {
  asyncPlace,
  asyncSubscriptionKey,
  callKey,
  callRange,
  cancelKey,
  encodeAsyncSubscription,
  idOfCall,
} from "./async-keys.ts";
import { type CallBody, decodeCallRow, encodeCallRow } from "./call-row.ts";

/** Environments that are known to have calls. */
const knownMost = 20_000;
const statuses: ReadonlySet<string> = new Set<AsyncCallStatus>(["pending", "succeeded", "failed", "cancelled"]);

/** `newId`: the end of a call's id, unlike that of any other. */
export function createAsync(keyspace: Keyspace, newId: () => string = randomId): Resource {
  const subscribed = new BoundedMap<string, true>(knownMost);

  async function plan(effect: Effect, into: CommitPlan): Promise<unknown> {
    assertResourceName("async", effect.name);
    switch (effect.method) {
      case "start":
        return await start(effect, into);
      case "cancel":
        return await cancel(textArg(effect.args, "id"), into);
      default:
        throw unknownMethod("async", effect.method);
    }
  }

  async function start(effect: Effect, into: CommitPlan): Promise<AsyncCallBegun> {
    const { name, args } = effect;
    const place = asyncPlace(into.environment);
    const body = bodyOf(name, args);
    const text = JSON.stringify(body);
    assertSize(text);
    const id = callId(into.nowMs, newId());
    const idempotencyKey = optionalText(args, "idempotencyKey");
    if (idempotencyKey !== null) {
      const first = await noteKey(place, name, idempotencyKey, hashOf(text), id, into);
      if (first !== null) return { id: first, duplicate: true };
    }
    await subscribe(into);
    const delayMs = optionalInteger(args, "delayMs", 0, limits.messageDelayMs) ?? 0;
    const keys = queueKeys(place, 0);
    const prefix = lanePrefix(place, keys, delayMs === 0 ? {} : { dueMs: into.nowMs + delayMs });
    const value = encodeMessage({ id, body, sentAtMs: into.nowMs + delayMs, attempts: 0 });
    into.write({ kind: "append", prefix, value });
    into.write({ kind: "add", key: keys.depth, amount: 1n });
    if (delayMs > 0) into.write({ kind: "add", key: keys.later, amount: 1n });
    const row = encodeCallRow({ function: name, status: "pending", createdAtMs: into.nowMs });
    into.write({ kind: "set", key: callKey(place, id), value: row });
    return { id, duplicate: false };
  }

  /** The id that stands already, or null when this call is the first with the key. */
  async function noteKey(
    place: QueuePlace,
    name: string,
    idempotencyKey: string,
    hash: string,
    id: string,
    into: CommitPlan,
  ): Promise<string | null> {
    if (idempotencyKey === "" || idempotencyKey.length > limits.dedupeIdChars) {
      throw invalidArg("idempotencyKey", `must have 1 to ${limits.dedupeIdChars} characters`);
    }
    const key = dedupeKey(place, `${name} ${idempotencyKey}`);
    const [entry = null] = await keyspace.get([key]);
    if (entry !== null) {
      const stands = JSON.parse(Buffer.from(entry.value).toString()) as { id: string; hash: string };
      if (stands.hash === hash) return stands.id;
      throw new AloftError(
        "DEDUPE_MISMATCH",
        `the idempotency key "${idempotencyKey}" was used before for ${name} with other input or options`,
        { hint: "use another key for another call; a key stands for 24 hours", detail: { id: stands.id } },
      );
    }
    into.check({ kind: "absent", key });
    const value = Buffer.from(JSON.stringify({ id, hash }));
    into.write({ kind: "set", key, value, expiresAtMs: into.nowMs + limits.dedupeMs });
    return null;
  }

  /** So that whoever owns the environment's calls knows of them. */
  async function subscribe(into: CommitPlan): Promise<void> {
    const { environment } = into;
    const known = `${environment.id} ${environment.generation}`;
    if (subscribed.get(known) === true) return;
    const key = asyncSubscriptionKey(environment);
    const [entry = null] = await keyspace.get([key]);
    if (entry === null) into.write({ kind: "set", key, value: encodeAsyncSubscription(environment) });
    else subscribed.set(known, true);
  }

  async function cancel(
    id: string,
    into: CommitPlan,
  ): Promise<{ readonly cancelled: boolean; readonly status: AsyncCallStatus }> {
    const place = asyncPlace(into.environment);
    const key = callKey(place, id);
    const entry = await findRow(key, id);
    const row = decodeCallRow(entry.value);
    if (row.status !== "pending") return { cancelled: false, status: row.status };
    into.check({ kind: "version", key, version: entry.version });
    const value = encodeCallRow({ ...row, status: "cancelled", endedAtMs: into.nowMs });
    into.write({ kind: "set", key, value, expiresAtMs: into.nowMs + limits.callResultMs });
    into.write({ kind: "set", key: cancelKey(place, id), value: Buffer.alloc(0) });
    return { cancelled: true, status: "cancelled" };
  }

  async function read(environment: Environment, { method, args }: StateRead): Promise<ReadReply> {
    switch (method) {
      case "get": {
        const id = textArg(args, "id");
        const entry = await findRow(callKey(asyncPlace(environment), id), id);
        return { value: jsonOf(entry), seen: [] };
      }
      case "list":
        return { value: await list(environment, args), seen: [] };
      default:
        throw unknownMethod("async", method);
    }
  }

  async function findRow(key: Uint8Array, id: string): Promise<Entry> {
    const [entry = null] = id === "" || id.length > 64 ? [] : await keyspace.get([key]);
    if (entry !== null) return entry;
    throw new AloftError("CALL_NOT_FOUND", `there is no call ${JSON.stringify(id.slice(0, 100))}`, {
      hint: "what has become of a call is kept for 24 hours after its end",
    });
  }

  async function list(environment: Environment, args: Args): Promise<AsyncCallJson[]> {
    const place = asyncPlace(environment);
    const name = optionalText(args, "function");
    const status = optionalText(args, "status");
    if (status !== null && !statuses.has(status))
      throw invalidArg("status", `must be one of ${[...statuses].join(", ")}`);
    const limit = optionalInteger(args, "limit", 1, 1000) ?? 100;
    const before = optionalText(args, "before");
    const range = callRange(place);
    const found: AsyncCallJson[] = [];
    let query: Parameters<Keyspace["range"]>[0] | null = {
      start: range.start,
      end: before === null ? range.end : callKey(place, before),
      isReverse: true,
    };
    for (let pages = 0; query !== null && pages < limits.callListPages && found.length < limit; pages++) {
      const page: Awaited<ReturnType<Keyspace["range"]>> = await keyspace.range(query);
      for (const entry of page.entries) {
        const call = jsonOf(entry);
        if ((name === null || call.function === name) && (status === null || call.status === status)) found.push(call);
      }
      query = page.next;
    }
    return found.slice(0, limit);
  }

  return { kind: "async", read, plan, checkOf };
}

/** What has become of calls is not read under check. */
function checkOf(_: Environment, seen: Seen): Check | null {
  throw new AloftError("REQUEST_INVALID", `nothing of ${seen.resource} is read under check`);
}

function jsonOf({ key, value }: Entry): AsyncCallJson {
  return { id: idOfCall(key), ...decodeCallRow(value) };
}

/** Sorts by the time it was made. */
function callId(nowMs: number, end: string): string {
  return nowMs.toString(16).padStart(12, "0") + end;
}

function randomId(): string {
  return randomBytes(10).toString("hex");
}

function bodyOf(name: string, args: Args): CallBody {
  const maxAgeMs = optionalInteger(args, "maxAgeMs", queueLimits.maxAgeMs.min, queueLimits.maxAgeMs.max);
  const retry = retryOf(args["retry"]);
  const onSuccess = destinationOf(args, "onSuccess");
  const onFailure = destinationOf(args, "onFailure");
  return {
    function: name,
    input: args["input"] ?? null,
    ...(retry === null ? {} : { retry }),
    ...(maxAgeMs === null ? {} : { maxAgeMs }),
    ...(onSuccess === null ? {} : { onSuccess }),
    ...(onFailure === null ? {} : { onFailure }),
  };
}

const retryRanges = {
  attempts: queueLimits.attempts,
  minDelayMs: queueLimits.retryMinDelayMs,
  maxDelayMs: queueLimits.retryMaxDelayMs,
  factor: queueLimits.retryFactor,
  jitter: queueLimits.retryJitter,
} as const;

function retryOf(value: unknown): NonNullable<CallBody["retry"]> | null {
  if (value === undefined || value === null) return null;
  if (value === "lambda" || value === "none") return value;
  if (typeof value !== "object" || Array.isArray(value))
    throw invalidArg("retry", 'must be "lambda", "none" or an object');
  const policy: Partial<Record<keyof RetryPolicy, number>> = {};
  for (const [option, given] of Object.entries(value)) {
    const range = Object.hasOwn(retryRanges, option) ? retryRanges[option as keyof RetryPolicy] : null;
    if (range === null)
      throw invalidArg(
        "retry",
        `has no option "${option.slice(0, 50)}"; there are ${Object.keys(retryRanges).join(", ")}`,
      );
    if (typeof given !== "number" || !(given >= range.min && given <= range.max)) {
      throw invalidArg(`retry.${option}`, `must be a number from ${range.min} to ${range.max}`);
    }
    policy[option as keyof RetryPolicy] = given;
  }
  return policy;
}

function destinationOf(args: Args, name: "onSuccess" | "onFailure"): Destination | null {
  const value = args[name];
  if (value === undefined || value === null) return null;
  const { queue, function: called, ...more } = (typeof value === "object" ? value : {}) as Record<string, unknown>;
  if (Object.keys(more).length === 0) {
    if (typeof queue === "string" && called === undefined) {
      assertResourceName("queue", queue);
      return { queue };
    }
    if (typeof called === "string" && queue === undefined && isFunctionName(called)) return { function: called };
  }
  throw invalidArg(name, 'must be { "queue": NAME } or { "function": NAME }');
}

function assertSize(text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes <= limits.messageBytes) return;
  throw new AloftError(
    "PAYLOAD_TOO_LARGE",
    `the call has ${bytes} bytes as JSON, at most ${limits.messageBytes} are allowed`,
    { hint: "put large content into a blob and hand on its name" },
  );
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}
