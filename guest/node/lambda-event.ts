/**
 * The event of an AWS Lambda Function URL: API Gateway's payload format 2.0.
 * https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
 */
import type { Context } from "../../sdk/index.ts";
import { targetOf } from "./node-http.ts";

export interface FunctionUrlEvent {
  readonly version: "2.0";
  readonly routeKey: "$default";
  readonly rawPath: string;
  readonly rawQueryString: string;
  /** Absent when the request has none; they do not stand in the headers. */
  readonly cookies?: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  /** Absent when the request has none. Values of one name are joined by commas. */
  readonly queryStringParameters?: Readonly<Record<string, string>>;
  readonly requestContext: {
    readonly accountId: string;
    readonly apiId: string;
    readonly domainName: string;
    readonly domainPrefix: string;
    readonly http: {
      readonly method: string;
      readonly path: string;
      readonly protocol: "HTTP/1.1";
      readonly sourceIp: string;
      readonly userAgent: string;
    };
    readonly requestId: string;
    readonly routeKey: "$default";
    readonly stage: "$default";
    readonly time: string;
    readonly timeEpoch: number;
  };
  /** Absent when the request has none. */
  readonly body?: string;
  readonly isBase64Encoded: boolean;
}

export async function functionUrlEvent(request: Request, context: Context, nowMs: number): Promise<FunctionUrlEvent> {
  const target = targetOf(request.url);
  const question = target.indexOf("?");
  const rawPath = question < 0 ? target : target.slice(0, question);
  const rawQueryString = question < 0 ? "" : target.slice(question + 1);
  const headers: Record<string, string> = {};
  for (const [name, value] of request.headers) {
    if (name !== "cookie") headers[name] = value;
  }
  const trace = amazonTraceId(context.traceparent);
  if (trace !== "") headers["x-amzn-trace-id"] ??= trace;
  const domainName = (headers["host"] ?? new URL(request.url).host).replace(/:\d+$/, "");
  const domainPrefix = domainName.split(".")[0] ?? "";
  const cookies = request.headers.get("cookie")?.split(/; */).filter(Boolean) ?? [];
  const parameters = queryParameters(rawQueryString);
  return {
    version: "2.0",
    routeKey: "$default",
    rawPath,
    rawQueryString,
    ...(cookies.length > 0 && { cookies }),
    headers,
    ...(parameters !== null && { queryStringParameters: parameters }),
    requestContext: {
      // What AWS says of a caller who did not sign the request.
      accountId: "anonymous",
      apiId: domainPrefix,
      domainName,
      domainPrefix,
      http: {
        method: request.method,
        path: rawPath,
        protocol: "HTTP/1.1",
        sourceIp: context.remoteAddress,
        userAgent: headers["user-agent"] ?? "",
      },
      requestId: context.invocationId,
      routeKey: "$default",
      stage: "$default",
      time: commonLogTime(nowMs),
      timeEpoch: nowMs,
    },
    ...(await bodyOf(request)),
  };
}

function queryParameters(query: string): Record<string, string> | null {
  let parameters: Record<string, string> | null = null;
  for (const [name, value] of new URLSearchParams(query)) {
    parameters ??= {};
    const before = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
    // A name such as __proto__ must be a name like any other.
    Object.defineProperty(parameters, name, {
      value: before === undefined ? value : `${before},${value}`,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return parameters;
}

async function bodyOf(request: Request): Promise<{ body?: string; isBase64Encoded: boolean }> {
  if (request.body === null) return { isBase64Encoded: false };
  const bytes = Buffer.from(await request.arrayBuffer());
  if (bytes.length === 0) return { isBase64Encoded: false };
  if (isText(request.headers)) {
    const body = decodeUtf8(bytes);
    if (body !== null) return { body, isBase64Encoded: false };
  }
  return { body: bytes.toString("base64"), isBase64Encoded: true };
}

/**
 * The types AWS hands over as text. All others are base64, forms and requests without a type among them: that is what
 * real Function URLs and HTTP APIs do, and handlers are written for it.
 */
function isText(headers: Headers): boolean {
  if (headers.has("content-encoding")) return false;
  const type = (headers.get("content-type") ?? "").toLowerCase().split(";", 1)[0]?.trim() ?? "";
  return /^(?:text\/.+|application\/(?:json|xml|javascript))$/.test(type);
}

/** null when it is not UTF-8: as text it would be damaged. */
function decodeUtf8(bytes: Buffer): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** `12/Mar/2020:19:03:58 +0000` */
function commonLogTime(nowMs: number): string {
  const [, day, month, year, time] = new Date(nowMs).toUTCString().split(" ");
  return `${day}/${month}/${year}:${time} +0000`;
}

/** A W3C traceparent in the form of AWS X-Ray; "" when there is none. */
export function amazonTraceId(traceparent: string): string {
  const match = /^00-([0-9a-f]{8})([0-9a-f]{24})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent);
  if (match === null) return "";
  const [, time, random, parent, flags = "0"] = match;
  return `Root=1-${time}-${random};Parent=${parent};Sampled=${Number.parseInt(flags, 16) & 1}`;
}
