/** Sends a request to where an address leads, on this machine whatever its host is: a name such as `app.localhost` may not resolve. */
import { type IncomingHttpHeaders, request } from "node:http";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";

export interface LinkAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Of the problem document; "" where the answer is none. */
  readonly code: string;
}

export async function sendTo(
  url: string,
  method: string,
  options: {
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string | Uint8Array | AsyncIterable<Uint8Array>;
  } = {},
): Promise<LinkAnswer> {
  const { host, port, pathname, search } = new URL(url);
  const { headers = {}, body = "" } = options;
  return await new Promise((resolve, reject) => {
    const outgoing = request({
      host: "127.0.0.1",
      port,
      method,
      path: `${pathname}${search}`,
      headers: { host, ...headers },
      agent: false,
    });
    outgoing.once("error", reject);
    outgoing.once("response", (response) => {
      buffer(response).then((bytes) => {
        const isProblem = response.headers["content-type"] === "application/problem+json";
        const code = isProblem && bytes.length > 0 ? (JSON.parse(bytes.toString()) as { code: string }).code : "";
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: bytes, code });
      }, reject);
    });
    if (typeof body === "string" || body instanceof Uint8Array) outgoing.end(body);
    // An answer that comes early is a refusal; the rest is of no use then.
    else pipeline(body, outgoing).catch(() => {});
  });
}
