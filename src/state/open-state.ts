/** Everything of the room, put together: the kinds of state there are, and what looks after what they leave behind. */
import { join } from "node:path";
import type { ContentFolder } from "../contract/backup.ts";
import type { BlobLinks } from "../contract/blob-links.ts";
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
import { createBlobLinks, type LinkOptions } from "./blob/blob-links.ts";
import { createBlobSessions } from "./blob/blob-sessions.ts";
import { createBlobTransfers } from "./blob/blob-transfers.ts";
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
  /** What an instance of the deployment asks for, in the name of an invocation or of none. */
  answer(live: LiveDeployment, call: StateCall, asked: AskedBy): Promise<ReplyMessage>;
  read(live: LiveDeployment, read: StateRead): Promise<ReadReply>;
  readonly retention: Retention;
  /** The app is deleted: what it has stored is out of reach when this resolves, and is removed little by little. */
  retire(app: string): Promise<void>;
  /** For the HTTP door. */
  readonly links: BlobLinks;
  /** For the control API. */
  readonly managing: ManagingState;
  /** What backups hold of it beside the keyspace. */
  contents(): ContentFolder;
  close(): Promise<void>;
}

export interface AskedBy {
  /** Where the writes of the invocation are held. */
  readonly held: Overlay | null;
  /** Where the client has sent the request, "https://shop.example.com"; unknown input. */
  readonly origin: string | null;
}

export interface StateOptions {
  /** Stays the caller's to close, after this. */
  readonly keyspace: Keyspace;
  /** Folders of the data folder: contents of blobs, and what is on its way to there. */
  readonly blobs: string;
  readonly uploads: string;
  /** Where links of the app lead (`LinkOptions`). */
  readonly originOf: LinkOptions["originOf"];
  /** Told what went wrong where nobody waits for an answer. */
  readonly onError: (error: unknown) => void;
}

export async function openState({ keyspace, blobs, uploads, originOf, onError }: StateOptions): Promise<State> {
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
  const resuming = retention.resume(environments.listAll()).catch(onError);
  // What a crash has left, and uploads that nobody named before it.
  for await (const place of files.places()) collector.soon(place);
  const service = createStateService({ keyspace, environments, resources });
  const onFreed = (environment: Environment): void => collector.soon(environment);
  const transfers = createBlobTransfers({ service, contents, onFreed });
  const links = createBlobLinks({ keyspace, environments, transfers, originOf });
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
    managing: createManagingState(service, environments, transfers, links),
    read: async (live, read) => await service.read(await environmentOf(live), read),
    links,
    async answer(live, call, { held, origin }) {
      try {
        // No state, and made here: only here it is known who asks.
        if (call.op === "read" && call.resource === "blob" && call.method === "link") {
          const value = await links.give(await environmentOf(live), call.name, call.args, origin);
          return { ok: true, value: { value, seen: [] } };
        }
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
      await resuming;
      await sweeper.close();
    },
  };
}
