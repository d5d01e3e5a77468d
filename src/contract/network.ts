/**
 * What an app's functions may reach: `network` of `aloft.json`. Here is what one may write, and the ranges of addresses
 * that need a word of their own; the driver of the sandbox keeps to it.
 */
import { type AddressRange, contains, parseRange, rangeOf } from "../lib/ipv4.ts";

/** `internet`: every public address. A list: these hosts and nothing else, each as it stands in `aloft.json`. */
export type NetworkPolicy = "none" | "internet" | readonly string[];

/** One of a list, read. `port` null: every port. */
export type NetworkHost =
  /** `name` in lower case. With `isWildcard` every name below it, and not itself. */
  | { readonly kind: "name"; readonly name: string; readonly isWildcard: boolean; readonly port: number | null }
  | { readonly kind: "range"; readonly range: AddressRange; readonly port: number | null };

/**
 * Nobody reaches these, whatever is listed: this machine, link-local addresses (with the clouds' metadata services, and
 * 168.63.129.16, Azure's), broadcast and multicast.
 */
export const forbiddenRanges = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "168.63.129.16/32",
  "169.254.0.0/16",
  "224.0.0.0/3",
] as const;

/**
 * Addresses of somebody's own network (IANA's registry of special-purpose addresses, RFC 6890): reached only by those who
 * list them by number. A name that leads to one does not open it.
 */
export const privateRanges = [
  "10.0.0.0/8",
  "100.64.0.0/10",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
] as const;

const forbidden = forbiddenRanges.map(rangeOf);
const closed = [...forbidden, ...privateRanges.map(rangeOf)];

export function isPublicAddress(address: number): boolean {
  return !closed.some((range) => contains(range, { first: address, bits: 32 }));
}

const label = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?";
const namePattern = new RegExp(`^(\\*\\.)?(${label}(?:\\.${label})*)$`);

/** The host, or what is wrong with it as the rest of a sentence that begins with the text. */
export function parseNetworkHost(text: string): NetworkHost | string {
  if (text.split(":").length > 2) return "is an IPv6 address, and functions have IPv4 only";
  const [host = "", portText] = text.toLowerCase().split(":");
  const port = portText === undefined ? null : /^\d{1,5}$/.test(portText) ? Number(portText) : Number.NaN;
  if (port !== null && !(port >= 1 && port <= 65_535)) return "has no port from 1 to 65535 after its colon";
  if (/^[\d./]+$/.test(host)) {
    const range = parseRange(host);
    if (range === null) return "is neither an IPv4 address nor a range such as 10.1.0.0/16";
    if (forbidden.some((each) => contains(each, range))) return "is an address that no function may reach";
    return { kind: "range", range, port };
  }
  const [, star, name = ""] = namePattern.exec(host) ?? [];
  if (name === "" || name.length > 253)
    return "is not a host such as api.example.com, *.example.com:443 or 10.1.0.0/16";
  if (name === "localhost" || name.endsWith(".localhost")) return "is this machine, which no function may reach";
  return { kind: "name", name, isWildcard: star !== undefined, port };
}

/** "" when it is a host. */
export function networkHostFault(text: string): string {
  const host = parseNetworkHost(text);
  return typeof host === "string" ? host : "";
}

/** Hosts that have been read before: texts of `aloft.json` are checked when it is. */
export function networkHostsOf(texts: readonly string[]): readonly NetworkHost[] {
  return texts.map(parseNetworkHost).filter((host) => typeof host !== "string");
}

/** Whether a name, in lower case and without a dot at its end, is listed. */
export function listsName(hosts: readonly NetworkHost[], name: string): boolean {
  return hosts.some((host) => host.kind === "name" && matchesName(host, name));
}

export function matchesName(host: { readonly name: string; readonly isWildcard: boolean }, name: string): boolean {
  return host.isWildcard ? name.endsWith(`.${host.name}`) : name === host.name;
}
