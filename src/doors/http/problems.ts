/** Errors as they leave the door: problem documents (RFC 9457). */
import type { ServerResponse } from "node:http";
import { type AloftError, problemOf } from "../../contract/errors.ts";

export interface ProblemOptions {
  readonly requestId: string;
  /** The rest of the request will not be read, so the connection cannot be used again. */
  readonly isClosing: boolean;
  readonly allow?: string;
  /** The answer goes out whole at once; its connection is ended only after this. */
  readonly before?: () => Promise<void>;
}

export function sendProblem(res: ServerResponse, error: AloftError, options: ProblemOptions): void {
  if (res.headersSent || res.destroyed) {
    res.destroy();
    return;
  }
  const body = Buffer.from(JSON.stringify(problemOf(error)));
  const headers = ["content-type", "application/problem+json", "content-length", String(body.length)];
  if (options.requestId !== "") headers.push("x-request-id", options.requestId);
  if (options.allow !== undefined && options.allow !== "") headers.push("allow", options.allow);
  const seconds = error.detail?.["retryAfterSeconds"];
  if (error.status === 503) headers.push("retry-after", typeof seconds === "number" ? String(seconds) : "1");
  if (options.isClosing) headers.push("connection", "close");
  res.writeHead(error.status, headers);
  if (options.before === undefined) res.end(res.req.method === "HEAD" ? undefined : body);
  else {
    res.write(body);
    void options.before().then(() => res.end());
  }
}
