/**
 * Streams as functions see them: appends as effects, and the states of windows that a consumer's handler asks for. Reading is
 * the business of consumers (`triggers/stream`).
 */
import type { CommitPlan, Environment, Resource } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import type { Check, Entry, Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { decodeTuple } from "../../contract/tuple.ts";
import type { Effect, ReadReply, StateRead } from "../../wire/effects.ts";
import { parseAppend } from "./append-effect.ts";
import { findLayouts, planShape } from "./layouts.ts";
import { encodeRecord, partitionOf } from "./record.ts";
import { consumerKeys, type ConsumerKeys, type StreamKeys, streamKeys } from "./stream-keys.ts";

export interface StreamResourceOptions {
  readonly keyspace: Keyspace;
  /** Told of every stream that something is appended to. */
  readonly onAppend?: (environment: Environment, name: string) => void;
}

export interface AppendResult {
  readonly isDuplicate: boolean;
}

export function createStreamResource({ keyspace, onAppend }: StreamResourceOptions): Resource {
  let turn = 0;
  /** Sequence numbers of producers that earlier effects of the same outcome have brought. */
  const brought = new WeakMap<CommitPlan, Map<string, number>>();

  /** Records without a key go round the partitions, those of one append together. */
  function partitionFor(key: string | null, partitions: number): number {
    return key === null ? turn % partitions : partitionOf(key, partitions);
  }

  async function plan(effect: Effect, into: CommitPlan): Promise<AppendResult> {
    const { name, method, args } = effect;
    if (method !== "append") throw unknownMethod(name, method);
    const { records, producer, shape } = parseAppend(name, args);
    const keys = streamKeys(into.environment, name);
    if (producer !== null && (await isRepeated(keys, producer, into))) return { isDuplicate: true };
    const { checks, writes, partitions } = planShape(keys, await findLayouts(keyspace, keys), shape);
    for (const check of checks) into.check(check);
    for (const write of writes) into.write(write);
    const sums = new Map<number, { records: number; bytes: number }>();
    turn += 1;
    for (const { key, value } of records) {
      const partition = partitionFor(key, partitions);
      const encoded = encodeRecord(value, key, into.nowMs);
      if (encoded.length > limits.streamRecordBytes) {
        throw new AloftError(
          "VALUE_TOO_LARGE",
          `stream ${name}: a record has ${encoded.length} bytes, at most ${limits.streamRecordBytes} are allowed`,
          { hint: "put large content into a blob store and append its name" },
        );
      }
      into.write({ kind: "append", prefix: keys.records(partition), value: encoded });
      const sum = sums.get(partition);
      if (sum === undefined) sums.set(partition, { records: 1, bytes: encoded.length });
      else {
        sum.records += 1;
        sum.bytes += encoded.length;
      }
    }
    for (const [partition, sum] of sums) {
      into.write({ kind: "add", key: keys.count(partition), amount: BigInt(sum.records) });
      into.write({ kind: "add", key: keys.bytes(partition), amount: BigInt(sum.bytes) });
    }
    onAppend?.(into.environment, name);
    return { isDuplicate: false };
  }

  async function isRepeated(
    keys: StreamKeys,
    producer: { readonly id: string; readonly sequence: number },
    into: CommitPlan,
  ): Promise<boolean> {
    const key = keys.producer(producer.id);
    const earlier = brought.get(into) ?? new Map<string, number>();
    brought.set(into, earlier);
    const name = Buffer.from(key).toString("latin1");
    const before = earlier.get(name);
    if (before !== undefined && producer.sequence <= before) return true;
    const [known] = await keyspace.get([key]);
    if (known === null || known === undefined) into.check({ kind: "absent", key });
    else {
      into.check({ kind: "version", key, version: known.version });
      if (producer.sequence <= Number(Buffer.from(known.value).toString())) return true;
    }
    earlier.set(name, producer.sequence);
    const expiresAtMs = into.nowMs + limits.streamProducerMs;
    into.write({ kind: "set", key, value: Buffer.from(String(producer.sequence)), expiresAtMs });
    return false;
  }

  async function read(environment: Environment, { name, method, args }: StateRead): Promise<ReadReply> {
    if (method !== "window-states") throw unknownMethod(name, method);
    const { consumer, partition, lane, keys, isByRecordKey } = args;
    const list: unknown[] = Array.isArray(keys) ? keys : [];
    if (typeof consumer !== "string" || !isCount(partition) || !isCount(lane) || list.length > limits.windowStates) {
      throw new AloftError(
        "REQUEST_INVALID",
        `stream ${name}: at most ${limits.windowStates} windows are read at once`,
      );
    }
    const place = consumerKeys(environment, name, consumer);
    const wanted = list.map((one) => {
      const { key, start, end } = (one ?? {}) as Record<string, unknown>;
      if (typeof key !== "string" || !Number.isSafeInteger(start) || !Number.isSafeInteger(end)) {
        throw new AloftError("REQUEST_INVALID", `stream ${name}: a window has no key, start or end`);
      }
      const own = place.state(end as number, start as number, key, partition, lane);
      return { own, all: place.statesOf(end as number, start as number, key), key };
    });
    const value: unknown[] = [];
    for (let at = 0; at < wanted.length; at += limits.getKeys) {
      const some = wanted.slice(at, at + limits.getKeys);
      for (const [index, entry] of (await keyspace.get(some.map(({ own }) => own))).entries()) {
        const { all, key } = some[index] as (typeof some)[number];
        if (entry !== null) value.push({ state: stateOf(entry) });
        // Records without a key are in all lanes, each with a state of its own.
        else value.push(isByRecordKey === true && key !== "" ? await leftBehind(all) : null);
      }
    }
    // Not checked: only this lane's own commits change them, and its cursor is checked.
    return { value, seen: [] };
  }

  /** Before the number of lanes or partitions was changed, the key was in another lane: its windows move along. */
  async function leftBehind(range: ReturnType<ConsumerKeys["statesOf"]>): Promise<unknown> {
    const { entries } = await keyspace.range({ ...range, limit: 1 });
    const [entry] = entries;
    if (entry === undefined) return null;
    const [partition, lane] = decodeTuple(entry.key).slice(-2);
    return { state: stateOf(entry), from: { partition, lane } };
  }

  return { kind: "stream", read, plan, checkOf: (): Check | null => null };
}

function stateOf({ value }: Entry): unknown {
  return JSON.parse(Buffer.from(value).toString());
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function unknownMethod(name: string, method: string): AloftError {
  return new AloftError("REQUEST_INVALID", `stream ${name}: there is no method "${method.slice(0, 50)}"`);
}
