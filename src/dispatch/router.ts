/**
 * From a request's host, method and path to the function that answers it.
 *
 *   APP.BASE, ALIAS--APP.BASE   the app, its alias `production` or the one named
 *   a domain an app holds       that app; never below BASE, where names belong to apps
 *   BASE, localhost, an address the app that the header `aloft-app: APP[@ALIAS]` names, else the default app; everywhere
 *                               else the header means nothing
 *
 * A host's answer is kept by the header's text, so that a warm request costs one lookup for the host and one for
 * the routes. Everything kept is bounded and made when first asked for: ten thousand sleeping apps cost nothing here.
 * `publish` forgets all hosts: each is resolved again in about a microsecond, and no rule is needed about which of
 * them a moved alias, a claimed domain or a new default app could have changed.
 */
import type { LiveDeployment, Manifest } from "../contract/deployment.ts";
import type { ErrorCode } from "../contract/errors.ts";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import { isAliasName, isAppName } from "../contract/names.ts";
import type { LiveSource } from "../contract/running.ts";
import { BoundedMap } from "../lib/bounded-map.ts";
import { isLoopback, parseHostName } from "./host-name.ts";
import type { HostName } from "./host-name.ts";
import { createRouteTable, matchRoute, routesText } from "./route-table.ts";
import type { RouteMatch, RouteTable } from "./route-table.ts";

export interface AppRoute {
  readonly kind: "app";
  readonly app: string;
  readonly alias: string;
  readonly live: LiveDeployment;
}

/** `detail.apps` lists what there is when the server is for its developer alone. */
export interface RouteFailure {
  readonly kind: "failure";
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
  readonly detail?: Readonly<Record<string, unknown>>;
}

export interface RouterOptions {
  readonly baseDomain: string;
  /** Accept the names and addresses of this machine only, so that no page elsewhere can reach it by its own name. */
  readonly loopbackOnly: boolean;
}

export interface AppRouter {
  /** `host`: the Host header or the authority of an absolute target, as sent; null when there is none. */
  routeApp(host: string | null, aloftApp: string | null): AppRoute | RouteFailure;
  /** `path` as `readTarget` gives it. */
  match(route: AppRoute, method: string, path: string): RouteMatch;
  /** The route of an app by name, as the control API calls it. */
  routeNamed(app: string, alias: string): AppRoute | RouteFailure;
  /** From now on (app, alias) is this deployment, or nothing. To be called after `LiveSource` knows it. */
  publish(app: string, alias: string, live: LiveDeployment | null): void;
}

export const productionAlias = "production";

/** A route as it is kept, with its table once it was asked for. */
interface KeptRoute extends AppRoute {
  table: RouteTable | null;
}

/** What a host stands for: a route, or the apps that header and default choose from. */
type HostEntry = KeptRoute | "bare";

export function createRouter(source: LiveSource, options: RouterOptions): AppRouter {
  const base = options.baseDomain.toLowerCase();
  const belowBase = `.${base}`;
  const hosts = new BoundedMap<string, HostEntry>(limits.hostsKept);
  const routes = new BoundedMap<string, KeptRoute>(limits.hostsKept);
  const tables = new BoundedMap<string, RouteTable>(limits.routeTablesKept);

  function routeApp(host: string | null, aloftApp: string | null): AppRoute | RouteFailure {
    const entry = host === null ? "bare" : hosts.get(host);
    if (entry === "bare") return routeBare(aloftApp);
    return entry ?? routeNewHost(host ?? "", aloftApp);
  }

  function routeNewHost(text: string, aloftApp: string | null): AppRoute | RouteFailure {
    const host = parseHostName(text);
    if (host === null) return fail("REQUEST_INVALID", `the host "${shown(text)}" is not a valid name or address`);
    if (options.loopbackOnly && !isLoopback(host)) {
      return fail(
        "REQUEST_INVALID",
        `the host "${host.name}" is not this machine, and this server answers nothing else`,
        {
          hint: `use localhost, APP.localhost or 127.0.0.1; for other names start it with "aloft serve"`,
        },
      );
    }
    const found = resolve(host);
    if (found !== "bare" && found.kind === "failure") return found;
    // Odd spellings are resolved each time, so that they cannot push the others out.
    if (isPlain(text)) hosts.set(text, found);
    return found === "bare" ? routeBare(aloftApp) : found;
  }

  function resolve(host: HostName): HostEntry | RouteFailure {
    const { name } = host;
    if (host.kind !== "name" || name === "localhost" || name === base) return "bare";
    if (!name.endsWith(belowBase)) {
      const app = source.findDomain(name);
      return app === null ? noApp(`no app answers to the host "${name}"`) : find(app, productionAlias);
    }
    const label = name.slice(0, -belowBase.length);
    const joint = label.indexOf("--");
    if (joint < 0) return find(label, productionAlias);
    return find(label.slice(joint + 2), label.slice(0, joint));
  }

  function routeBare(aloftApp: string | null): AppRoute | RouteFailure {
    if (aloftApp === null) {
      const app = source.defaultApp();
      return app === null
        ? noApp("no app has been deployed yet", 'deploy one with "aloft deploy"')
        : find(app, productionAlias);
    }
    const at = aloftApp.indexOf("@");
    return at < 0 ? find(aloftApp, productionAlias) : find(aloftApp.slice(0, at), aloftApp.slice(at + 1));
  }

  function find(app: string, alias: string): KeptRoute | RouteFailure {
    const key = routeKey(app, alias);
    const kept = routes.get(key);
    if (kept !== undefined) return kept;
    if (!isAppName(app) || !source.hasApp(app)) return noApp(`there is no app "${shown(app)}"`);
    const live = isAliasName(alias) ? source.findLive(app, alias) : null;
    if (live === null) return fail("ALIAS_NOT_FOUND", `the app "${app}" has no alias "${shown(alias)}"`);
    const route: KeptRoute = { kind: "app", app, alias, live, table: null };
    routes.set(key, route);
    return route;
  }

  function noApp(message: string, hint?: string): RouteFailure {
    const detail = options.loopbackOnly ? { apps: source.appNames() } : undefined;
    return fail("APP_NOT_FOUND", message, { ...(hint && { hint }), ...(detail && { detail }) });
  }

  function match(route: AppRoute, method: string, path: string): RouteMatch {
    // Every route comes from `find`.
    const kept = route as KeptRoute;
    kept.table ??= tableOf(route.live.manifest);
    return matchRoute(kept.table, method, path);
  }

  /** Apps whose routes read the same share a table: the many that have a default export and nothing else, to begin with. */
  function tableOf(manifest: Manifest): RouteTable {
    const text = routesText(manifest);
    const shared = tables.get(text);
    if (shared !== undefined) return shared;
    const table = createRouteTable(manifest);
    if (text.length <= limits.sharedRoutesChars) tables.set(text, table);
    return table;
  }

  function publish(app: string, alias: string, live: LiveDeployment | null): void {
    const key = routeKey(app, alias);
    if (live === null) routes.delete(key);
    else routes.set(key, { kind: "app", app, alias, live, table: null });
    hosts.clear();
  }

  return { routeApp, match, routeNamed: find, publish };
}

/** The failure as the error that the door answers with. */
export function errorOfFailure(failure: RouteFailure): AloftError {
  return new AloftError(failure.code, failure.message, { hint: failure.hint, detail: failure.detail });
}

function fail(code: ErrorCode, message: string, more: Pick<RouteFailure, "hint" | "detail"> = {}): RouteFailure {
  return { kind: "failure", code, message, ...more };
}

/** `@` is in no name. */
function routeKey(app: string, alias: string): string {
  return alias === productionAlias ? app : `${app}@${alias}`;
}

function isPlain(host: string): boolean {
  return /^[a-z0-9.:[\]-]+$/.test(host) && !/\.(?::|$)/.test(host);
}

function shown(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}
