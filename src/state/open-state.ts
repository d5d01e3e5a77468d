/** Everything of the room, put together: the kinds of state there are, and what looks after what they leave behind. */
import { join } from "node:path";
import type { ContentFolder } from "../contract/backup.ts";
import type { LiveDeployment } from "../contract/deployment.ts";
import type { Environment, Resource, StateService } from "../contract/durable.ts";
import { AloftError, asAloftError } from "../contract/errors.ts";
import type { Keyspace } from "../contract/keyspace.ts";
import type { ManagingState } from "../contract/managing-state.ts";
import type { ReadReply, StateRead } from "../wire/effects.ts";
import type { ReplyMessage } from "../wire/messages.ts";
import { type Overlay, StateError } from "../wire/overlay.ts";
import { createBlob } from "./blob/blob.ts";
import { createBlobCollector } from "./blob/blob-collector.ts";
import { createBlobContents } from "./blob/blob-contents.ts";
import { openBlobFiles } from "./blob/blob-files.ts";
import { createBlobSessions } from "./blob/blob-sessions.ts";
import { systemSchedule } from "../lib/schedule.ts";
import { createEnvironments, type EnvironmentRegistry } from "./environments.ts";
import { createAsync } from "./async/async.ts";
import { createKv } from "./kv/kv.ts";
import { createLines, type Lines } from "./lines.ts";
import { createManagingState } from "./manage-state.ts";
import { createQueue } from "./queue/queue.ts";
import { answerHeld, answerStateCall, type StateCall } from "./state-calls.ts";
import { createStateService } from "./state-service.ts";
import { openRetention, type Retention } from "./stream/retention.ts";
import { createStreamResource } from "./stream/stream.ts";
import { createSweeper } from "./sweeper.ts";

export interface State {
  readonly service: StateService;
  readonly environments: EnvironmentRegistry;
  /** For reruns of whoever met a conflict. */
  readonly lines: Lines;
  /** What an instance of the deployment asks for. `held`: where the writes of its invocation are held. */
  answer(live: LiveDeployment, call: StateCall, held: Overlay | null): Promise<ReplyMessage>;
  read(live: LiveDeployment, read: StateRead): Promise<ReadReply>;
  readonly retention: Retention;
  /** The app is deleted: what it has stored is out of reach when this resolves, and is removed little by little. */
  retire(app: string): Promise<void>;
  /** For the control API. */
  readonly managing: ManagingState;
  /** What backups hold of it beside the keyspace. */
  contents(): ContentFolder;
  close(): Promise<void>;
}

export interface StateOptions {
  /** Stays the caller's to close, after this. */
  readonly keyspace: Keyspace;
  /** Folders of the data folder: contents of blobs, and what is on its way to there. */
  readonly blobs: string;
  readonly uploads: string;
  /** Told what went wrong where nobody waits for an answer. */
  readonly onError: (error: unknown) => void;
}

export async function openState({ keyspace, blobs, uploads, onError }: StateOptions): Promise<State> {
  const environments = createEnvironments(keyspace);
  const files = await openBlobFiles(blobs, uploads);
  const contents = createBlobContents(keyspace, files);
  const sessions = createBlobSessions(contents);
  const collector = createBlobCollector(contents, onError);
  const sweeper = createSweeper(
    keyspace,
    () => new Promise((resolve) => setImmediate(resolve)),
    async (environment) => {
      await contents.whenFree(); // a backup may have copied the keyspace before the app was deleted
      await files.removeAll(environment);
    },
  );
  const lines = createLines();
  const retention = openRetention({ keyspace, schedule: systemSchedule, onError });
  const queue = createQueue(keyspace);
  const resources: readonly Resource[] = [
    createKv(keyspace),
    queue,
    createAsync(keyspace),
    createBlob({ keyspace, sessions, queue, onFreed: (environment) => collector.soon(environment) }),
    createStreamResource({ keyspace, onAppend: (environment, name) => retention.touch(environment, name) }),
  ];
  sweeper.sweep().catch(onError);
  // What a crash has left, and uploads that nobody named before it.
  for await (const place of files.places()) collector.soon(place);
  const service = createStateService({ keyspace, environments, resources });
  const known = new WeakMap<LiveDeployment, Promise<Environment>>();

  /** A deployment keeps the one it began with: what still runs of a deleted app does not reach that of a later one. */
  async function environmentOf(live: LiveDeployment): Promise<Environment> {
    let environment = known.get(live);
    if (environment === undefined) {
      environment = environments.get(live.app, live.alias);
      environment.catch(() => known.delete(live));
      known.set(live, environment);
    }
    return await environment;
  }

  return {
    service,
    environments,
    lines,
    managing: createManagingState(service, environments, contents),
    read: async (live, read) => await service.read(await environmentOf(live), read),
    async answer(live, call, held) {
      try {
        if (held !== null) return { ok: true, value: await answerHeld(held, call) };
        return { ok: true, value: await answerStateCall(service, lines, await environmentOf(live), call) };
      } catch (error) {
        if (error instanceof StateError)
          return { ok: false, code: error.code, type: "StateError", message: error.message, stack: "" };
        if (!(error instanceof AloftError)) onError(error);
        const { code, message } = asAloftError(error);
        return { ok: false, code, type: "StateError", message, stack: "" };
      }
    },
    retention,
    async retire(app) {
      await environments.retire(app);
      sweeper.sweep().catch(onError);
    },
    contents: () => ({
      name: "blobs",
      path: blobs,
      hold: () => contents.hold(),
      async *list() {
        for await (const place of files.places()) {
          for await (const hash of files.hashes(place))
            yield join(String(place.id), String(place.generation), hash.slice(0, 2), hash);
        }
      },
    }),
    async close() {
      await sessions.close();
      await collector.close();
      await retention.close();
      await sweeper.close();
    },
  };
}
