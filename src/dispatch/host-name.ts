/** The name or address in a Host header or an absolute request target (RFC 9110 7.2, RFC 3986 3.2.2), strictly. */
import { isIPv4, isIPv6 } from "node:net";

export interface HostName {
  readonly kind: "name" | "ipv4" | "ipv6";
  /** Lower case, without port, brackets or a dot at the end. */
  readonly name: string;
}

const withPort = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(\d{0,5}))?$/;
const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** null: not a host that HTTP allows, or one no client writes (`127.1`, an underscore, user information). */
export function parseHostName(text: string): HostName | null {
  const match = withPort.exec(text);
  if (match === null || Number(match[2] ?? 0) > 65_535) return null;
  const host = (match[1] ?? "").toLowerCase();
  if (host.startsWith("[")) {
    const address = host.slice(1, -1);
    return isIPv6(address) ? { kind: "ipv6", name: address } : null;
  }
  const name = host.endsWith(".") ? host.slice(0, -1) : host;
  if (isIPv4(name)) return { kind: "ipv4", name };
  const labels = name.split(".");
  // A name whose last part is a number is a badly written address to every URL parser.
  const endsInNumber = /^\d+$/.test(labels.at(-1) ?? "");
  const isName = name.length <= 253 && !endsInNumber && labels.every((part) => label.test(part));
  return isName ? { kind: "name", name } : null;
}

/** Whether only this machine can be meant: a page elsewhere cannot make its own name resolve to one of these. */
export function isLoopback(host: HostName): boolean {
  if (host.kind === "ipv4") return host.name.startsWith("127.");
  if (host.kind === "ipv6") return host.name === "::1" || host.name === "0:0:0:0:0:0:0:1";
  return host.name === "localhost" || host.name.endsWith(".localhost");
}
