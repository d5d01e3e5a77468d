/** A Runtime API on a real socket, and what runtimes and extensions say to it. */
import { request, type IncomingHttpHeaders } from "node:http";
import type { TestContext } from "node:test";
import type { Extension } from "./extensions-side.ts";
import type { FunctionError } from "./error-type.ts";
import type { Invoke } from "./invoke.ts";
import { RuntimeApi } from "./runtime-api.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface OpenApi {
  readonly api: RuntimeApi;
  /** `host:port` */
  readonly address: string;
  /** What the owner was told, in order. */
  readonly told: string[];
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Sent in chunks, with these trailers. */
  readonly chunks?: readonly (string | Buffer)[];
  readonly trailers?: Readonly<Record<string, string>>;
}

export async function openApi(t: TestContext): Promise<OpenApi> {
  const told: string[] = [];
  const events = {
    runtimeReady: () => told.push("ready"),
    initFailed: ({ errorType, errorMessage }: FunctionError) => told.push(`init ${errorType}: ${errorMessage}`),
    runtimeAnswered: () => told.push("answered"),
    extensionMoved: ({ name, state }: Extension) => told.push(`${name} ${state}`),
    extensionFailed: ({ name, errorType }: Extension, when: string) => told.push(`${name} ${when} ${errorType}`),
  };
  const facts = { accountId: "000000000000", functionName: "shop-f", functionVersion: "$LATEST", handler: "a.f" };
  const api = new RuntimeApi({ facts, events, isOwn: () => true });
  const address = await api.open(0);
  t.after(() => api.close());
  return { api, address, told, call: (method, path, options = {}) => call(address, method, path, options) };
}

export function call(address: string, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const { headers = {}, body, chunks, trailers = {} } = options;
  return new Promise((resolve, reject) => {
    const sent = request(`http://${address}${path}`, { method, headers }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (chunk: Buffer) => parts.push(chunk));
      response.once("error", reject);
      response.once("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: Buffer.concat(parts).toString(),
        }),
      );
    });
    sent.once("error", reject);
    if (chunks === undefined) {
      sent.end(body);
      return;
    }
    for (const chunk of chunks) sent.write(chunk);
    sent.addTrailers(trailers);
    sent.end();
  });
}

export function testInvoke(given: Partial<Invoke> = {}): Invoke {
  return {
    requestId: "8f2f6d0e-8f5c-4c3a-9d7e-2b1a0c9d8e7f",
    deadlineMs: 1_800_000_000_000,
    functionArn: "arn:aws:lambda:us-east-1:000000000000:function:shop-f",
    traceId: "",
    clientContext: "",
    cognitoIdentity: "",
    contentType: "",
    event: Buffer.from('{"a":1}'),
    ...given,
  };
}
