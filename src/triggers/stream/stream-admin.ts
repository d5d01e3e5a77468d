/** Streams and their consumers as the control API shows and moves them; all of it is stored, so any node can answer. */
import type { Environment, StateService } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import type { Entry, Keyspace } from "../../contract/keyspace.ts";
import { parseFrom } from "../../contract/stream-options.ts";
import type {
  ConsumerJson,
  ReadRequest,
  RedriveParkedJson,
  RedriveParkedRequest,
  StreamJson,
  StreamRecordJson,
} from "../../contract/triggering.ts";
import { decodeTuple } from "../../contract/tuple.ts";
import { type ConsumerRequest, findConsumer, findRequest, jsonOf } from "../../state/stream/consumer-record.ts";
import { findLayouts, jsonBytes, type StreamLayouts } from "../../state/stream/layouts.ts";
import { lastRecord, startsFrom } from "../../state/stream/places.ts";
import { decodeRecord, offsetOf, type StreamRecord } from "../../state/stream/record.ts";
import { deleteStream, purgeStream } from "../../state/stream/removal.ts";
import { listStreams, readCounter, readLowWater } from "../../state/stream/retention.ts";
import {
  type ConsumerKeys,
  consumerKeys,
  consumersOf,
  type StreamKeys,
  streamKeys,
} from "../../state/stream/stream-keys.ts";
import { redriveParked } from "./redrive.ts";

export interface StreamAdminOptions {
  readonly keyspace: Keyspace;
  readonly state: StateService;
  /** What this node knows of a consumer that it runs: its state. */
  readonly stateOf: (environment: Environment, stream: string, consumer: string) => string | null;
  /** Names of live functions that consume it. */
  readonly consumersOf: (environment: Environment, stream: string) => readonly string[];
}

export class StreamAdmin {
  readonly #keyspace: Keyspace;
  readonly #state: StateService;
  readonly #stateOf: StreamAdminOptions["stateOf"];

  readonly #consumersOf: StreamAdminOptions["consumersOf"];

  constructor({ keyspace, state, stateOf, consumersOf }: StreamAdminOptions) {
    this.#keyspace = keyspace;
    this.#consumersOf = consumersOf;
    this.#state = state;
    this.#stateOf = stateOf;
  }

  async list(environment: Environment): Promise<StreamJson[]> {
    const streams: StreamJson[] = [];
    for (const name of await listStreams(this.#keyspace, environment)) streams.push(await this.get(environment, name));
    return streams;
  }

  async get(environment: Environment, stream: string): Promise<StreamJson> {
    const keys = streamKeys(environment, stream);
    const { layouts, retention } = await this.#layouts(environment, stream);
    const partitions = layouts.at(-1)?.partitions ?? 0;
    const counts: number[] = [];
    let removed = 0;
    let bytes = 0;
    for (let partition = 0; partition < partitions; partition++) {
      const [count = null, size = null, mark = null] = await this.#keyspace.get([
        keys.count(partition),
        keys.bytes(partition),
        keys.lowWater(partition),
      ]);
      const low = readLowWater(mark);
      counts.push(readCounter(count));
      removed += low.records;
      bytes += readCounter(size) - low.bytes;
    }
    const consumers: ConsumerJson[] = [];
    const appended = counts.reduce((sum, count) => sum + count, 0);
    for (const consumer of await this.#consumerNames(environment, stream)) {
      consumers.push(await this.#consumer(environment, stream, consumer, counts, appended - removed));
    }
    return { name: stream, partitions, ...retention, appended, removed, bytes, consumers };
  }

  async append(environment: Environment, stream: string, body: Readonly<Record<string, unknown>>): Promise<number> {
    await this.#layouts(environment, stream);
    const effect = { resource: "stream", name: stream, method: "append", args: { records: body["records"] } } as const;
    const outcome = await this.#state.commit(environment, { seen: [], effects: [effect], checks: [], writes: [] });
    if (outcome.kind !== "committed") throw new Error(`an append without checks has ended as ${outcome.kind}`);
    return (body["records"] as readonly unknown[]).length;
  }

  async read(environment: Environment, stream: string, request: ReadRequest): Promise<StreamRecordJson[]> {
    const keys = streamKeys(environment, stream);
    const { layouts } = await this.#layouts(environment, stream);
    const partitions = layouts.at(-1)?.partitions ?? 0;
    const partition = request.partition ?? 0;
    if (partition < 0 || partition >= partitions) {
      throw new AloftError(
        "REQUEST_INVALID",
        `stream ${stream} has the partitions 0 to ${partitions - 1}, not ${partition}`,
      );
    }
    if (request.from === "latest") {
      const range = keys.recordsAfter(partition, null);
      const page = await this.#keyspace.range({ ...range, limit: request.limit, isReverse: true });
      return page.entries.map((entry) => recordJson(partition, decodeRecord(entry))).toReversed();
    }
    const from = fromOf(stream, request.from ?? "earliest");
    const { starts } = await startsFrom(this.#keyspace, keys, layouts.slice(-1), from);
    const page = await this.#keyspace.range({
      ...keys.recordsAfter(partition, from === "earliest" ? null : (starts[partition] ?? null)),
      limit: request.limit,
    });
    return page.entries.map((entry) => recordJson(partition, decodeRecord(entry)));
  }

  async seek(environment: Environment, stream: string, consumer: string, from: string): Promise<void> {
    const place = fromOf(stream, from);
    await this.#request(environment, stream, consumer, (known) => ({
      ...known,
      seek: { id: crypto.randomUUID(), from: place },
    }));
  }

  async pause(environment: Environment, stream: string, consumer: string, isPaused: boolean): Promise<void> {
    await this.#request(environment, stream, consumer, (known) => ({ ...known, isPaused }));
  }

  async parked(environment: Environment, stream: string, consumer: string): Promise<unknown[]> {
    const keys = await this.#consumerKeys(environment, stream, consumer);
    const { entries } = await this.#keyspace.range(keys.parked);
    return entries.map((entry) => jsonOf<unknown>(entry));
  }

  async redrive(
    environment: Environment,
    stream: string,
    consumer: string,
    request: RedriveParkedRequest,
  ): Promise<RedriveParkedJson> {
    const keys = await this.#consumerKeys(environment, stream, consumer);
    const redriven = await redriveParked(this.#keyspace, keys, request);
    if (!request.dryRun) {
      const redriveId = crypto.randomUUID();
      await this.#request(environment, stream, consumer, (known) => ({ ...known, redriveId }));
    }
    return redriven;
  }

  async purge(environment: Environment, stream: string): Promise<number> {
    await this.#layouts(environment, stream);
    const purged = await purgeStream(this.#keyspace, environment, stream);
    const purgeId = crypto.randomUUID();
    for (const consumer of await this.#consumerNames(environment, stream)) {
      await this.#request(environment, stream, consumer, (known) => ({ ...known, purgeId }));
    }
    return purged;
  }

  async delete(environment: Environment, stream: string): Promise<number> {
    await this.#layouts(environment, stream);
    const [consumer] = this.#consumersOf(environment, stream);
    if (consumer === undefined) return await deleteStream(this.#keyspace, environment, stream);
    throw new AloftError("STREAM_IN_USE", `the stream ${stream} is consumed by ${consumer}`, {
      hint: "deploy the app without what consumes it, or empty it with `aloft streams purge`",
    });
  }

  async #consumerNames(environment: Environment, stream: string): Promise<string[]> {
    const { entries } = await this.#keyspace.range(consumersOf(environment, stream));
    return entries.map(({ key }) => String(decodeTuple(key).at(-1)));
  }

  async #consumer(
    environment: Environment,
    stream: string,
    name: string,
    counts: readonly number[],
    /** How many records there are. */
    held: number,
  ): Promise<ConsumerJson> {
    const keys = consumerKeys(environment, stream, name);
    const stored = await findConsumer(this.#keyspace, environment, stream, name);
    const request = await findRequest(this.#keyspace, keys);
    const [late = null, windows = null] = await this.#keyspace.get([keys.counter("late"), keys.counter("windows")]);
    const parked = await this.#keyspace.range(keys.parked);
    const redriven = await this.#keyspace.range(keys.redriven);
    const cursors = stored?.cursors ?? [];
    const done = cursors.reduce((sum, { cursor }) => sum + cursor.done, 0);
    const before = stored?.meta.done.reduce((sum, count) => sum + count, 0) ?? 0;
    const isAtEnd = stored !== null && (await this.#isAtEnd(streamKeys(environment, stream), counts.length, stored));
    const marks = [stored?.meta.watermarkMs ?? null, ...cursors.map(({ cursor }) => cursor.watermarkMs)];
    const watermarkMs = marks.reduce((a, b) => (a === null ? b : Math.max(a, b ?? a)), null);
    return {
      name,
      state: this.#stateOf(environment, stream, name) ?? "unbound",
      paused: request.isPaused,
      lanes: (stored?.meta.lanes ?? 0) * (stored?.meta.starts.length ?? 0),
      lag: isAtEnd ? 0 : Math.max(0, Math.min(held, counts.reduce((sum, count) => sum + count, 0) - before - done)),
      done,
      parked: parked.entries.length,
      redriven: redriven.entries.length,
      late: readCounter(late),
      windows: readCounter(windows),
      watermark: watermarkMs === null ? null : isoOf(watermarkMs),
    };
  }

  /** Nothing is stored beyond what its lanes have done: then what the counters say more was removed before it was read. */
  async #isAtEnd(
    keys: StreamKeys,
    partitions: number,
    stored: NonNullable<Awaited<ReturnType<typeof findConsumer>>>,
  ): Promise<boolean> {
    for (let partition = 0; partition < partitions; partition++) {
      const last = await lastRecord(this.#keyspace, keys, partition);
      if (last === null) continue;
      const lanes = stored.cursors.filter((one) => one.partition === partition);
      const start = stored.meta.starts[partition] ?? null;
      const places = [start, ...lanes.map(({ cursor }) => cursor.after)].map((place) =>
        place === null ? "" : offsetOf(place),
      );
      if (places.every((place) => place < offsetOf(last.place))) return false;
      // Several lanes: only the counters can tell.
      if (stored.meta.lanes > 1) return false;
    }
    return true;
  }

  async #request(
    environment: Environment,
    stream: string,
    consumer: string,
    change: (known: ConsumerRequest) => ConsumerRequest,
  ): Promise<void> {
    const { request: key } = await this.#consumerKeys(environment, stream, consumer);
    for (;;) {
      const [entry = null] = await this.#keyspace.get([key]);
      const known = entry === null ? { isPaused: false, seek: null } : jsonOf<ConsumerRequest>(entry);
      const outcome = await this.#keyspace.commit({
        checks: [entry === null ? { kind: "absent", key } : { kind: "version", key, version: entry.version }],
        writes: [{ kind: "set", key, value: jsonBytes(change(known)) }],
      });
      if (outcome.kind === "committed") return;
    }
  }

  async #consumerKeys(environment: Environment, stream: string, consumer: string): Promise<ConsumerKeys> {
    await this.#layouts(environment, stream);
    const keys = consumerKeys(environment, stream, consumer);
    const [entry]: (Entry | null | undefined)[] = await this.#keyspace.get([keys.directory]);
    if (entry !== null && entry !== undefined) return keys;
    throw new AloftError("CONSUMER_NOT_FOUND", `the stream ${stream} has no consumer "${consumer}"`, {
      hint: "a consumer has the name of its function; `aloft streams show` lists them",
    });
  }

  async #layouts(environment: Environment, stream: string): Promise<StreamLayouts> {
    const found = await findLayouts(this.#keyspace, streamKeys(environment, stream));
    if (found !== null) return found;
    throw new AloftError("STREAM_NOT_FOUND", `${environment.app} has no stream "${stream}"`, {
      hint: "a stream is there once something is appended to it or a live function consumes it",
    });
  }
}

function fromOf(stream: string, from: string): string {
  try {
    return parseFrom(stream, from);
  } catch (error) {
    throw new AloftError("REQUEST_INVALID", (error as Error).message);
  }
}

function isoOf(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms);
}

function recordJson(partition: number, { place, key, value, appendedAtMs }: StreamRecord): StreamRecordJson {
  return { partition, offset: offsetOf(place), key, value, appendedAt: new Date(appendedAtMs).toISOString() };
}
