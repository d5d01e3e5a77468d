/**
 * Ends windows: hands the states of windows whose time has passed to the function, once, and deletes them in the commit that
 * holds what it has done with them. A later record for such a window is late, for the watermark is stored along.
 */
import type { EventDelivery } from "../../contract/durable.ts";
import type { Check, Entry, Write } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { decodeTuple } from "../../contract/tuple.ts";
import { jsonOf } from "../../state/stream/consumer-record.ts";
import { jsonBytes } from "../../state/stream/layouts.ts";
import type { OutcomeError } from "../../wire/effects.ts";
import { backoffMs, commitSurely, runEvent } from "../event-run.ts";
import type { StreamConsumer } from "./consumer.ts";
import { letterOf } from "./lane-delivery.ts";
import type { Parked } from "./redrive.ts";

interface EndedWindow {
  readonly key: string;
  readonly start: number;
  readonly end: number;
  /** One for each lane that has seen records of it. */
  readonly entries: Entry[];
}

/** All windows that are over at this watermark. Resolves when they are done with, or the consumer is lost. */
export async function closeWindows(consumer: StreamConsumer, watermarkMs: number): Promise<void> {
  const untilMs = watermarkMs === Number.MAX_SAFE_INTEGER ? await raiseToLast(consumer) : watermarkMs;
  let attempts = 0;
  let most = consumer.tuning.windowsPerClose;
  if (untilMs === null) return;
  while (!consumer.signal.aborted) {
    const windows = (await endedWindows(consumer, untilMs)).slice(0, most);
    if (windows.length === 0) return;
    const end = await runEvent(consumer.runner, {
      environment: consumer.binding.environment,
      delivery: () => closingOf(consumer, windows, attempts + 1),
      acknowledge: () => ({ checks: checksOf(consumer, windows), writes: writesOf(consumer, windows, untilMs) }),
      checks: consumer.checks(),
      signal: consumer.signal,
    });
    if (end.kind === "lost") {
      consumer.reopen();
      return;
    }
    if (end.kind === "committed") {
      settle(consumer, end.version, untilMs);
      attempts = 0;
      most = Math.min(consumer.tuning.windowsPerClose, most * 2);
    } else if (end.kind === "refused") {
      await wait(consumer, refusedMs);
    } else if (windows.length > 1) {
      most = Math.ceil(windows.length / 2);
    } else {
      attempts += 1;
      if (attempts >= consumer.options.attempts || end.error.retry === "never") {
        await giveUp(consumer, windows, untilMs, end.error, attempts);
        attempts = 0;
      } else await wait(consumer, backoffMs(consumer.options.backoffMs, attempts, end.error));
    }
  }
}

const refusedMs = 1000;

/** The stream is silent: the watermark rises over all windows that there are. */
async function raiseToLast(consumer: StreamConsumer): Promise<number | null> {
  const { entries } = await consumer.keyspace.range({ ...consumer.keys.states, limit: 1, isReverse: true });
  const last = entries[0];
  if (last === undefined) return null;
  const { end } = windowOf(last);
  consumer.watermark?.raise(end + (consumer.options.window?.latenessMs ?? 0));
  // Not further than what is under way since then.
  return consumer.watermarkUnderWayMs();
}

async function endedWindows(consumer: StreamConsumer, watermarkMs: number): Promise<EndedWindow[]> {
  const latenessMs = consumer.options.window?.latenessMs ?? 0;
  const range = consumer.keys.statesUntil(watermarkMs - latenessMs);
  const page = await consumer.keyspace.range({
    ...range,
    limit: consumer.tuning.windowsPerClose + limits.streamLanesPerConsumer,
  });
  const windows: EndedWindow[] = [];
  for (const entry of page.entries) {
    const { key, start, end } = windowOf(entry);
    const last = windows.at(-1);
    if (last !== undefined && last.key === key && last.start === start && last.end === end) last.entries.push(entry);
    else windows.push({ key, start, end, entries: [entry] });
  }
  // The last of a page may be cut.
  return page.next === null || windows.length < 2 ? windows : windows.slice(0, -1);
}

function windowOf({ key }: Entry): { key: string; start: number; end: number } {
  const [end, start, name] = decodeTuple(key).slice(-5) as [number, number, string];
  return { key: name, start, end };
}

function closingOf(consumer: StreamConsumer, windows: readonly EndedWindow[], attempt: number): EventDelivery | null {
  const { binding } = consumer;
  const target = binding.target();
  if (target === null) return null;
  const first = windows[0];
  const name = `${first?.end ?? 0}.${first?.key ?? ""}`;
  return {
    ...target,
    trigger: "stream",
    subject: `${binding.name} ends ${windows.length} windows from ${new Date(first?.start ?? 0).toISOString()}`,
    attempt,
    document: {
      trigger: "stream",
      idempotencyKey: `${binding.environment.id}.${binding.name}.${binding.functionName}.end.${name}`,
      payload: {
        kind: "close",
        windows: windows.map(({ key, start, end, entries }) => ({
          key,
          start,
          end,
          states: entries.map((entry) => jsonOf<unknown>(entry)),
        })),
      },
    },
    traceparent: null,
  };
}

function checksOf(consumer: StreamConsumer, windows: readonly EndedWindow[]): Check[] {
  const checks: Check[] = [{ kind: "version", key: consumer.keys.meta, version: consumer.metaVersion }];
  for (const { entries } of windows) {
    for (const { key, version } of entries) checks.push({ kind: "version", key, version });
  }
  return checks;
}

function writesOf(consumer: StreamConsumer, windows: readonly EndedWindow[], watermarkMs: number): Write[] {
  const writes: Write[] = [
    { kind: "set", key: consumer.keys.meta, value: jsonBytes({ ...consumer.meta, watermarkMs }) },
    { kind: "add", key: consumer.keys.counter("windows"), amount: BigInt(windows.length) },
  ];
  for (const { entries } of windows) for (const { key } of entries) writes.push({ kind: "delete", key });
  return writes;
}

function settle(consumer: StreamConsumer, version: number, watermarkMs: number): void {
  consumer.metaVersion = version;
  if (consumer.meta !== null) consumer.meta = { ...consumer.meta, watermarkMs };
}

/** A window that its function cannot end is parked with its states. */
async function giveUp(
  consumer: StreamConsumer,
  windows: readonly EndedWindow[],
  watermarkMs: number,
  error: OutcomeError,
  attempts: number,
): Promise<void> {
  const { environment } = consumer.binding;
  const nowMs = consumer.keyspace.clock.nowMs();
  const writes = writesOf(consumer, windows, watermarkMs);
  for (const { key, start, end, entries } of windows) {
    const window = { key, start, end, states: entries.map((entry) => jsonOf<unknown>(entry)) };
    const letter: Parked = { ...letterOf(consumer, { window }, error, attempts), atMs: nowMs };
    const place = { version: end, index: start };
    const parkedKey = consumer.keys.parkedWindow(key, place);
    writes.push({ kind: "set", key: parkedKey, value: jsonBytes(letter), expiresAtMs: nowMs + limits.streamParkedMs });
  }
  const outcome = await commitSurely(consumer.runner.state, environment, {
    seen: [],
    effects: [],
    checks: [...consumer.checks(), ...checksOf(consumer, windows)],
    writes,
    isEssential: true,
  });
  if (outcome.kind === "committed") settle(consumer, outcome.version, watermarkMs);
  else consumer.reopen();
}

async function wait(consumer: StreamConsumer, ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = consumer.schedule(ms, resolve);
  consumer.signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  cancel();
}
