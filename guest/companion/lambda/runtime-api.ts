/**
 * The HTTP server that a runtime and its extensions find at `AWS_LAMBDA_RUNTIME_API`: routes requests to the three sides,
 * and refuses connections from strangers.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { ExtensionsSide, type ExtensionEvents, type FunctionFacts } from "./extensions-side.ts";
import { sendInternalError, sendMethodNotAllowed, sendNotFound } from "./reply.ts";
import { type RuntimeEvents, RuntimeSide } from "./runtime-side.ts";
import { TelemetrySide } from "./telemetry-side.ts";

export interface RuntimeApiOptions {
  readonly facts: FunctionFacts;
  readonly events: RuntimeEvents & ExtensionEvents;
  /** Whether the process at the other end of a new connection belongs to this environment. */
  readonly isOwn: (socket: Socket) => boolean;
}

/** Clients send the cause of an error in a header of up to 64 KiB, and some of them more. */
const headBytesMax = 1024 * 1024;

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

export class RuntimeApi {
  readonly runtime: RuntimeSide;
  readonly extensions: ExtensionsSide;
  readonly telemetry: TelemetrySide;
  readonly #routes: ReadonlyMap<string, readonly [method: string, handler: Handler]>;
  readonly #server: Server;

  constructor({ facts, events, isOwn }: RuntimeApiOptions) {
    const runtime = new RuntimeSide(events);
    const extensions = new ExtensionsSide(facts, events);
    const telemetry = new TelemetrySide(extensions);
    this.runtime = runtime;
    this.extensions = extensions;
    this.telemetry = telemetry;
    this.#routes = new Map<string, readonly [string, Handler]>([
      ["/2018-06-01/ping", ["GET", sendPong]],
      ["/2018-06-01/runtime/invocation/next", ["GET", (_request, response) => runtime.next(response)]],
      ["/2018-06-01/runtime/init/error", ["POST", (request, response) => runtime.initError(request, response)]],
      ["/2018-06-01/runtime/restore/next", ["GET", (_request, response) => runtime.restoreNext(response)]],
      ["/2018-06-01/runtime/restore/error", ["POST", (request, response) => runtime.restoreError(request, response)]],
      ["/2020-01-01/extension/register", ["POST", (request, response) => extensions.register(request, response)]],
      ["/2020-01-01/extension/event/next", ["GET", (request, response) => extensions.next(request, response)]],
      [
        "/2020-01-01/extension/init/error",
        ["POST", (request, response) => extensions.fail("initError", request, response)],
      ],
      [
        "/2020-01-01/extension/exit/error",
        ["POST", (request, response) => extensions.fail("exitError", request, response)],
      ],
      ["/2020-08-15/logs", ["PUT", (request, response) => telemetry.subscribe("logs", request, response)]],
      ["/2022-07-01/telemetry", ["PUT", (request, response) => telemetry.subscribe("telemetry", request, response)]],
    ]);
    // A runtime waits for its next event as long as it takes.
    const times = { keepAlive: true, requestTimeout: 0, headersTimeout: 0 };
    this.#server = createServer({ ...times, maxHeaderSize: headBytesMax }, this.#onRequest);
    this.#server.keepAliveTimeout = 0;
    this.#server.on("connection", (socket) => {
      if (!isOwn(socket)) socket.destroy();
    });
    this.#server.on("clientError", (_error, socket) => socket.destroy());
  }

  /** Resolves with `host:port`, as `AWS_LAMBDA_RUNTIME_API` has it. Port 0: any that is free. */
  open(port: number): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", () => {
        resolve(`127.0.0.1:${(this.#server.address() as AddressInfo).port}`);
      });
    });
  }

  close(): void {
    this.runtime.close();
    this.extensions.close();
    this.telemetry.close();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  readonly #onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    // AWS's documentation writes the address of telemetry with a slash behind it.
    const path = ((request.url ?? "/").split("?", 1)[0] ?? "/").replace(/(?<=\/(?:telemetry|logs))\/$/, "");
    const [method, handler] = this.#routes.get(path) ?? this.#invocationRoute(path) ?? ["", null];
    if (handler === null || request.method !== method) {
      request.resume();
      if (handler === null) sendNotFound(response);
      else sendMethodNotAllowed(response);
      return;
    }
    (async () => await handler(request, response))().catch(() => {
      if (response.headersSent) response.destroy();
      else sendInternalError(response);
    });
  };

  #invocationRoute(path: string): readonly [string, Handler] | null {
    const match = /^\/2018-06-01\/runtime\/invocation\/([^/]+)\/(response|error)$/.exec(path);
    if (match === null) return null;
    const id = decode(match[1] ?? "");
    if (match[2] === "response") return ["POST", (request, response) => this.runtime.response(id, request, response)];
    return ["POST", (request, response) => this.runtime.error(id, request, response)];
  }
}

function sendPong(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { "Content-Type": "text/plain; charset=utf-8", "Content-Length": 4 });
  response.end("pong");
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
