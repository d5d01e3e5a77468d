/**
 * A client of the control API (`contract/api.ts`). Problem documents become the AloftError they were made from.
 *
 * Over node:http and not fetch, whose classes cost the command line 60-70 ms to load. For the same reason node:http is
 * not imported: an import reads every export, and `http.WebSocket` among them loads those classes.
 */
import type http from "node:http";
import { text as readText } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import type {
  AppJson,
  BeginDeployJson,
  DeployBegunJson,
  DeployedJson,
  DeploymentJson,
  FunctionJson,
  RollbackJson,
  StatusJson,
  VariableJson,
} from "../contract/api.ts";
import type { AsyncCallBegun, AsyncCallFilter, AsyncCallJson, AsyncCallStatus } from "../contract/async-calls.ts";
import { AloftError, errorTable } from "../contract/errors.ts";
import type { ErrorCode } from "../contract/errors.ts";
import type { MessageJson, QueueJson } from "../contract/managing-queues.ts";
import type { InvocationRecord, LogFilter, LogLine, RecordFilter } from "../contract/observing.ts";

/** A host that drops packets never refuses; waiting longer helps nobody. */
const connectMs = 10_000;

export interface ControlClientOptions {
  /** Address of the control API, e.g. "http://127.0.0.1:8788". */
  readonly server: string;
  readonly token: string | null;
}

export interface Invoked {
  readonly invocationId: string;
  readonly cold: boolean;
  readonly waitUs: number;
  readonly handlerUs: number;
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}

type Query = Readonly<Record<string, string | number | undefined>>;

/** A body that is not held in memory. */
export interface ByteStream {
  readonly byteLength: number;
  /** From the beginning, each time it is called. */
  chunks(): AsyncIterable<Uint8Array>;
}

interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: Query;
  readonly json?: unknown;
  readonly bytes?: Uint8Array | ByteStream;
  readonly signal?: AbortSignal | undefined;
  /** Doing it twice is the same as doing it once. */
  readonly repeatable?: boolean;
}

/** One store of an app, or one key in it. */
export interface StoreTarget {
  readonly kind: "kv" | "blobs";
  readonly app: string;
  readonly alias: string;
  readonly store: string;
  readonly key: string;
}

/** `value`: a KvValue or a BlobInfo. */
export interface StateEntryJson {
  readonly key: string;
  readonly value: unknown;
  readonly version: number;
}

/** As the query of the API has them. */
export interface StartCall {
  readonly delay?: string;
  readonly maxAge?: string;
  readonly retry?: string;
  readonly onSuccess?: string;
  readonly onFailure?: string;
  readonly idempotencyKey?: string;
}

export class ControlClient {
  readonly server: string;
  readonly #base: URL;
  readonly #token: string | null;
  readonly #transport: { readonly request: typeof http.request; readonly agent: http.Agent };

  constructor({ server, token }: ControlClientOptions) {
    this.server = server;
    this.#base = parseServer(server);
    this.#token = token;
    this.#transport = loadTransport(this.#base);
  }

  status(): Promise<StatusJson> {
    return this.#json("GET", "/v1/status");
  }

  async listApps(): Promise<readonly AppJson[]> {
    return (await this.#json<{ apps: AppJson[] }>("GET", "/v1/apps")).apps;
  }

  async deleteApp(app: string): Promise<void> {
    await this.#json("DELETE", `/v1/apps/${app}`);
  }

  async listFunctions(app: string, alias: string): Promise<readonly FunctionJson[]> {
    const path = `/v1/apps/${app}/functions`;
    return (await this.#json<{ functions: FunctionJson[] }>("GET", path, { query: { alias } })).functions;
  }

  async listDeployments(app: string): Promise<readonly DeploymentJson[]> {
    return (await this.#json<{ deployments: DeploymentJson[] }>("GET", `/v1/apps/${app}/deployments`)).deployments;
  }

  beginDeploy(app: string, begin: BeginDeployJson): Promise<DeployBegunJson> {
    return this.#json("POST", `/v1/apps/${app}/deploys`, { json: begin, repeatable: true });
  }

  async putFile(app: string, number: number, hash: string, bytes: Uint8Array | ByteStream): Promise<void> {
    await this.#json("PUT", `/v1/apps/${app}/deploys/${number}/files/${hash}`, { bytes });
  }

  finishDeploy(app: string, number: number): Promise<DeployedJson> {
    return this.#json("POST", `/v1/apps/${app}/deploys/${number}/finish`);
  }

  rollback(app: string, rollback: RollbackJson): Promise<DeployedJson> {
    return this.#json("POST", `/v1/apps/${app}/rollback`, { json: rollback });
  }

  async listVariables(app: string, alias: string): Promise<readonly VariableJson[]> {
    const path = `/v1/apps/${app}/variables`;
    return (await this.#json<{ variables: VariableJson[] }>("GET", path, { query: { alias } })).variables;
  }

  async changeVariables(
    app: string,
    alias: string,
    change: { readonly set?: Readonly<Record<string, string>>; readonly unset?: readonly string[] },
  ): Promise<readonly VariableJson[]> {
    const json = { set: change.set ?? {}, unset: change.unset ?? [] };
    const path = `/v1/apps/${app}/variables`;
    return (await this.#json<{ variables: VariableJson[] }>("PATCH", path, { query: { alias }, json })).variables;
  }

  startCall(app: string, name: string, alias: string, input: Uint8Array, options: StartCall): Promise<AsyncCallBegun> {
    const { idempotencyKey, ...query } = options;
    return this.#json("POST", `/v1/apps/${app}/functions/${name}/calls`, {
      query: { alias, ...query },
      bytes: input,
      ...(idempotencyKey === undefined ? {} : { headers: { "idempotency-key": idempotencyKey }, repeatable: true }),
    });
  }

  /** Answers when the call has ended, or after `waitMs`. */
  getCall(app: string, alias: string, id: string, waitMs?: number): Promise<AsyncCallJson> {
    const wait = waitMs === undefined ? undefined : `${waitMs}ms`;
    return this.#json("GET", `/v1/apps/${app}/calls/${encodeURIComponent(id)}`, { query: { alias, wait } });
  }

  async listCalls(app: string, alias: string, filter: AsyncCallFilter): Promise<readonly AsyncCallJson[]> {
    const query = { alias, ...filter };
    return (await this.#json<{ calls: AsyncCallJson[] }>("GET", `/v1/apps/${app}/calls`, { query })).calls;
  }

  cancelCall(app: string, alias: string, id: string): Promise<{ cancelled: boolean; status: AsyncCallStatus }> {
    return this.#json("DELETE", `/v1/apps/${app}/calls/${encodeURIComponent(id)}`, { query: { alias } });
  }

  /** Throws the function's own failure as the FUNCTION_* error the server found. */
  async invoke(app: string, name: string, alias: string, payload: Uint8Array): Promise<Invoked> {
    const path = `/v1/apps/${app}/functions/${name}/invoke`;
    const response = await this.#request("POST", path, { query: { alias }, bytes: payload });
    const header = (key: string) => String(response.headers[key] ?? "");
    return {
      invocationId: header("aloft-invocation"),
      cold: header("aloft-cold") === "true",
      waitUs: Number(header("aloft-wait-us")),
      handlerUs: Number(header("aloft-handler-us")),
      status: Number(header("aloft-status") || "200"),
      contentType: header("content-type"),
      body: await readBody(response),
    };
  }

  async listLogs(app: string, filter: LogFilter): Promise<readonly LogLine[]> {
    const lines: LogLine[] = [];
    for await (const line of this.#lines<LogLine>(`/v1/apps/${app}/logs`, logQuery(filter))) lines.push(line);
    return lines;
  }

  /** What is there, then what comes, until the signal aborts or the server ends. */
  followLogs(app: string, filter: LogFilter, signal: AbortSignal): AsyncGenerator<LogLine> {
    return this.#lines(`/v1/apps/${app}/logs`, { ...logQuery(filter), follow: "true" }, signal);
  }

  async listInvocations(app: string, filter: RecordFilter): Promise<readonly InvocationRecord[]> {
    const path = `/v1/apps/${app}/invocations`;
    const query = recordQuery(filter);
    return (await this.#json<{ invocations: InvocationRecord[] }>("GET", path, { query })).invocations;
  }

  followInvocations(app: string, filter: RecordFilter, signal: AbortSignal): AsyncGenerator<InvocationRecord> {
    return this.#lines(`/v1/apps/${app}/invocations`, { ...recordQuery(filter), follow: "true" }, signal);
  }

  getInvocation(id: string): Promise<InvocationRecord> {
    return this.#json("GET", `/v1/invocations/${encodeURIComponent(id)}`);
  }

  async listStores(target: StoreTarget): Promise<readonly string[]> {
    const { app, kind, alias } = target;
    return (await this.#json<{ stores: string[] }>("GET", `/v1/apps/${app}/${kind}`, { query: { alias } })).stores;
  }

  async listEntries(target: StoreTarget, prefix: string | undefined, most: number): Promise<StateEntryJson[]> {
    const entries: StateEntryJson[] = [];
    for (let start: string | null | undefined; start !== null && entries.length < most;) {
      const query = { alias: target.alias, prefix, start, limit: Math.min(1000, most - entries.length) };
      const page: { entries: StateEntryJson[]; next: string | null } = await this.#json("GET", storePath(target), {
        query,
      });
      entries.push(...page.entries);
      start = page.next;
    }
    return entries;
  }

  getEntry(target: StoreTarget): Promise<StateEntryJson> {
    return this.#json("GET", `${storePath(target)}/entry`, { query: keyQuery(target) });
  }

  async setValue(
    target: StoreTarget,
    value: { readonly value: unknown; readonly expiresInMs: number | undefined },
  ): Promise<boolean> {
    const path = `${storePath(target)}/entry`;
    return (await this.#json<{ done: boolean }>("PUT", path, { query: keyQuery(target), json: value })).done;
  }

  async deleteEntry(target: StoreTarget): Promise<boolean> {
    const path = `${storePath(target)}/entry`;
    return (await this.#json<{ done: boolean }>("DELETE", path, { query: keyQuery(target) })).done;
  }

  async *getBlob(target: StoreTarget): AsyncGenerator<Uint8Array> {
    yield* this.#bytes(`${storePath(target)}/content`, { query: keyQuery(target) });
  }

  async putBlob(target: StoreTarget, bytes: ByteStream, contentType: string | undefined): Promise<boolean> {
    const path = `${storePath(target)}/content`;
    const query = { ...keyQuery(target), contentType };
    return (await this.#json<{ done: boolean }>("PUT", path, { query, bytes })).done;
  }

  linkBlob(target: StoreTarget, options: Readonly<Record<string, unknown>>): Promise<GivenLink> {
    const json = { ...options, key: target.key };
    return this.#json("POST", `${storePath(target)}/links`, { query: { alias: target.alias }, json });
  }

  async listQueues(app: string, alias: string): Promise<readonly QueueJson[]> {
    const path = `/v1/apps/${app}/queues`;
    return (await this.#json<{ queues: QueueJson[] }>("GET", path, { query: { alias } })).queues;
  }

  getQueue(place: QueueRef): Promise<QueueJson> {
    return this.#json("GET", queuePath(place), { query: { alias: place.alias } });
  }

  async peekQueue(place: QueueRef, limit: number): Promise<readonly MessageJson[]> {
    const query = { alias: place.alias, limit };
    return (await this.#json<{ messages: MessageJson[] }>("GET", `${queuePath(place)}/messages`, { query })).messages;
  }

  /** `messages` sends; `pause`, `resume`, `purge`, `redrive`. */
  postQueue<T>(place: QueueRef, action: string, json: object = {}): Promise<T> {
    return this.#json("POST", `${queuePath(place)}/${action}`, { query: { alias: place.alias }, json });
  }

  /** For the resources of which one command alone knows the answer. */
  ask<T>(
    method: "GET" | "POST" | "DELETE",
    path: string,
    options: { readonly query?: Query; readonly json?: unknown },
  ): Promise<T> {
    return this.#json(method, path, options);
  }

  /** The archive of a backup as it is made. It is whole only if its end is there (`checkArchive`). */
  async *backup(): AsyncGenerator<Uint8Array> {
    yield* this.#bytes("/v1/backup", { repeatable: false });
  }

  /** Throws SERVER_UNREACHABLE where they are cut. */
  async *#bytes(path: string, options: RequestOptions): AsyncGenerator<Uint8Array> {
    try {
      yield* (await this.#request("GET", path, options)) as AsyncIterable<Uint8Array>;
    } catch (error) {
      if (error instanceof AloftError) throw error;
      throw new AloftError("SERVER_UNREACHABLE", `the connection to ${this.server} was cut`, { cause: error });
    }
  }

  /** Lets go of idle connections, which would keep the process alive. */
  close(): void {
    this.#transport.agent.destroy();
  }

  async #json<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const response = await this.#request(method, path, options);
    const content = parseJson(await readText(response));
    if (content === undefined) throw notAloft(this.server);
    // The server is of the same version and made it from the same interface.
    return content as T;
  }

  async *#lines<T>(path: string, query: Query, signal?: AbortSignal): AsyncGenerator<T> {
    try {
      const response = await this.#request("GET", path, { query, signal });
      response.setEncoding("utf8");
      let rest = "";
      for await (const chunk of response) {
        const lines = (rest + String(chunk)).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) if (line !== "") yield JSON.parse(line) as T;
      }
    } catch (error) {
      if (signal?.aborted === true) return;
      if (error instanceof AloftError || error instanceof SyntaxError) throw error;
      throw new AloftError("SERVER_UNREACHABLE", `the connection to ${this.server} was cut`, { cause: error });
    }
  }

  /** Resolves with a successful answer whose body has not been read; throws what a problem document says. */
  async #request(method: string, path: string, options: RequestOptions): Promise<http.IncomingMessage> {
    const response = await this.#send(method, path, options, options.repeatable ?? method !== "POST");
    if (response.statusCode !== undefined && response.statusCode < 300) return response;
    throw errorOfProblem(parseJson(await readText(response)), response.statusCode ?? 0, this.server);
  }

  async #send(method: string, path: string, options: RequestOptions, retry: boolean): Promise<http.IncomingMessage> {
    const { request: open, agent } = this.#transport;
    const body = options.json === undefined ? options.bytes : Buffer.from(JSON.stringify(options.json));
    const url = new URL(this.#base.pathname.replace(/\/$/, "") + path + queryString(options.query ?? {}), this.#base);
    const headers: Record<string, string> = { accept: "application/json", ...options.headers };
    if (this.#token !== null) headers["authorization"] = `Bearer ${this.#token}`;
    if (method !== "GET") headers["content-length"] = String(body?.byteLength ?? 0);
    if (body !== undefined)
      headers["content-type"] = options.json === undefined ? "application/octet-stream" : "application/json";

    return await new Promise((resolve, reject) => {
      const request = open(url, {
        method,
        headers,
        agent,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      request.once("response", resolve);
      request.once("error", (error: NodeJS.ErrnoException) => {
        // Most likely the server closed an idle connection at the moment we wrote on it. Most likely: a call is not repeated.
        if (retry && request.reusedSocket && error.code === "ECONNRESET") {
          resolve(this.#send(method, path, options, false));
        } else {
          reject(unreachable(this.server, error));
        }
      });
      limitConnecting(request);
      if (body === undefined || body instanceof Uint8Array) request.end(body);
      // An answer that comes early is the server's refusal; the rest is of no use to anybody then.
      else pipeline(body.chunks(), request).catch((error: Error) => request.destroyed || request.destroy(error));
    });
  }
}

interface GivenLink {
  readonly url: string;
  readonly method: "GET" | "PUT";
  readonly expiresAtMs: number;
}

/** A queue of an app and alias. */
interface QueueRef {
  readonly app: string;
  readonly alias: string;
  readonly queue: string;
}

function queuePath({ app, queue }: QueueRef): string {
  return `/v1/apps/${app}/queues/${encodeURIComponent(queue)}`;
}

function parseServer(server: string): URL {
  // A bare "host:8788" would parse as a scheme.
  const url = URL.parse(/^[a-z]+:\/\//i.test(server) ? server : `http://${server}`);
  if (url !== null && (url.protocol === "http:" || url.protocol === "https:") && url.hostname !== "") return url;
  throw new AloftError("USAGE", `"${server}" is not the address of a server`, {
    hint: "write it as http://127.0.0.1:8788, in --server or ALOFT_SERVER",
  });
}

function loadTransport(base: URL): { request: typeof http.request; agent: http.Agent } {
  const { request, Agent } = process.getBuiltinModule(base.protocol === "https:" ? "node:https" : "node:http");
  return { request, agent: new Agent({ keepAlive: true, maxSockets: 8 }) };
}

function limitConnecting(request: http.ClientRequest): void {
  request.once("socket", (socket) => {
    if (!socket.connecting) return;
    const timer = setTimeout(
      () => socket.destroy(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" })),
      connectMs,
    );
    socket.once("connect", () => clearTimeout(timer));
    socket.once("close", () => clearTimeout(timer));
  });
}

function queryString(query: Query): string {
  const given = Object.entries(query).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]]));
  return given.length === 0 ? "" : `?${new URLSearchParams(given).toString()}`;
}

function storePath({ app, kind, store }: StoreTarget): string {
  return `/v1/apps/${app}/${kind}/${encodeURIComponent(store)}`;
}

function keyQuery({ alias, key }: StoreTarget): { alias: string; key: string } {
  return { alias, key };
}

function logQuery(filter: LogFilter): Query {
  const { function: name, invocation, level, sinceMs, untilMs, limit } = filter;
  return { function: name, invocation, level, since: sinceMs, until: untilMs, limit };
}

function recordQuery(filter: RecordFilter): Query {
  const { function: name, outcome, sinceMs, untilMs, limit } = filter;
  return { function: name, outcome, since: sinceMs, until: untilMs, limit };
}

async function readBody(response: http.IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function errorOfProblem(content: unknown, status: number, server: string): AloftError {
  if (typeof content !== "object" || content === null || !("code" in content)) return notAloft(server);
  const { type: _type, title, status: _status, detail, code, hint, ...members } = content as Record<string, unknown>;
  const message = typeof detail === "string" ? detail : typeof title === "string" ? title : `status ${status}`;
  if (typeof code !== "string" || !isErrorCode(code)) return new AloftError("INTERNAL", `${String(code)}: ${message}`);
  return new AloftError(code, message, { hint: typeof hint === "string" ? hint : undefined, detail: members });
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code);
}

function notAloft(server: string): AloftError {
  return new AloftError("SERVER_UNREACHABLE", `what answers at ${server} is not Aloft's control API`, {
    hint: "give the address of the control API (port 8788 unless set otherwise), in --server or ALOFT_SERVER",
  });
}

function unreachable(server: string, error: NodeJS.ErrnoException): AloftError {
  return new AloftError("SERVER_UNREACHABLE", `no server answers at ${server} (${error.code ?? error.message})`, {
    hint: "start one with `aloft dev` or `aloft serve`, or name another with --server or ALOFT_SERVER",
    cause: error,
  });
}
