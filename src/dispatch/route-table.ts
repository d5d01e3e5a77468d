/**
 * The routes of one deployment, ready to be matched. What decides:
 *
 * - Routes of the SDK first, then what takes every remaining path (a default export, Lambda, Functions Framework).
 * - Within those, find-my-way's order by path: a fixed text before a parameter before `*`; for one path the method itself
 *   before `*`. HEAD is answered by HEAD, else GET, else `*`.
 * - `/links/` is also answered by the route `/links`, and `/links` by `/links/` and `/links/*`, when no route takes the
 *   path as it is: people type both. A parameter is never empty. Double slashes are not merged. Case counts.
 * - OPTIONS goes to the function that has a route for it; else it is answered for the methods there are.
 *
 * A table is light until it is used: find-my-way's tree for a method is built when first asked for and forgotten when
 * 2,000 others were asked for since (3.4 KB for one route, 10 KB for four, 30 us to build). Tables without parameters
 * have none. find-my-way can also compile its trees: a lookup with a parameter then takes 60 ns instead of 190, but a
 * tree 27 KB instead of 10 and 0.4 ms to build: not worth it for 0.5 % of a request.
 */
import { routesOf } from "../contract/route.ts";
import Router from "find-my-way";
import type { FunctionSpec, HandlerStyle, Manifest } from "../contract/deployment.ts";
import { limits } from "../contract/limits.ts";
import { BoundedMap } from "../lib/bounded-map.ts";

export interface FunctionMatch {
  readonly kind: "function";
  /** Index in `manifest.functions`. */
  readonly functionIndex: number;
  /** Decoded; `*` is what the wildcard took. */
  readonly params: Readonly<Record<string, string>>;
}

export type RouteMatch =
  | FunctionMatch
  /** `routes`: what the table has, "GET /links/:id" each. */
  | { readonly kind: "notFound"; readonly routes: readonly string[] }
  /** `allow`: the value of the Allow header. */
  | { readonly kind: "methodNotAllowed"; readonly allow: string; readonly routes: readonly string[] }
  /** To be answered 204 with Allow: the path exists and no route of its own takes OPTIONS. */
  | { readonly kind: "options"; readonly allow: string };

export interface RouteTable {
  /** The only route, when it takes everything. */
  readonly only: FunctionMatch | null;
  readonly tiers: readonly Tier[];
  readonly routes: readonly string[];
}

interface Route {
  readonly method: string;
  readonly path: string;
  /** What a route without parameters answers. */
  readonly match: FunctionMatch;
}

interface Tier {
  readonly routes: readonly Route[];
  readonly methods: ReadonlySet<string>;
  /** By method; `*` for all methods that have no route of their own. */
  readonly trees: Map<string, Tree>;
}

interface Tree {
  readonly fixed: ReadonlyMap<string, FunctionMatch>;
  /** Those with parameters. */
  readonly routes: readonly Route[];
}

type Finder = Router.Instance<Router.HTTPVersion.V1>;

const noParams: Readonly<Record<string, string>> = Object.freeze({});
const noQuery = Object.freeze({});

/** Of all tables together, so that the bound holds for the process. */
const finders = new BoundedMap<Tree, Finder>(limits.routeTablesKept);
/** The same routes with parameters that take at least one character, for the few paths that need them. */
const strictFinders = new BoundedMap<Tree, Finder>(limits.routeTablesKept / 10);

export function createRouteTable(manifest: Pick<Manifest, "functions">): RouteTable {
  const sdkRoutes: Route[] = [];
  const otherRoutes: Route[] = [];
  for (const [functionIndex, spec] of manifest.functions.entries()) {
    (isSdkStyle(spec.style) ? sdkRoutes : otherRoutes).push(...routeListOf(spec, functionIndex));
  }
  const all = [...sdkRoutes, ...otherRoutes];
  const first = otherRoutes[0];
  const takesAll = all.length === 1 && first !== undefined && first.method === "*" && first.path === "/*";
  return {
    only: takesAll ? first.match : null,
    tiers: takesAll ? [] : [sdkRoutes, otherRoutes].filter((routes) => routes.length > 0).map(createTier),
    routes: all.map((route) => `${route.method} ${route.path}`),
  };
}

/** Manifests with the same text here have the same table. */
export function routesText(manifest: Pick<Manifest, "functions">): string {
  const lines = manifest.functions.map(({ style, triggers }) =>
    [isSdkStyle(style) ? "sdk" : "", ...routesOf(triggers).map(({ method, path }) => `${method} ${path}`)].join(" "),
  );
  return lines.join("\n");
}

/** `path` is what `readTarget` gave: without query, percent-encoding sound. */
export function matchRoute(table: RouteTable, method: string, path: string): RouteMatch {
  if (path === "*") return { kind: "options", allow: allowOf(allMethods(table)) };
  // fetch's Request cannot be made with these two.
  const isCallable = method !== "TRACE" && method !== "CONNECT";
  if (table.only !== null && isCallable) return table.only;
  if (isCallable) {
    for (const tier of table.tiers) {
      const found = findInTier(tier, method, path);
      if (found !== null) return found;
    }
  }
  const methods = table.only === null ? methodsAt(table, path) : new Set(["*"]);
  if (methods.size === 0) return { kind: "notFound", routes: table.routes };
  const allow = allowOf(methods);
  if (method === "OPTIONS") return { kind: "options", allow };
  return { kind: "methodNotAllowed", allow, routes: table.routes };
}

function isSdkStyle(style: HandlerStyle): boolean {
  return style === "http";
}

function routeListOf(spec: FunctionSpec, functionIndex: number): Route[] {
  const match: FunctionMatch = { kind: "function", functionIndex, params: noParams };
  return routesOf(spec.triggers).flatMap(({ method, path }) =>
    withoutOptional(path).map((each) => ({ method, path: each, match })),
  );
}

/** `/posts/:page?` is `/posts/:page` and `/posts`. */
function withoutOptional(path: string): string[] {
  const match = /^(.*)\/(:[^/()?]+)\?$/.exec(path);
  return match === null ? [path] : [path.slice(0, -1), match[1] === "" ? "/" : (match[1] ?? "/")];
}

function createTier(routes: readonly Route[]): Tier {
  return { routes, methods: new Set(routes.map((route) => route.method)), trees: new Map() };
}

function findInTier(tier: Tier, method: string, path: string): FunctionMatch | null {
  const tree = treeFor(tier, method);
  const found = findInTree(tree, path);
  if (found !== null || path === "/") return found;
  return findInTree(tree, path.endsWith("/") ? path.slice(0, -1) : `${path}/`);
}

function findInTree(tree: Tree, path: string): FunctionMatch | null {
  const fixed = tree.fixed.get(path);
  if (fixed !== undefined) return fixed;
  if (path.includes("%")) {
    const decoded = tree.fixed.get(Router.sanitizeUrlPath(path));
    if (decoded !== undefined) return decoded;
  }
  if (tree.routes.length === 0) return null;
  const found = find(finderOf(tree, finders, asItIs), path);
  if (found === null || !hasEmptySegment(path) || !hasEmptyParam(found)) return found;
  return find(finderOf(tree, strictFinders, notEmpty), path);
}

function finderOf(tree: Tree, kept: BoundedMap<Tree, Finder>, pathOf: (path: string) => string): Finder {
  let finder = kept.get(tree);
  if (finder === undefined) {
    finder = createFinder(tree.routes, pathOf);
    kept.set(tree, finder);
  }
  return finder;
}

function find(finder: Finder, path: string): FunctionMatch | null {
  const found = finder.find("GET", path);
  if (found === null) return null;
  const { functionIndex } = found.store as FunctionMatch;
  return { kind: "function", functionIndex, params: found.params as Record<string, string> };
}

function treeFor(tier: Tier, method: string): Tree {
  const key = tier.methods.has(method) || (method === "HEAD" && tier.methods.has("GET")) ? method : "*";
  let tree = tier.trees.get(key);
  if (tree === undefined) {
    tree = createTree(tier, key);
    tier.trees.set(key, tree);
  }
  return tree;
}

function createTree(tier: Tier, method: string): Tree {
  const methods = method === "HEAD" ? ["HEAD", "GET", "*"] : [method, "*"];
  const taken = new Set<string>();
  const fixed = new Map<string, FunctionMatch>();
  const routes: Route[] = [];
  for (const wanted of methods) {
    for (const route of tier.routes) {
      // Two paths that differ in the names of their parameters alone are one path: the first route keeps it.
      const shape = route.path.replace(/:(?!:)[^/:().-]+/g, ":");
      if (route.method !== wanted || taken.has(shape)) continue;
      taken.add(shape);
      if (isFixed(route.path)) fixed.set(fixedPath(route.path), route.match);
      else routes.push(route);
    }
  }
  return { fixed, routes };
}

function isFixed(path: string): boolean {
  const withoutEscapes = path.replaceAll("::", "");
  return !withoutEscapes.includes(":") && !withoutEscapes.includes("*");
}

/** As `Router.sanitizeUrlPath` gives a path: decoded but for the characters that would change its structure. */
function fixedPath(path: string): string {
  return path.replaceAll("::", ":").replaceAll("%", "%25");
}

function createFinder(routes: readonly Route[], pathOf: (path: string) => string): Finder {
  // One method's worth of routes, filed under GET, which find-my-way looks up fastest.
  const finder = Router({ maxParamLength: limits.routeParamChars, querystringParser: () => noQuery });
  for (const route of routes) {
    // An expression of the app's own would run in the server, for as long as it likes.
    if (route.path.includes("(")) continue;
    try {
      finder.on("GET", pathOf(route.path), () => undefined, route.match);
    } catch {
      // A pattern that find-my-way refuses is no route; deploying checks them, so this one came another way.
    }
  }
  return finder;
}

function asItIs(path: string): string {
  return path;
}

/** find-my-way lets `:id` take an empty segment. */
function notEmpty(path: string): string {
  return path.replace(/:([^/:().*-]+)(?=\/|$)/g, ":$1(.+?)");
}

function hasEmptySegment(path: string): boolean {
  return path.charCodeAt(path.length - 1) === 47 || path.includes("//");
}

function hasEmptyParam(match: FunctionMatch): boolean {
  for (const name in match.params) if (match.params[name] === "" && name !== "*") return true;
  return false;
}

/** The methods that the path would be found for. The slow path of requests that are refused. */
function methodsAt(table: RouteTable, path: string): Set<string> {
  const found = new Set<string>();
  for (const tier of table.tiers) {
    for (const method of tier.methods) {
      if (findInTier(tier, method, path) !== null) found.add(method);
    }
  }
  return found;
}

function allMethods(table: RouteTable): Set<string> {
  return table.only === null ? new Set(table.tiers.flatMap((tier) => [...tier.methods])) : new Set(["*"]);
}

const commonMethods = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

function allowOf(methods: ReadonlySet<string>): string {
  const allowed = new Set(methods).add("OPTIONS");
  if (allowed.delete("*")) for (const method of commonMethods) allowed.add(method);
  if (allowed.has("GET")) allowed.add("HEAD");
  return [...allowed].sort().join(", ");
}
