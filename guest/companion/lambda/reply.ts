/** Answers of the Runtime API, byte for byte as AWS's: JSON that ends with a line end, and the router's own refusals. */
import type { IncomingMessage, ServerResponse } from "node:http";

export function sendJson(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = Buffer.from(`${escapeHtml(JSON.stringify(value))}\n`);
  response.writeHead(status, { "Content-Type": "application/json", ...headers, "Content-Length": body.length });
  response.end(body);
}

export function sendError(response: ServerResponse, status: number, errorType: string, errorMessage: string): void {
  sendJson(response, status, { errorMessage, errorType });
}

export function sendForbidden(response: ServerResponse, errorType: string, errorMessage: string): void {
  sendError(response, 403, errorType, errorMessage);
}

export function sendAccepted(response: ServerResponse): void {
  sendJson(response, 202, { status: "OK" });
}

export function sendInvalidRequestId(response: ServerResponse): void {
  sendError(response, 400, "InvalidRequestID", "Invalid request ID");
}

export function sendInternalError(response: ServerResponse): void {
  sendError(response, 500, "InternalServerError", "Internal Server Error");
}

export function sendNotFound(response: ServerResponse): void {
  response.writeHead(404, { "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff" });
  response.end("404 page not found\n");
}

export function sendMethodNotAllowed(response: ServerResponse): void {
  response.writeHead(405, { "Content-Length": 0 });
  response.end();
}

/** As Go's encoder writes JSON. */
function escapeHtml(json: string): string {
  return json.replaceAll(/[<>&\u2028\u2029]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** null: more than `bytesMax`, and the rest is let through and dropped. Rejects when the sender went away. */
export async function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= bytesMax) chunks.push(chunk);
    else chunks.length = 0;
  }
  return bytes > bytesMax ? null : Buffer.concat(chunks);
}

export function header(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return typeof value === "string" ? value : "";
}
