/**
 * The control API for tests: real apps on a temporary folder, a real observer, a caller that answers by hand, and
 * requests through node:http's own client and server over a pair of streams, without a socket.
 */
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { duplexPair } from "node:stream";
import { buffer } from "node:stream/consumers";
import { openTestApps, type TestApps } from "../apps/apps.fixture.ts";
import { openMemoryMetaStore } from "../apps/meta/memory-meta-store.ts";
import type { StatusJson } from "../contract/api.ts";
import type { CallRequest, CallResult } from "../contract/invoking.ts";
import type { Observer } from "../contract/observing.ts";
import type { Triggering } from "../contract/triggering.ts";
import { ManualClock } from "../lib/clock.ts";
import { openObserver } from "../observe/observer.ts";
import { createQueueOperations } from "../state/queue/queue-operations.ts";
import { systemSchedule } from "../lib/schedule.ts";
import { createAsyncCalls } from "../state/async/async-calls.ts";
import { openState } from "../state/open-state.ts";
import { openMemoryKeyspace } from "../store/memory/memory-keyspace.ts";
import { createApi, type Api } from "./api.ts";
import { openTokens } from "./tokens.ts";

export interface TestApi extends TestApps {
  readonly api: Api;
  readonly observer: Observer;
  readonly clock: ManualClock;
  readonly token: string;
  readonly errors: unknown[];
  /** Tests replace it. */
  call: (request: CallRequest) => Promise<CallResult>;
  close(): Promise<void>;
}

export async function openTestApi(folder: string): Promise<TestApi> {
  const meta = openMemoryMetaStore();
  const clock = new ManualClock();
  const test = await openTestApps(folder, meta, clock);
  const observe = join(folder, "observe");
  await mkdir(observe, { recursive: true });
  const observer = await openObserver({ folder: observe, clock });
  const errors: unknown[] = [];
  const keyspace = openMemoryKeyspace({ clock });
  const state = await openState({
    keyspace,
    blobs: join(folder, "blobs"),
    uploads: join(folder, "uploads"),
    originOf: (app) => `http://${app}.localhost`,
    onError: (error) => errors.push(error),
  });
  const queues = createQueueOperations({
    keyspace,
    environments: state.environments,
    state: state.service,
    consumed: (app, alias) => (test.apps.listFunctions(app, alias), []),
    onError: (error) => errors.push(error),
  });
  const token = "a token for the tests";
  const api = createApi({
    apps: test.apps,
    state: state.managing,
    backups: { open: () => Promise.resolve(fewChunks()) },
    caller: { call: (request) => testApi.call(request) },
    queues,
    triggers: noTriggers,
    calls: createAsyncCalls({
      keyspace,
      service: state.service,
      environments: state.environments,
      schedule: systemSchedule,
    }),
    observer,
    tokens: await openTokens(meta, token.replaceAll(" ", "-")),
    status: () => ({ version: "1.2.3" }) as StatusJson,
    metrics: () => "aloft_up 1\n",
    onError: (error) => errors.push(error),
    clock,
  });
  const testApi: TestApi = {
    ...test,
    api,
    observer,
    clock,
    token: token.replaceAll(" ", "-"),
    errors,
    call: () => Promise.reject(new Error("no function is called in this test")),
    async close() {
      await api.close();
      await state.close();
      await test.apps.close();
      await observer.close();
    },
  };
  return testApi;
}

/** What the resources of triggers do is tested with real ones, end to end. */
const noTriggers = new Proxy({} as Triggering, {
  get: () => () => Promise.reject(new Error("no trigger is asked for in this test")),
});

async function* fewChunks(): AsyncGenerator<Uint8Array> {
  for (const text of ["an ", "archive"]) yield Buffer.from(text);
}

export interface InjectedRequest {
  readonly method?: string;
  readonly path: string;
  /** `null` leaves a header out that is sent otherwise (authorization, host). */
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly body?: string | Uint8Array;
  /** JSON to send. */
  readonly json?: unknown;
  /** The server's end of the connection. */
  readonly localAddress?: string;
}

export interface InjectedAnswer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  /** The body as JSON; undefined when it is none. */
  readonly body: unknown;
}

export async function inject(test: TestApi, request: InjectedRequest): Promise<InjectedAnswer> {
  const response = await injectOpen(test, request);
  const text = (await buffer(response)).toString("utf8");
  return { status: response.statusCode ?? 0, headers: response.headers, text, body: parse(text) };
}

/** The answer as its head has come; its body is still to be read. */
export function injectOpen({ api, token }: TestApi, request: InjectedRequest): Promise<IncomingMessage> {
  const [clientSide, serverSide] = duplexPair();
  Object.assign(serverSide, { localAddress: request.localAddress ?? "127.0.0.1" });
  const body = request.json === undefined ? request.body : JSON.stringify(request.json);
  const headers = { authorization: `Bearer ${token}`, host: "127.0.0.1:8788", ...request.headers };
  const sent = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== null);
  // An agent of its own: none may take a connection to another API from its pool.
  const agent = new Agent();
  agent.createConnection = () => clientSide;
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      method: request.method ?? "GET",
      path: request.path,
      headers: Object.fromEntries(sent),
      setHost: false,
      agent,
    });
    outgoing.once("response", resolve);
    outgoing.once("error", reject);
    api.server.emit("connection", serverSide);
    outgoing.end(body);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
