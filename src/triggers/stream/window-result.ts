/** What a window's handler says of a batch: the states of its windows, unknown input. */
import { AloftError } from "../../contract/errors.ts";
import type { Write } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { jsonBytes } from "../../state/stream/layouts.ts";
import type { StreamConsumer } from "./consumer.ts";
import type { Lane } from "./lane.ts";

export interface WindowResult {
  readonly states: readonly {
    readonly key: string;
    readonly start: number;
    readonly end: number;
    readonly state: unknown;
    /** The lane that had the state until now, where it is another one: it goes from there. */
    readonly from: { readonly partition: number; readonly lane: number } | null;
  }[];
  /** Records that came too late. */
  readonly late: number;
  readonly maxMs: number | null;
}

/** Throws an AloftError. */
export function parseWindowResult(value: unknown): WindowResult {
  const { states, late, maxMs } = (value ?? {}) as Record<string, unknown>;
  if (!Array.isArray(states) || !isWhole(late) || (maxMs !== null && !isWhole(maxMs))) throw invalid("is none");
  if (states.length > limits.windowStates) {
    throw invalid(`has ${states.length} windows, at most ${limits.windowStates} are allowed in one batch`);
  }
  return { states: states.map((state: unknown) => parseState(state)), late, maxMs };
}

function parseState(value: unknown): WindowResult["states"][number] {
  const { key, start, end, state, from } = (value ?? {}) as Record<string, unknown>;
  if (typeof key !== "string" || !isWhole(start) || !isWhole(end))
    throw invalid("has a window without key, start or end");
  if (key.length > limits.streamKeyChars) {
    throw invalid(`has a window's key of ${key.length} characters, at most ${limits.streamKeyChars} are allowed`);
  }
  const { partition, lane } = (from ?? {}) as Record<string, unknown>;
  return {
    key,
    start,
    end,
    state: state ?? null,
    from: isWhole(partition) && isWhole(lane) ? { partition, lane } : null,
  };
}

export function stateWrites({ keys }: StreamConsumer, lane: Lane, { states, late }: WindowResult): Write[] {
  const writes: Write[] = states.flatMap(({ key, start, end, state, from }): Write[] => {
    const value = jsonBytes(state);
    if (value.length > limits.windowStateBytes) {
      throw new AloftError(
        "VALUE_TOO_LARGE",
        `the state of the window ${new Date(start).toISOString()} of "${key}" has ${value.length} bytes, at most ${limits.windowStateBytes} are allowed`,
        { hint: "keep a summary of the records instead of the records" },
      );
    }
    const own = { kind: "set", key: keys.state(end, start, key, lane.partition, lane.number), value } as const;
    if (from === null) return [own];
    return [{ kind: "delete", key: keys.state(end, start, key, from.partition, from.lane) }, own];
  });
  if (late > 0) writes.push({ kind: "add", key: keys.counter("late"), amount: BigInt(late) });
  return writes;
}

function isWhole(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value);
}

function invalid(what: string): AloftError {
  return new AloftError("FUNCTION_BAD_RESPONSE", `the result of a window's handler ${what}`);
}
