/**
 * The control API (`contract/api.ts`) over node:http: host and origin, token, resource, answer. Resources stand one file
 * each beside this one; everything they throw becomes a problem document here, and what is a bug is told to the server
 * once, here.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { StatusJson } from "../contract/api.ts";
import type { AsyncCalls } from "../contract/async-calls.ts";
import type { BackingUp } from "../contract/backup.ts";
import { AloftError, asAloftError } from "../contract/errors.ts";
import type { Caller } from "../contract/invoking.ts";
import { limits } from "../contract/limits.ts";
import type { QueueManaging } from "../contract/managing-queues.ts";
import type { Managing } from "../contract/managing.ts";
import type { ManagingState } from "../contract/managing-state.ts";
import type { Observer } from "../contract/observing.ts";
import type { Triggering } from "../contract/triggering.ts";
import { systemClock, type Clock } from "../lib/clock.ts";
import { assertAccess } from "./access.ts";
import { writeAnswer, writeProblem } from "./answer.ts";
import { appResources } from "./apps.ts";
import { backupResources } from "./backup.ts";
import { cronResources } from "./crons.ts";
import { callResources } from "./calls.ts";
import { deployResources } from "./deploys.ts";
import { deploymentResources } from "./deployments.ts";
import { functionResources } from "./functions.ts";
import { invocationResources } from "./invocations.ts";
import { logResources } from "./logs.ts";
import { Query } from "./query.ts";
import { queueResources } from "./queues.ts";
import { matchResource, type Resource } from "./route-table.ts";
import { stateResources } from "./state.ts";
import { statusResources } from "./status.ts";
import { streamResources } from "./streams.ts";
import type { Tokens } from "./tokens.ts";
import { variableResources } from "./variables.ts";

export interface ApiDeps {
  readonly apps: Managing;
  readonly state: ManagingState;
  readonly backups: BackingUp;
  readonly caller: Caller;
  readonly queues: QueueManaging;
  readonly triggers: Triggering;
  readonly calls: AsyncCalls;
  readonly observer: Observer;
  readonly tokens: Tokens;
  readonly status: () => StatusJson;
  /** The server's metrics in Prometheus' text format. */
  readonly metrics: () => string;
  /** Told of bugs; the caller only learns that there was one. */
  readonly onError: (error: unknown) => void;
  readonly clock?: Clock;
}

export interface Api {
  /** Not yet listening. */
  readonly server: Server;
  /** Ends streams that follow, lets what else is under way finish, and closes the port. */
  close(): Promise<void>;
}

export const resources: readonly Resource[] = [
  ...statusResources,
  ...backupResources,
  ...appResources,
  ...functionResources,
  ...callResources,
  ...deploymentResources,
  ...deployResources,
  ...variableResources,
  ...stateResources,
  ...logResources,
  ...invocationResources,
  ...queueResources,
  ...cronResources,
  ...streamResources,
];

export function createApi(deps: ApiDeps): Api {
  const stopping = new AbortController();
  const server = createServer(
    { maxHeaderSize: limits.requestHeadBytes, headersTimeout: limits.headersMs, requestTimeout: limits.transferMs },
    (request, response) => {
      // One that is answered while the server stops must not keep its connection.
      response.once("close", () => stopping.signal.aborted && server.closeIdleConnections());
      void serve(deps, stopping.signal, request, response);
    },
  );
  let closed: Promise<void> | null = null;
  return {
    server,
    close() {
      closed ??= new Promise<void>((resolve) => {
        stopping.abort();
        server.close(() => resolve());
        server.closeIdleConnections();
      });
      return closed;
    },
  };
}

/** Never rejects. */
async function serve(
  deps: ApiDeps,
  stopping: AbortSignal,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  if (stopping.aborted) response.setHeader("connection", "close");
  try {
    assertAccess(request, deps.tokens);
    const url = URL.parse(request.url ?? "", "http://api");
    if (url === null) throw new AloftError("REQUEST_INVALID", "the address of the request cannot be parsed");
    const { resource, params } = matchResource(resources, request.method ?? "", url.pathname);
    const query = new Query(url.searchParams, resource.query ?? []);
    const signal = AbortSignal.any([gone.signal, stopping]);
    const clock = deps.clock ?? systemClock;
    const answer = await resource.handle({ deps, params, query, request, clock, signal });
    await writeAnswer(response, answer);
  } catch (thrown) {
    if (gone.signal.aborted) return;
    const error = asAloftError(thrown);
    if (error.code === "INTERNAL") deps.onError(error.cause ?? error);
    if (response.headersSent) response.destroy();
    else writeProblem(response, error);
  }
}
