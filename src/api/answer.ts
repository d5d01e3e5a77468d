/** What a resource answers, and how it is written. */
import type { ServerResponse } from "node:http";
import { type AloftError, problemOf } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import { drained, writeChunks } from "../lib/write-chunks.ts";

export type Answer =
  | { readonly kind: "json"; readonly body: unknown; readonly status?: number }
  | { readonly kind: "bytes"; readonly headers: Readonly<Record<string, string>>; readonly body: Uint8Array | string }
  /** One JSON value a line, as they come. */
  | { readonly kind: "lines"; readonly values: AsyncIterable<unknown> }
  /** As much as there is, cut when the signal aborts or when nothing is taken for limits.responseIdleMs. */
  | {
      readonly kind: "stream";
      readonly contentType: string;
      readonly chunks: AsyncIterable<Uint8Array>;
      readonly signal: AbortSignal;
    };

export function json(body: unknown): Answer {
  return { kind: "json", body };
}

export async function writeAnswer(response: ServerResponse, answer: Answer): Promise<void> {
  response.setHeader("cache-control", "no-store");
  response.setHeader("x-content-type-options", "nosniff");
  switch (answer.kind) {
    case "json":
      sendJson(response, answer.status ?? 200, "application/json", answer.body);
      return;
    case "bytes":
      for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, value);
      response.setHeader("content-length", Buffer.byteLength(answer.body));
      response.end(answer.body);
      return;
    case "lines":
      response.setHeader("content-type", "application/x-ndjson");
      response.flushHeaders();
      await writeLines(response, answer.values);
      return;
    case "stream":
      response.setHeader("content-type", answer.contentType);
      response.flushHeaders();
      // One that is cut has no proper end, so that nobody takes it for whole.
      if (await writeChunks(response, answer.chunks, limits.responseIdleMs, answer.signal)) response.end();
      else response.destroy();
  }
}

export function writeProblem(response: ServerResponse, error: AloftError): void {
  const allow = error.detail?.["allow"];
  if (error.code === "METHOD_NOT_ALLOWED" && Array.isArray(allow)) response.setHeader("allow", allow.join(", "));
  if (error.code === "UNAUTHORIZED") response.setHeader("www-authenticate", 'Bearer realm="aloft"');
  // What these still send is nothing that anybody will read.
  if (error.code === "UNAUTHORIZED" || error.code === "HOST_REFUSED" || error.code === "BODY_TOO_LARGE") {
    response.setHeader("connection", "close");
  }
  sendJson(response, error.status, "application/problem+json", problemOf(error));
}

function sendJson(response: ServerResponse, status: number, contentType: string, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`;
  response.statusCode = status;
  response.setHeader("content-type", contentType);
  response.setHeader("content-length", Buffer.byteLength(text));
  response.end(text);
}

/** No faster than the reader reads; ends when the reader is gone. */
async function writeLines(response: ServerResponse, values: AsyncIterable<unknown>): Promise<void> {
  for await (const value of values) {
    if (response.destroyed) return;
    if (!response.write(`${JSON.stringify(value)}\n`) && !(await drained(response))) return;
  }
  response.end();
}
