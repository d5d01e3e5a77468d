/**
 * Routes as developers write them: `POST /links/:id`, `GET /files/*`, `/health`. The path is a find-my-way pattern of
 * the plain kind: static text, `:name` for a part of a segment, and `*` as the last segment for all that is left. Its
 * optional parameters and regular expressions are left out: a route must be readable by a person and by a type.
 */
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

export function formatRoute(route: Route): string {
  return route.method === "*" ? route.path : `${route.method} ${route.path}`;
}

/**
 * The pattern with its parameters' names taken out: two patterns that match the same paths have the same shape.
 */
export function routeShape(path: string): string {
  return path.replaceAll(/:[A-Za-z_]\w*/g, ":");
}

function methodFault(method: string): string | null {
  if (method === "*" || (routeMethods as readonly string[]).includes(method)) return null;
  return `its method is "${method}", allowed are ${routeMethods.join(", ")} and *`;
}

function pathFault(path: string): string | null {
  if (!path.startsWith("/")) return "its path does not begin with /";
  if (path.length > pathChars) return `its path has ${path.length} characters, allowed are ${pathChars}`;
  const wrong = /[\s?#()\\%\p{Cc}]/u.exec(path)?.[0];
  if (wrong === "%")
    return "its path holds %: write the character itself, requests are decoded before they are matched";
  if (wrong === "?") return "its path holds ?: queries take no part in routing, and parameters are not optional";
  if (wrong === "(") return "its path holds (: parameters have no regular expressions";
  if (wrong !== undefined) return `its path holds ${JSON.stringify(wrong)}`;
  if (path.includes("//")) return "its path holds an empty segment";
  return segmentsFault(path.slice(1).split("/"));
}

function segmentsFault(segments: readonly string[]): string | null {
  const names = new Set<string>();
  for (const [index, segment] of segments.entries()) {
    if (segment === "." || segment === "..") return `its path holds the segment ${segment}`;
    if (segment.includes("*") && (segment !== "*" || index < segments.length - 1)) {
      return "* is allowed only as the whole of the last segment";
    }
    // What is left after every well-formed parameter holds a colon only where one is malformed.
    const rest = segment.replaceAll(/:([A-Za-z_]\w*)(?=$|[-.])/g, (_, name: string) => {
      if (names.has(name)) names.add(":");
      names.add(name);
      return "";
    });
    if (names.has(":")) return `two parameters have the same name in ${segments.join("/")}`;
    if (rest.includes(":"))
      return `"${segment}" holds a colon that begins no parameter such as :id, :id.json or :from-:to`;
  }
  return null;
}
