/**
 * The HTTP door: takes requests from clients, finds out where they belong and hands them on as exchanges.
 *
 * A small body of known length is collected before anything is started, so that a slow client holds no place in an
 * instance; a large one, or one of unknown length, streams.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { BlobLinks } from "../../contract/blob-links.ts";
import type { Dispatching, Routed } from "../../contract/dispatching.ts";
import { AloftError } from "../../contract/errors.ts";
import { limits } from "../../contract/limits.ts";
import { outcomeOf } from "../../contract/outcome.ts";
import { traceparent } from "../../lib/ids.ts";
import { clientErrorAnswer } from "./client-errors.ts";
import { HttpExchange } from "./exchange.ts";
import { answerLink } from "./link-requests.ts";
import { createHeaderScan, type HeaderScan, scanHeaders } from "./request-headers.ts";
import { sendProblem } from "./problems.ts";

export interface HttpDoorOptions {
  readonly dispatching: Dispatching;
  readonly links: BlobLinks;
  readonly bodyBytesMax: number;
  /** Believe X-Forwarded-* and Forwarded of whoever connects. */
  readonly trustsProxy: boolean;
  /** Answer with the user's own errors and stacks: for the developer alone. */
  readonly showsDetail: boolean;
  readonly onBug: (error: unknown) => void;
}

export interface HttpDoor {
  readonly server: Server;
  /** No new connections; those that idle are ended at once, the others when their request is done or the time is up. */
  close(withinMs: number): Promise<void>;
}

/** Where an answer's own exchange stands, so that one listener serves all. */
const exchangeOf = Symbol("exchange");
type Answer = ServerResponse & { [exchangeOf]?: HttpExchange };

/** A connection on which a request was refused for its form: what follows on it is not to be trusted. */
const closing = Symbol("closing");
type Connection = Socket & { [closing]?: true };

const collectSweepMs = 1000;
const lateHeadsCheckMs = 1000;

/** A request whose small body is on its way. */
interface Collecting {
  readonly untilMs: number;
  readonly giveUp: () => void;
}

export function createHttpDoor(options: HttpDoorOptions): HttpDoor {
  const { dispatching, showsDetail, bodyBytesMax } = options;
  const scan = createHeaderScan();
  const collecting = new Set<Collecting>();
  let sweeper: NodeJS.Timeout | null = null;

  const server = createServer({
    maxHeaderSize: limits.requestHeadBytes,
    headersTimeout: limits.headersMs,
    // How far past its time-out a head may be: Node looks at 30 s intervals unless told.
    connectionsCheckingInterval: lateHeadsCheckMs,
    requestTimeout: limits.transferMs, // what a function is sent has a bound of its own
    keepAliveTimeout: limits.keepAliveIdleMs,
    // Said here instead, in a problem document.
    requireHostHeader: false,
    noDelay: true,
  });
  server.on("request", onRequest);
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    if (!socket.writable || socket.bytesWritten > 0) socket.destroy();
    else socket.end(clientErrorAnswer(error));
  });

  function onRequest(req: IncomingMessage, res: ServerResponse): void {
    try {
      receive(req, res);
    } catch (error) {
      options.onBug(error);
      const shown = new AloftError("INTERNAL", "something went wrong inside Aloft");
      sendProblem(res, shown, { requestId: "", isClosing: true });
    }
  }

  function receive(req: IncomingMessage, res: ServerResponse): void {
    if ((req.socket as Connection)[closing] === true) return;
    const arrivedAtMs = performance.now();
    const startedAtMs = Date.now();
    const invocationId = dispatching.newInvocationId();
    const method = req.method ?? "GET";
    const complaint = scanHeaders(req, options.trustsProxy, invocationId, scan) || hostComplaint(req, scan);
    if (complaint !== "") {
      const error = new AloftError("REQUEST_INVALID", complaint);
      refuse(req, res, { error, allow: "", app: "" }, invocationId, startedAtMs, arrivedAtMs);
      return;
    }
    const routed = dispatching.route(scan.host, scan.aloftApp, method, req.url ?? "/");
    if (routed.kind === "platform") {
      void answerPlatform(req, res, routed, invocationId, startedAtMs, arrivedAtMs);
      return;
    }
    if (routed.kind === "options") {
      res.writeHead(204, ["allow", routed.allow, "x-request-id", scan.requestId]);
      res.end();
      return;
    }
    if (routed.kind === "failure") {
      refuse(req, res, routed, invocationId, startedAtMs, arrivedAtMs);
      return;
    }
    if (scan.contentLength > bodyBytesMax) {
      const message = `the request body of ${scan.contentLength} bytes is over the limit of ${bodyBytesMax} bytes`;
      const failure = { error: new AloftError("BODY_TOO_LARGE", message), allow: "", app: routed.live.app };
      refuse(req, res, failure, invocationId, startedAtMs, arrivedAtMs);
      return;
    }
    const exchange = new HttpExchange(
      {
        live: routed.live,
        functionNumber: routed.functionNumber,
        invocationId,
        requestId: scan.requestId,
        text: invokeText(invocationId, method, routed, scan),
        arrivedAtMs,
        startedAtMs,
        showsDetail,
        bodyBytesMax,
      },
      req,
      res,
      dispatching,
    );
    (res as Answer)[exchangeOf] = exchange;
    res.on("close", onClose);
    if (scan.contentLength <= 0 && !scan.isChunked) {
      dispatching.submit(routed.live, exchange, arrivedAtMs);
    } else if (scan.contentLength > 0 && scan.contentLength <= limits.requestInlineBytes) {
      collect(req, routed, exchange, scan.contentLength);
    } else {
      exchange.isBodyComplete = false;
      endWhenLate(req);
      req.pause();
      dispatching.submit(routed.live, exchange, arrivedAtMs);
    }
  }

  /** Takes in a small body whole, then submits. */
  function collect(
    req: IncomingMessage,
    routed: Extract<Routed, { kind: "function" }>,
    exchange: HttpExchange,
    expectedBytes: number,
  ): void {
    let first: Buffer | null = null;
    let rest: Buffer[] | null = null;
    let bytes = 0;
    const waiting: Collecting = {
      untilMs: exchange.deadlineAtMs,
      giveUp() {
        collecting.delete(waiting);
        exchange.isSettled = true;
        const message = `${bytes} of ${expectedBytes} body bytes arrived in time`;
        exchange.refuse(new AloftError("REQUEST_TIMEOUT", message));
      },
    };
    collecting.add(waiting);
    sweeper ??= setInterval(sweep, collectSweepMs).unref();
    req.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (first === null) first = chunk;
      else (rest ??= [first]).push(chunk);
      // The parser lets through no more than the head announced, so this is the end.
      if (bytes < expectedBytes || exchange.isSettled) return;
      collecting.delete(waiting);
      exchange.body = rest === null ? first : Buffer.concat(rest);
      dispatching.submit(routed.live, exchange, performance.now());
    });
    req.on("close", () => collecting.delete(waiting));
  }

  function sweep(): void {
    const nowMs = performance.now();
    for (const waiting of collecting) if (nowMs >= waiting.untilMs) waiting.giveUp();
    if (collecting.size > 0 || sweeper === null) return;
    clearInterval(sweeper);
    sweeper = null;
  }

  function refuse(
    req: IncomingMessage,
    res: ServerResponse,
    failure: { readonly error: AloftError; readonly allow: string; readonly app: string },
    invocationId: string,
    startedAtMs: number,
    arrivedAtMs: number,
  ): void {
    const { error, allow, app } = failure;
    const isClosing = error.code === "REQUEST_INVALID" || scan.contentLength > 0 || scan.isChunked;
    // A second request may be in the same bytes, already parsed.
    if (isClosing) (req.socket as Connection)[closing] = true;
    sendProblem(res, error, { requestId: scan.requestId, isClosing, allow });
    const path = (req.url ?? "").split("?", 1)[0] ?? "";
    dispatching.record({
      id: invocationId,
      app,
      alias: "",
      function: "",
      deployment: "",
      trigger: "http",
      startedAtMs,
      waitUs: Math.round((performance.now() - arrivedAtMs) * 1000),
      coldUs: 0,
      handlerUs: 0,
      status: error.status,
      outcome: outcomeOf(error),
      attempt: 1,
      memoryBytes: 0,
      errorCode: error.code,
      errorMessage: error.message.slice(0, 1000),
      subject: `${req.method} ${path}`,
    });
  }

  async function answerPlatform(
    req: IncomingMessage,
    res: ServerResponse,
    { live, path, query }: Extract<Routed, { kind: "platform" }>,
    invocationId: string,
    startedAtMs: number,
    arrivedAtMs: number,
  ): Promise<void> {
    const { requestId, contentLength, isChunked } = scan;
    const hasBody = contentLength > 0 || isChunked;
    const request = { req, res, live, path, query, requestId, contentLength, hasBody };
    const { status, error } = await answerLink(options.links, request, options.onBug);
    dispatching.record({
      id: invocationId,
      app: live.app,
      alias: live.alias,
      function: "",
      deployment: live.deploymentId,
      trigger: "http",
      startedAtMs,
      waitUs: 0,
      coldUs: 0,
      handlerUs: Math.round((performance.now() - arrivedAtMs) * 1000),
      status,
      outcome: error === null ? "ok" : outcomeOf(error),
      attempt: 1,
      memoryBytes: 0,
      errorCode: error === null ? "" : error.code,
      errorMessage: error === null ? "" : error.message.slice(0, 1000),
      subject: `${req.method} ${path}`,
    });
  }

  async function close(withinMs: number): Promise<void> {
    if (sweeper !== null) clearInterval(sweeper);
    sweeper = null;
    const timer = setTimeout(() => server.closeAllConnections(), withinMs);
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeIdleConnections();
    });
    clearTimeout(timer);
  }

  return { server, close };
}

function hostComplaint(req: IncomingMessage, scan: HeaderScan): string {
  return scan.host === null && req.httpVersion === "1.1" ? "there is no host header" : "";
}

/** A body that nobody wants any more, and that still comes little by little, keeps its connection no longer than a request may take. */
function endWhenLate(req: IncomingMessage): void {
  const timer = setTimeout(() => req.destroy(), limits.responseTotalMs).unref();
  req.once("close", () => clearTimeout(timer));
}

function onClose(this: ServerResponse): void {
  if (!this.writableFinished) (this as Answer)[exchangeOf]?.abandoned();
}

/** The invoke frame's text; `src/wire/messages.ts` names its lines. */
function invokeText(
  invocationId: string,
  method: string,
  routed: Extract<Routed, { kind: "function" }>,
  scan: HeaderScan,
): string {
  const host = routed.authority ?? scan.host ?? "localhost";
  const trace = traceparent(scan.traceparent, invocationId);
  const text = `${invocationId}\n${trace}\n1\n${method}\n${scan.protocol}://${host}\n${routed.target}\n${scan.remoteAddress}\n${routed.params}`;
  return scan.headers === "" ? text : `${text}\n${scan.headers}`;
}
