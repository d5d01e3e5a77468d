/** Everything of the room, put together: the kinds of triggers, the engine that binds them, and what the control API asks. */
import type { Delivering, Environment, Environments, StateService } from "../contract/durable.ts";
import { AloftError } from "../contract/errors.ts";
import type { Keyspace } from "../contract/keyspace.ts";
import type { Triggering } from "../contract/triggering.ts";
import type { Clock } from "../lib/clock.ts";
import type { Schedule } from "../lib/schedule.ts";
import { cronJson, runCronNow } from "./cron/cron-admin.ts";
import type { Cron } from "./cron/cron.ts";
import { Crons } from "./cron/crons.ts";
import type { Engine } from "./engine.ts";
import type { Lines } from "../state/lines.ts";
import type { EventRunner } from "./event-run.ts";
import { standardTuning, type StreamTuning } from "./stream/consumer.ts";
import { StreamConsumers } from "./stream/consumers.ts";
import { StreamAdmin } from "./stream/stream-admin.ts";

export interface TriggersOptions {
  /** Not started yet. */
  readonly engine: Engine;
  readonly keyspace: Keyspace;
  readonly environments: Environments;
  readonly state: StateService;
  readonly delivering: Delivering;
  readonly clock: Clock;
  readonly schedule: Schedule;
  readonly lines: Lines;
  /** Looks for what a lost wake-up has not told, so often; null where none can get lost. */
  readonly safetyScanMs: number | null;
  readonly streamTuning?: StreamTuning;
  /** Told of each stream that is read. */
  readonly onStream: (environment: Environment, stream: string) => void;
  readonly onError: (error: unknown) => void;
}

export interface Triggers {
  readonly admin: Triggering;
}

export function openTriggers(options: TriggersOptions): Triggers {
  const { engine, keyspace, environments, state, delivering, clock, schedule, lines, onStream, onError } = options;
  const { safetyScanMs, streamTuning: tuning = standardTuning } = options;
  const runner: EventRunner = { delivering, state, lines };
  const crons = new Crons({ keyspace, runner, schedule, onError }, engine.find);
  const consumers = new StreamConsumers(
    { keyspace, runner, clock, schedule, safetyScanMs, tuning, onBound: onStream, onError },
    engine.find,
  );
  engine.register(crons);
  engine.register(consumers);
  const streams = new StreamAdmin({
    keyspace,
    state,
    stateOf: (environment, stream, consumer) => consumers.find(environment, stream, consumer)?.state ?? null,
    consumersOf: (environment, stream) =>
      engine
        .consumersOf(environment)
        .filter(({ kind, name }) => kind === "stream" && name === stream)
        .map(({ functionName }) => functionName),
  });

  async function environmentOf(app: string, alias: string): Promise<Environment> {
    await engine.settled();
    await Promise.all([crons.opened(), consumers.opened()]);
    return await environments.get(app, alias);
  }

  async function cronOf(app: string, alias: string, name: string): Promise<Cron> {
    const environment = await environmentOf(app, alias);
    const cron = crons.find(environment, name);
    if (cron !== null) return cron;
    const names = crons.list(environment).map((one) => one.name);
    throw new AloftError("CRON_NOT_FOUND", `${app} has no cron "${name}"`, {
      hint: names.length === 0 ? "none of its functions has a schedule" : `there are ${names.join(", ")}`,
    });
  }

  const admin: Triggering = {
    listCrons: async (app, alias) =>
      crons.list(await environmentOf(app, alias)).map(({ name, cron }) => cronJson(name, cron)),
    runCron: async (app, alias, name) => await runCronNow(await cronOf(app, alias, name), crypto.randomUUID()),
    async pauseCron(app, alias, name, isPaused) {
      const cron = await cronOf(app, alias, name);
      await cron.setPaused(isPaused);
      return cronJson(name, cron);
    },
    listStreams: async (app, alias) => await streams.list(await environmentOf(app, alias)),
    getStream: async (app, alias, stream) => await streams.get(await environmentOf(app, alias), stream),
    appendRecords: async (app, alias, stream, body) => ({
      appended: await streams.append(await environmentOf(app, alias), stream, body),
    }),
    readRecords: async (app, alias, stream, request) =>
      await streams.read(await environmentOf(app, alias), stream, request),
    purgeStream: async (app, alias, stream) => ({
      purged: await streams.purge(await environmentOf(app, alias), stream),
    }),
    deleteStream: async (app, alias, stream) => ({
      deleted: await streams.delete(await environmentOf(app, alias), stream),
    }),
    seekConsumer: async (app, alias, stream, consumer, from) =>
      await streams.seek(await environmentOf(app, alias), stream, consumer, from),
    pauseConsumer: async (app, alias, stream, consumer, isPaused) =>
      await streams.pause(await environmentOf(app, alias), stream, consumer, isPaused),
    listParked: async (app, alias, stream, consumer) =>
      await streams.parked(await environmentOf(app, alias), stream, consumer),
    redriveParked: async (app, alias, stream, consumer, request) =>
      await streams.redrive(await environmentOf(app, alias), stream, consumer, request),
  };

  return { admin };
}
