/**
 * What AWS's Invoke takes in headers beside the payload: the client context, and the trace. Whose Cognito identity a caller
 * has is known to AWS by its signature; here it says so itself, for whoever holds the token is trusted with the app.
 */
import type { IncomingMessage } from "node:http";
import type { CallRequest } from "../contract/invoking.ts";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";

type Said = Pick<CallRequest, "clientContext" | "cognitoIdentity" | "traceparent">;

/** Throws REQUEST_INVALID. */
export function saidInHeaders({ headers }: Pick<IncomingMessage, "headers">): Said {
  const clientContext = jsonObjectOf("X-Amz-Client-Context", headers["x-amz-client-context"]);
  const cognitoIdentity = jsonObjectOf("X-Amz-Cognito-Identity", headers["x-amz-cognito-identity"]);
  const traceparent = textOf(headers["traceparent"]) ?? traceparentOf(textOf(headers["x-amzn-trace-id"]) ?? "");
  return {
    ...(clientContext !== null && { clientContext }),
    ...(cognitoIdentity !== null && { cognitoIdentity }),
    ...(traceparent !== null && { traceparent }),
  };
}

/** As compact JSON, which is one line. */
function jsonObjectOf(name: string, header: string | readonly string[] | undefined): string | null {
  const text = textOf(header);
  if (text === null) return null;
  if (text.length > limits.clientContextBytes) {
    throw new AloftError(
      "REQUEST_INVALID",
      `${name} has ${text.length} bytes; at most ${limits.clientContextBytes} are allowed`,
    );
  }
  const value = parsed(Buffer.from(text, "base64").toString());
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return JSON.stringify(value);
  throw new AloftError("REQUEST_INVALID", `${name} is no JSON object in base64`, {
    hint: `as AWS's clients send it: base64 of {"custom":{"name":"value"}}`,
  });
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

function textOf(header: string | readonly string[] | undefined): string | null {
  return typeof header === "string" && header !== "" ? header : null;
}

/** X-Ray's form of a trace as W3C's; null where it is none. */
function traceparentOf(amazon: string): string | null {
  const fields = new Map(amazon.split(";").map((field) => field.trim().split("=", 2) as [string, string | undefined]));
  const root = /^1-([0-9a-f]{8})-([0-9a-f]{24})$/.exec(fields.get("Root") ?? "");
  if (root === null) return null;
  const parent = /^[0-9a-f]{16}$/.exec(fields.get("Parent") ?? "")?.[0] ?? root[2]?.slice(0, 16);
  return `00-${root[1]}${root[2]}-${parent}-${fields.get("Sampled") === "0" ? "00" : "01"}`;
}
