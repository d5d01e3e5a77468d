/** What a client gets whose bytes are not HTTP/1.1, or come too slowly: an answer and the end of the connection. */
import { AloftError, problemOf } from "../../contract/errors.ts";
import { limits } from "../../contract/limits.ts";

const reasons: Readonly<Record<number, string>> = {
  400: "Bad Request",
  408: "Request Timeout",
  413: "Content Too Large",
  431: "Request Header Fields Too Large",
};

/** The whole answer, head and body. */
export function clientErrorAnswer(error: NodeJS.ErrnoException): string {
  const shown = errorFor(error);
  const body = JSON.stringify(problemOf(shown));
  return [
    `HTTP/1.1 ${shown.status} ${reasons[shown.status] ?? "Error"}`,
    "content-type: application/problem+json",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
    "",
    body,
  ].join("\r\n");
}

function errorFor(error: NodeJS.ErrnoException): AloftError {
  switch (error.code) {
    case "HPE_HEADER_OVERFLOW":
      return new AloftError(
        "HEADERS_TOO_LARGE",
        `the request's head is over the limit of ${limits.requestHeadBytes} bytes`,
      );
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return new AloftError("REQUEST_TIMEOUT", `the request's head did not arrive within ${limits.headersMs / 1000} s`);
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return new AloftError("BODY_TOO_LARGE", "the chunk extensions of the request body are over the limit");
    default:
      return new AloftError("REQUEST_INVALID", "the request is not valid HTTP/1.1");
  }
}
