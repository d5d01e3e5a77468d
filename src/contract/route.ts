/**
 * Routes as developers write them: `POST /links/:id`, `GET /files/*`, `/health`. The path is a find-my-way pattern:
 *
 *   :name    up to the next "/", "-" or "."; several may share a segment: /near/:lat-:lng
 *   :name?   may be missing; only as the whole of the last segment
 *   *        all that is left; only as the last character
 *   ::       a colon
 *
 * find-my-way's regular expressions are left out: one slow pattern would hold up every app of the server.
 */
import { platformPath } from "./blob-links.ts";
import type { HttpTrigger, Trigger } from "./deployment.ts";
import { AloftError } from "./errors.ts";

export interface Route {
  /** Upper case, or `*` for every method. */
  readonly method: string;
  readonly path: string;
}

export const routeMethods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] as const;

const pathChars = 1024; // longer ones are a mistake, and every request's path is matched against them
const allowed = `write "METHOD /path", such as "POST /links/:id" or "GET /files/*", or only the path for every method`;

/**
 * `"POST /resize"` -> `{ method: "POST", path: "/resize" }`; without a method it is `*`. Throws ROUTE_INVALID with the
 * text and what is wrong with it.
 */
export function parseRoute(text: string): Route {
  const match = /^(?:(\S+)[ \t]+)?(\S.*)$/.exec(text.trim());
  const method = (match?.[1] ?? "*").toUpperCase();
  const path = match?.[2] ?? "";
  const fault = methodFault(method) ?? pathFault(path);
  if (fault !== null) throw new AloftError("ROUTE_INVALID", `"${text}" is not a route: ${fault}`, { hint: allowed });
  return { method, path };
}

/** Whether the platform itself answers at this path of a request, however its first segment is encoded. No app's code is asked. */
export function isOfPlatform(path: string): boolean {
  // Of every request: told by its second character, as a rule.
  const second = path.charCodeAt(1);
  if (second !== 0x2e && second !== 0x25) return false;
  const end = path.indexOf("/", 1);
  return decodeURIComponent(end < 0 ? path : path.slice(0, end)) === platformPath;
}

/** The routes among them. */
export function routesOf(triggers: readonly Trigger[]): HttpTrigger[] {
  return triggers.filter((trigger) => trigger.kind === "http");
}

/** "GET /links/:id", "queue orders". */
export function formatTrigger(trigger: Trigger): string {
  return trigger.kind === "http" ? formatRoute(trigger) : `${trigger.kind} ${trigger.name}`;
}

export function formatRoute(route: Route): string {
  return route.method === "*" ? route.path : `${route.method} ${route.path}`;
}

/**
 * What the pattern matches, without the names of its parameters: two patterns that share a shape match the same paths.
 * One with an optional parameter has two shapes.
 */
export function routeShapes(path: string): string[] {
  const shape = path.replaceAll(/(::)|:[A-Za-z_]\w*/g, (_, colon?: string) => colon ?? ":");
  if (!shape.endsWith("/:?")) return [shape];
  return [shape.slice(0, -"/:?".length) || "/", shape.slice(0, -1)];
}

function methodFault(method: string): string | null {
  if (method === "*" || (routeMethods as readonly string[]).includes(method)) return null;
  return `its method is "${method}", allowed are ${routeMethods.join(", ")} and *`;
}

function pathFault(path: string): string | null {
  if (!path.startsWith("/")) return "its path does not begin with /";
  if (path.length > pathChars) return `its path has ${path.length} characters, allowed are ${pathChars}`;
  const wrong = /[\s#()\\%\p{Cc}]/u.exec(path)?.[0];
  if (wrong === "%")
    return "its path holds %; write the character itself, for requests are decoded before they are matched";
  if (wrong === "(") return "its path holds (; parameters have no regular expressions";
  if (wrong !== undefined) return `its path holds ${JSON.stringify(wrong)}`;
  if (path.includes("//")) return "its path holds an empty segment";
  if (isOfPlatform(path) || path === `${platformPath}*`) return `what is below ${platformPath} belongs to the platform`;
  return parametersFault(path);
}

function parametersFault(path: string): string | null {
  const names = new Set<string>();
  let isAfterParameter = false;
  for (const { 0: text, 1: name, 2: optional, index } of path.matchAll(/::|:(\w*)(\?)?|\*|[^:*]+/g)) {
    const isLast = index + text.length === path.length;
    if (isAfterParameter && !/^[-./]/.test(text))
      return `"${text}" follows a parameter; allowed there are "/", "-" and "."`;
    isAfterParameter = name !== undefined;
    if (text === "*" && !isLast) return "* is allowed only as the last character";
    if (name === undefined) {
      if (text.includes("?")) return "its path holds ?; queries take no part in routing";
      if (/(?:^|\/)\.\.?(?:\/|$)/.test(text)) return "its path holds a segment of dots";
      continue;
    }
    if (!/^[A-Za-z_]/.test(name))
      return `":${name}" is not a parameter; its name begins with a letter, and :: is a colon`;
    if (names.has(name)) return `two of its parameters have the name ${name}`;
    if (optional !== undefined && (!isLast || path[index - 1] !== "/")) {
      return `:${name}? is allowed only as the whole of the last segment`;
    }
    names.add(name);
  }
  return null;
}
