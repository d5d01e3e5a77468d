/**
 * Serves a web request by something that speaks HTTP, with Node's HTTP client at this end.
 *
 * A Node `http.Server` that never listens gets one end of an in-memory pipe as a connection of its own. So handlers written
 * as `(req, res)` meet the real classes with all they do: back pressure, `pipe`, aborts, `Expect`, HEAD, 204. Such a
 * connection serves one request, because Node calls the listener in the asynchronous context in which its connection
 * was made: a shared one would put the logs of one invocation under another.
 *
 * `node:http` is loaded by the first function that needs it, and by no other.
 */
import type { ClientRequest, IncomingMessage, RequestOptions, Server } from "node:http";
import { duplexPair, pipeline, Readable } from "node:stream";
import { BadResponse } from "./answer.ts";

/** A body of known length up to this size is passed on whole, which is several times cheaper than as a stream. */
const wholeBodyBytesMax = 64 * 1024;
/** Over what the door lets in, so that the door is the one to refuse. */
const headBytesMax = 128 * 1024;

export interface NodeExchange {
  /** Resolves with the head; the body follows as a stream. */
  readonly response: Promise<Response>;
  /** Ends it: the listener sees its client go away, whoever reads the response gets the error. */
  readonly destroy: (reason: Error) => void;
}

export function exchangeWithServer(server: Server, request: Request, remoteAddress: string): NodeExchange {
  const [clientSide, serverSide] = duplexPair();
  Object.assign(serverSide, { remoteAddress, remoteFamily: remoteAddress.includes(":") ? "IPv6" : "IPv4" });
  // The client reports whatever goes wrong on the pipe; without a listener the server's end would throw it once more.
  serverSide.on("error", () => {});
  server.maxHeadersCount = 0;
  Object.assign(server, { maxHeaderSize: headBytesMax });

  // The pair does not pass a client's end on by itself.
  const exchange = exchangeOver(request, { createConnection: () => clientSide }, () => serverSide.destroy());
  server.emit("connection", serverSide);
  return exchange;
}

/** Sends the request over a connection that `options` describes, and reads what comes back. */
export function exchangeOver(
  request: Request,
  options: Pick<RequestOptions, "agent" | "createConnection" | "host" | "port" | "socketPath">,
  onClose: () => void = () => {},
  invocationId = "",
): NodeExchange {
  const http = process.getBuiltinModule("node:http");
  const outgoing = http.request({
    ...options,
    method: request.method,
    path: targetOf(request.url),
    headers: headersFor(request, invocationId),
    setHost: false,
    maxHeaderSize: headBytesMax,
  });
  /** Why it was ended from this side; the pipe itself can only say that it broke. */
  let failure: Error | null = null;
  const destroy = (reason: Error): void => {
    failure ??= reason;
    outgoing.destroy(reason);
  };
  const causeOf = (error: unknown): unknown => failure ?? error;

  const { signal } = request;
  const abort = (): void => destroy(errorFrom(signal.reason));
  const response = new Promise<Response>((resolve, reject) => {
    outgoing.on("error", (error) => reject(causeOf(error)));
    outgoing.on("response", (incoming) => {
      responseFrom(request.method, incoming, causeOf).then(resolve, reject);
    });
    outgoing.on("close", () => {
      signal.removeEventListener("abort", abort);
      onClose();
    });
  });
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });

  sendBody(request, outgoing, destroy);
  return { response, destroy };
}

/** Path and query as they came: a parsed URL would have been normalised. */
export function targetOf(url: string): string {
  const authority = url.indexOf("//") + 2;
  const start = url.slice(authority).search(/[/?#]/);
  if (start < 0) return "/";
  const target = url.slice(authority + start).replace(/#.*$/, "");
  return target.startsWith("/") ? target : `/${target}`;
}

function headersFor(request: Request, invocationId: string): string[] {
  const pairs: string[] = [];
  for (const [name, value] of request.headers) {
    // Nobody outside may name an invocation of this app.
    if (!hopByHop.has(name) && name !== invocationHeader) pairs.push(name, value);
  }
  if (invocationId !== "") pairs.push(invocationHeader, invocationId);
  if (!request.headers.has("host")) pairs.push("host", new URL(request.url).host);
  if (request.body !== null && !request.headers.has("content-length")) pairs.push("transfer-encoding", "chunked");
  return pairs;
}

/** Names the invocation to the local API of state. */
const invocationHeader = "aloft-invocation";

/** They speak of the connection, and this one is not the client's. */
const hopByHop = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "expect"]);

function sendBody(request: Request, outgoing: ClientRequest, destroy: (reason: Error) => void): void {
  if (request.body === null) {
    outgoing.end();
  } else if (isSmall(request.headers.get("content-length"))) {
    request.arrayBuffer().then(
      (bytes) => void outgoing.end(new Uint8Array(bytes)),
      (error: unknown) => destroy(errorFrom(error)),
    );
  } else {
    const source = Readable.fromWeb(request.body);
    source.on("error", destroy);
    // What is left to report is a listener that answers without reading the body, and that is no error.
    pipeline(source, outgoing, () => {});
  }
}

type CauseOf = (error: unknown) => unknown;

async function responseFrom(method: string, incoming: IncomingMessage, causeOf: CauseOf): Promise<Response> {
  const status = incoming.statusCode ?? 0;
  if (status < 200 || status > 599) throw new BadResponse(`the answer has the status ${status}`);
  const headers = new Headers();
  for (let at = 0; at + 1 < incoming.rawHeaders.length; at += 2) {
    const name = String(incoming.rawHeaders[at]).toLowerCase();
    if (!hopByHop.has(name)) headers.append(name, String(incoming.rawHeaders[at + 1]));
  }
  const init = { status, headers };
  if (method === "HEAD" || status === 204 || status === 205 || status === 304) {
    incoming.resume();
    return new Response(null, init);
  }
  if (!isSmall(incoming.headers["content-length"] ?? null)) return new Response(streamOf(incoming, causeOf), init);
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
  } catch (error) {
    throw causeOf(error);
  }
  return new Response(Buffer.concat(chunks), init);
}

/** Pulled chunk by chunk, so that a slow reader slows the listener down. */
function streamOf(incoming: IncomingMessage, causeOf: CauseOf): ReadableStream<Uint8Array> {
  const chunks = incoming[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await chunks.next();
          if (done === true) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          controller.error(causeOf(error));
        }
      },
      cancel: () => void incoming.destroy(),
    },
    { highWaterMark: 0 },
  );
}

function isSmall(contentLength: string | null): boolean {
  return contentLength !== null && /^\d{1,9}$/.test(contentLength) && Number(contentLength) <= wholeBodyBytesMax;
}

function errorFrom(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
