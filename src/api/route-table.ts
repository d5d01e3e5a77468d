/**
 * The table of resources and how a path finds its row. Plain and linear: there are some twenty rows, and what is rare
 * here (a deploy, a look at the logs) costs a thousand times more than walking them.
 */
import type { IncomingMessage } from "node:http";
import { AloftError } from "../contract/errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { Answer } from "./answer.ts";
import type { ApiDeps } from "./api.ts";
import type { Query } from "./query.ts";

export interface ApiCall {
  readonly deps: ApiDeps;
  /** The parts of the path that the row names with `:`, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly request: IncomingMessage;
  readonly clock: Clock;
  /** Aborts when the caller goes away or the server stops. */
  readonly signal: AbortSignal;
}

export interface Resource {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** `/v1/apps/:app`; a part that begins with `:` takes any text. */
  readonly path: string;
  /** Names that its query may hold; any other is refused. */
  readonly query?: readonly string[];
  readonly handle: (call: ApiCall) => Answer | Promise<Answer>;
}

export interface Match {
  readonly resource: Resource;
  readonly params: Readonly<Record<string, string>>;
}

/** Throws NOT_FOUND, METHOD_NOT_ALLOWED (with `detail.allow`) and REQUEST_INVALID. */
export function matchResource(resources: readonly Resource[], method: string, path: string): Match {
  const parts = path.split("/");
  const matches = resources.flatMap((resource) => {
    const params = paramsOf(resource.path.split("/"), parts);
    return params === null ? [] : [{ resource, params }];
  });
  const match = matches.find(({ resource }) => resource.method === method);
  if (match !== undefined) return match;
  if (matches.length > 0) {
    const allow = matches.map(({ resource }) => resource.method);
    const message = `${path} does not take ${method}, only ${allow.join(", ")}`;
    throw new AloftError("METHOD_NOT_ALLOWED", message, { detail: { allow } });
  }
  throw new AloftError("NOT_FOUND", `there is nothing at ${path}`, {
    hint: "the member resources lists what there is; docs/api.md describes it",
    detail: { resources: resources.map((resource) => `${resource.method} ${resource.path}`) },
  });
}

function paramsOf(pattern: readonly string[], parts: readonly string[]): Record<string, string> | null {
  if (pattern.length !== parts.length) return null;
  const params: Record<string, string> = {};
  for (const [index, expected] of pattern.entries()) {
    const part = parts[index] ?? "";
    if (!expected.startsWith(":")) {
      if (expected !== part) return null;
    } else if (part === "") return null;
    else params[expected.slice(1)] = decode(part);
  }
  return params;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new AloftError("REQUEST_INVALID", `"${part}" in the path is not valid percent-encoding`);
  }
}
