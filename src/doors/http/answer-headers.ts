/** The headers of a function's answer, as they go to the client: checked, without what belongs to one connection only. */
import type { ServerResponse } from "node:http";

/** These speak of the connection between two programs, and the next one is another. */
const connectionHeaders: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "te",
  "trailer",
]);

/**
 * Name, value, name, value, ...; null when the text is no list of pairs. `bodyBytes` is -1 while the body's length is
 * not known. A HEAD request's answer says the length that GET would have.
 */
export function answerHeaders(
  text: string,
  bodyBytes: number,
  requestId: string,
  res: ServerResponse,
): string[] | null {
  const pairs = text === "" ? [] : text.split("\n");
  if (pairs.length % 2 !== 0) return null;
  let given = "";
  let drops = false;
  for (let at = 0; at < pairs.length; at += 2) {
    const name = pairs[at] as string;
    if (name === "content-length") given = pairs[at + 1] as string;
    else if (!connectionHeaders.has(name)) continue;
    drops = true;
  }
  const kept = drops ? pairs.filter((_, at) => isKept(pairs[at - (at % 2)] as string)) : pairs;
  kept.push("x-request-id", requestId);
  const length = contentLength(bodyBytes, given, res);
  if (length !== null) kept.push("content-length", length);
  return kept;
}

function isKept(name: string): boolean {
  return name !== "content-length" && !connectionHeaders.has(name);
}

function contentLength(bodyBytes: number, given: string, res: ServerResponse): string | null {
  if (bodyBytes > 0) return String(bodyBytes);
  // An answer to HEAD has no body to measure: the function's own word counts.
  if (/^\d+$/.test(given) && (bodyBytes < 0 || res.req.method === "HEAD")) return given;
  return bodyBytes < 0 ? null : "0";
}
