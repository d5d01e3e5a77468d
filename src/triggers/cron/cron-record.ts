/**
 * What is kept of a cron: (class, environment, generation, shard, function, which of its schedules) and, for ticks that may run
 * beside each other, one key for each that has begun. The text of the schedule is no part of it: a cron is paused, and has its
 * history, whatever a deployment makes of its times.
 */
import { type Environment, KeyClass, shardOf } from "../../contract/durable.ts";
import type { Entry, Key } from "../../contract/keyspace.ts";
import { encodeTuple, tupleRange } from "../../contract/tuple.ts";

export interface CronState {
  /** As it was when the next tick was computed: a deployment may bring another. */
  readonly schedule: string;
  /** null: it never comes again. */
  readonly nextMs: number | null;
  /** Failed attempts at the next tick, and when it may be tried again. */
  readonly attempts: number;
  readonly retryAtMs: number | null;
  readonly isPaused: boolean;
  readonly last: LastTick | null;
  readonly succeeded: number;
  readonly failed: number;
}

export interface LastTick {
  readonly scheduledAtMs: number;
  readonly endedAtMs: number;
  /** null: it did well. */
  readonly error: string | null;
}

/** A tick that has begun, of a cron that lets them run beside each other. */
export interface BegunTick {
  readonly attempts: number;
  readonly retryAtMs: number | null;
}

export function cronShard(environment: Environment, functionName: string): number {
  return shardOf(environment, "cron", functionName);
}

export interface CronKeys {
  readonly state: Key;
  readonly begun: { readonly start: Key; readonly end: Key };
  begunTick(scheduledAtMs: number): Key;
  manualRun(id: string): Key;
}

/** `slot`: which of the function's schedules. */
export function cronKeys(environment: Environment, functionName: string, slot: number): CronKeys {
  const { id, generation } = environment;
  const base = [KeyClass.cron, id, generation, cronShard(environment, functionName), functionName, slot] as const;
  return {
    state: encodeTuple([...base, "n"]),
    begun: tupleRange([...base, "t"]),
    begunTick: (scheduledAtMs) => encodeTuple([...base, "t", scheduledAtMs]),
    manualRun: (run) => encodeTuple([...base, "r", run]),
  };
}

export function jsonBytes(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

export function jsonOf<T>({ value }: Entry): T {
  return JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.length).toString()) as T;
}
