/** Where an app and its functions answer, for people to click. */
import { routesOf } from "../contract/route.ts";
import type { FunctionSpec } from "../contract/deployment.ts";
import { productionAlias } from "../contract/names.ts";

export interface PublicAddress {
  /** Where the http door listens, e.g. "http://127.0.0.1:8787". */
  readonly httpBase: string;
  readonly baseDomain: string;
}

export interface AddressedApp {
  readonly app: string;
  readonly alias: string;
  readonly domains: readonly string[];
  readonly isDefault: boolean;
}

/** The plainest first: the host name of its own, then what only some apps have. Without a slash at the end. */
export function appUrls(address: PublicAddress, { app, alias, domains, isDefault }: AddressedApp): readonly string[] {
  const { protocol, port } = new URL(address.httpBase);
  const at = (host: string): string => `${protocol}//${host}${port === "" ? "" : `:${port}`}`;
  if (alias !== productionAlias) return [at(`${alias}--${app}.${address.baseDomain}`)];
  return [at(`${app}.${address.baseDomain}`), ...(isDefault ? [at(address.baseDomain)] : []), ...domains.map(at)];
}

/** One for each of its http routes; a function without a route has no public address. */
export function functionUrls(base: string | undefined, spec: FunctionSpec): readonly string[] {
  if (base === undefined) return [];
  const paths = routesOf(spec.triggers).map(({ path }) => path);
  return [...new Set(paths)].map((path) => base + path.replace(/\*$/, ""));
}
