/**
 * Routes as they are written: `"GET /links/:id"`, or `"/links/:id"` for every method. The same text is read twice: by
 * the types, so that `ctx.params` has exactly the route's names, and here, so that a bad route fails where it stands.
 *
 *   :name     up to the next "/", "-" or "."; several may share a part: /near/:lat-:lng
 *   :name?    may be missing; only as the last part
 *   *         the rest of the path, slashes included; only as the last character; its name is "*"
 *   ::        a colon
 */

const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] as const;

export type Method = (typeof methods)[number];

/** A path, or a method and a path with one space between them. */
export type Route = `/${string}` | `${Method | "*"} /${string}`;

/** The parameters of a route: `"GET /links/:id"` has `{ id: string }`, `"/files/*"` has `{ "*": string }`. */
export type Params<R extends string> = string extends R ? Record<string, string> : Flat<ParamsOfPath<PathOf<R>>>;

type PathOf<R extends string> = R extends `${string} ${infer Path}` ? Path : R;

type ParamsOfPath<Path extends string> = Path extends `${infer Part}/${infer Rest}`
  ? ParamsOfPart<Part> & ParamsOfPath<Rest>
  : ParamsOfPart<Path>;

type ParamsOfPart<Part extends string> = Part extends `${infer Before}::${infer After}`
  ? ParamsOfPart<`${Before}${After}`>
  : Part extends `${string}:${infer Named}`
    ? ParamsOfNamed<Named>
    : Part extends `${string}*`
      ? { "*": string }
      : unknown;

type ParamsOfNamed<Named extends string> = Named extends `${infer Name}?`
  ? { [Key in Name]?: string }
  : Named extends `${infer Before}-${infer After}`
    ? Before extends `${infer Name}.${infer Between}`
      ? { [Key in Name]: string } & ParamsOfPart<`${Between}-${After}`>
      : { [Key in Before]: string } & ParamsOfPart<After>
    : Named extends `${infer Name}.${infer After}`
      ? { [Key in Name]: string } & ParamsOfPart<After>
      : Named extends `${infer Name}*`
        ? { [Key in Name]: string }
        : { [Key in Named]: string };

/** One object type instead of an intersection, so that editors show it as it would be written by hand. */
type Flat<T> = { [Key in keyof T]: T[Key] };

export interface ParsedRoute {
  /** Upper case, or `*` for every method. */
  readonly method: string;
  /** A find-my-way pattern. */
  readonly path: string;
}

/** Throws an error that names the route and what is wrong with it. */
export function parseRoute(route: string): ParsedRoute {
  const space = route.startsWith("/") ? -1 : route.indexOf(" ");
  const method = space < 0 ? "*" : route.slice(0, space);
  const path = route.slice(space + 1);
  if (method !== "*" && !methods.some((known) => known === method)) {
    throw invalid(route, `"${method}" is not a method; use ${methods.join(", ")}, or leave it out for all of them`);
  }
  if (!path.startsWith("/")) throw invalid(route, `the path "${path}" must begin with "/"`);
  const seen = new Set<string>();
  for (const part of partsOf(route, path)) {
    if (part.kind === "text") continue;
    if (seen.has(part.name)) throw invalid(route, `the parameter ":${part.name}" stands in it twice`);
    seen.add(part.name);
  }
  return { method, path };
}

/** The parameters of a path under a route, or null when it does not match. For calls without the platform's router. */
export function matchPath(route: string, pathname: string): Record<string, string> | null {
  const names: string[] = [];
  let pattern = "^";
  for (const part of partsOf(route, parseRoute(route).path)) {
    if (part.kind === "text") {
      pattern += part.text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
      continue;
    }
    names.push(part.name);
    if (part.kind === "rest") pattern += "(.*)";
    else if (part.isOptional && pattern === "^/") pattern += "([^/]+)?";
    else if (part.isOptional) pattern = `${pattern.replace(/\/$/, "")}(?:/([^/]*))?`;
    else pattern += "([^/]*?)";
  }
  const match = new RegExp(`${pattern}$`).exec(pathname);
  if (match === null) return null;
  const params: Record<string, string> = {};
  for (const [index, name] of names.entries()) {
    const value = match[index + 1];
    if (value !== undefined) params[name] = decodeURIComponent(value);
  }
  return params;
}

type Part =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "param"; readonly name: string; readonly isOptional: boolean }
  | { readonly kind: "rest"; readonly name: "*" };

function* partsOf(route: string, path: string): Generator<Part> {
  const token = /::|:([^/.\-:(*?]*)(\?)?|\*|[^:*]+/g;
  let isAfterParam = false;
  for (const match of path.matchAll(token)) {
    const [text, name, mark] = match;
    const isLast = match.index + text.length === path.length;
    if (text === "*") {
      if (!isLast) throw invalid(route, `"*" may only be its last character`);
      if (isAfterParam) throw invalid(route, `"*" must not follow a parameter directly`);
      yield { kind: "rest", name: "*" };
    } else if (text === "::") {
      if (isAfterParam) throw invalid(route, `"::" must not follow a parameter directly`);
      yield { kind: "text", text: ":" };
    } else if (name === undefined) {
      checkText(route, text);
      yield { kind: "text", text };
    } else {
      if (isAfterParam) throw invalid(route, `":${name}" needs a "/", "-" or "." before it`);
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw invalid(route, `":${name}" is not a name for a parameter`);
      const isOptional = mark === "?";
      if (isOptional && (!isLast || path[match.index - 1] !== "/")) {
        throw invalid(route, `":${name}?" may only be its whole last part`);
      }
      yield { kind: "param", name, isOptional };
    }
    isAfterParam = name !== undefined;
  }
}

function checkText(route: string, text: string): void {
  if (text.startsWith("(")) {
    // The platform's router runs in a process that all apps share: one slow pattern would hold up every other app.
    throw invalid(route, "patterns in parentheses are not supported; check the value in the handler");
  }
  // oxlint-disable-next-line no-control-regex -- control characters are what it is about
  const wrong = /[\u0000-\u0020\u007f?#]/.exec(text);
  if (wrong !== null) throw invalid(route, `the path must not hold ${JSON.stringify(wrong[0])}`);
}

function invalid(route: string, reason: string): Error {
  return new Error(`route "${route}": ${reason}`);
}
