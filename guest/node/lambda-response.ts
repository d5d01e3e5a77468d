/** What a Lambda handler returned, as the answer of a Function URL. */
import { BadResponse } from "./answer.ts";

/**
 * An object with `statusCode` says the whole answer; any other value is the body of a 200, a string as it is and the rest
 * as JSON. Throws BadResponse for what AWS would answer 502 to.
 */
export function responseFromResult(result: unknown): Response {
  if (typeof result === "string") return answer({ statusCode: 200, body: result });
  const value = jsonValueOf(result);
  if (typeof value === "object" && value !== null && "statusCode" in value) return answer(value);
  return answer({ statusCode: 200, body: JSON.stringify(value) });
}

/** The head of a streamed answer: `{ statusCode, headers, cookies }`, all of them optional. */
export function headFromMetadata(metadata: unknown): { status: number; headers: Headers } {
  if (typeof metadata !== "object" || metadata === null) {
    throw new BadResponse("the metadata of HttpResponseStream.from is not an object");
  }
  const { statusCode = 200, headers, cookies } = metadata as Record<string, unknown>;
  return { status: statusFrom(statusCode), headers: headersFrom(headers, cookies) };
}

function answer(result: object): Response {
  const { statusCode, headers: given, cookies, body, isBase64Encoded } = result as Record<string, unknown>;
  const status = statusFrom(statusCode);
  const headers = headersFrom(given, cookies);
  if (status === 204 || status === 205 || status === 304) return new Response(null, { status, headers });
  if (!headers.has("content-type")) headers.set("content-type", "application/json");
  const text = textFrom(body);
  // The plain form is sent in one frame with its length; only several cookies need the class.
  const plain = headers.getSetCookie().length > 1 ? headers : Object.fromEntries(headers);
  return new Response(isBase64Encoded === true ? Buffer.from(text, "base64") : text, { status, headers: plain });
}

function statusFrom(statusCode: unknown): number {
  const status = typeof statusCode === "string" && /^\d{3}$/.test(statusCode) ? Number(statusCode) : statusCode;
  if (typeof status === "number" && Number.isInteger(status) && status >= 200 && status <= 599) return status;
  throw new BadResponse(`the handler's statusCode is ${show(statusCode)}; it must be a whole number from 200 to 599`);
}

function headersFrom(given: unknown, cookies: unknown): Headers {
  const headers = new Headers();
  if (given !== undefined && given !== null) {
    if (typeof given !== "object" || Array.isArray(given)) {
      throw new BadResponse(`the handler's headers are ${show(given)}; they must be an object`);
    }
    for (const [name, value] of Object.entries(given as Readonly<Record<string, unknown>>)) {
      if (value === undefined || value === null) continue;
      if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") {
        throw new BadResponse(`the handler's header ${name} is ${show(value)}; it must be text`);
      }
      append(headers, name, String(value));
    }
  }
  if (cookies === undefined || cookies === null) return headers;
  if (!Array.isArray(cookies)) throw new BadResponse(`the handler's cookies are ${show(cookies)}; they must be a list`);
  for (const cookie of cookies as readonly unknown[]) append(headers, "set-cookie", String(cookie));
  return headers;
}

function append(headers: Headers, name: string, value: string): void {
  try {
    headers.append(name, value);
  } catch {
    throw new BadResponse(`the handler's header ${JSON.stringify(name)} is not valid: ${show(value)}`);
  }
}

function textFrom(body: unknown): string {
  if (body === undefined || body === null) return "";
  if (typeof body === "string") return body;
  if (typeof body === "object") return JSON.stringify(body);
  throw new BadResponse(`the handler's body is ${show(body)}; it must be text`);
}

/** Through JSON and back, as results travel on AWS: `toJSON` counts, what JSON does not know does not. */
function jsonValueOf(result: unknown): unknown {
  let text: string | undefined;
  try {
    text = JSON.stringify(result) as string | undefined;
  } catch (error) {
    throw new BadResponse(`what the handler returned is not JSON: ${(error as Error).message}`);
  }
  return text === undefined ? null : (JSON.parse(text) as unknown);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined ? String(value) : text.slice(0, 100);
}
