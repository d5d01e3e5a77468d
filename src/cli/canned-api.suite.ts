/**
 * For the tests of the command line: runs it with streams in memory, against a small HTTP server that gives the API's
 * documents as they are written down. What a real server does with the requests is for test/e2e/.
 */
import http from "node:http";
import type { AddressInfo } from "node:net";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { AloftError, problemOf } from "../contract/errors.ts";
import type { ErrorCode } from "../contract/errors.ts";
import { main } from "./main.ts";

export interface SeenRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly token: string;
  readonly body: Buffer;
}

export interface CannedAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON. */
  readonly body: unknown;
}

/** By "METHOD /path", the path without its query. */
export type CannedAnswers = Readonly<Record<string, CannedAnswer | ((request: SeenRequest) => CannedAnswer)>>;

export class CannedApi implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  answers: CannedAnswers;
  readonly #server: http.Server;

  private constructor(server: http.Server, answers: CannedAnswers) {
    this.#server = server;
    this.answers = answers;
  }

  static async open(answers: CannedAnswers): Promise<CannedApi> {
    const server = http.createServer();
    const api = new CannedApi(server, answers);
    server.on("request", (request, response) => void api.#answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return api;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Runs the command against this server. */
  run(line: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return runCommandLine([...line, "--server", this.url, "--token", "t0ken"], options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const seen: SeenRequest = {
      method: request.method ?? "",
      path: request.url ?? "",
      token: request.headers.authorization ?? "",
      body: await buffer(request),
    };
    this.requests.push(seen);
    const canned =
      this.answers[`${seen.method} ${seen.path.split("?")[0]}`] ?? problem("NOT_FOUND", `nothing at ${seen.path}`);
    const { status = 200, headers = {}, body } = typeof canned === "function" ? canned(seen) : canned;
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body));
  }
}

export function problem(code: ErrorCode, message: string, detail: Record<string, unknown> = {}): CannedAnswer {
  const error = new AloftError(code, message, { detail });
  return { status: error.status, headers: { "content-type": "application/problem+json" }, body: problemOf(error) };
}

export interface RunOptions {
  readonly stdin?: string;
  /** Whether the streams pass for a terminal. */
  readonly isTTY?: boolean;
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function runCommandLine(
  line: readonly string[],
  { stdin = "", isTTY = false }: RunOptions = {},
): Promise<Ran> {
  const open = () => Object.assign(new PassThrough(), { isTTY });
  const streams = { stdin: open(), stdout: open(), stderr: open() };
  streams.stdin.end(stdin);
  const out = buffer(streams.stdout);
  const err = buffer(streams.stderr);
  const code = await main(line, streams);
  streams.stdout.end();
  streams.stderr.end();
  return { code, out: (await out).toString(), err: (await err).toString() };
}
