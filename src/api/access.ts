/**
 * Who may speak to the control API. The token decides; the two checks before it keep a web page that the developer
 * happens to have open from reaching a server on the same machine:
 *
 * - On a loopback connection the Host must be a loopback name, for a page may make its own name point to 127.0.0.1 (DNS
 *   rebinding), and then the browser holds it to be that page's server.
 * - An Origin, which browsers send with every request of a page to elsewhere, must be this server itself.
 */
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { AloftError } from "../contract/errors.ts";
import type { Tokens } from "./tokens.ts";

/** Throws HOST_REFUSED or UNAUTHORIZED. */
export function assertAccess(request: IncomingMessage, tokens: Tokens): void {
  const host = request.headers.host ?? "";
  if (isLoopbackAddress(request.socket.localAddress ?? "127.0.0.1") && !isLoopbackHost(host)) {
    throw new AloftError("HOST_REFUSED", `a request to "${host}" came over the loopback interface`, {
      hint: "address it as 127.0.0.1 or localhost; a proxy on this machine must send that as Host",
    });
  }
  const origin = request.headers.origin;
  if (origin !== undefined && hostOfOrigin(origin) !== host.toLowerCase()) {
    throw new AloftError("HOST_REFUSED", `a web page of ${origin.slice(0, 200)} may not use the control API`);
  }
  const token = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? "")?.[1];
  if (token === undefined || !tokens.isValid(token)) {
    throw new AloftError(
      "UNAUTHORIZED",
      token === undefined ? "the request has no bearer token" : "the token is not valid",
      {
        hint: "pass the token that the server printed at its first start with --token, or as ALOFT_TOKEN",
      },
    );
  }
}

export function isLoopbackHost(host: string): boolean {
  const name = URL.parse(`http://${host}`)?.hostname.replace(/^\[|\]$/g, "") ?? "";
  return name === "localhost" || name.endsWith(".localhost") || (isIP(name) !== 0 && isLoopbackAddress(name));
}

function isLoopbackAddress(address: string): boolean {
  const plain = address.replace(/^::ffff:/i, "");
  return plain === "::1" || (isIP(plain) === 4 && plain.startsWith("127."));
}

/** "" for an opaque one. */
function hostOfOrigin(origin: string): string {
  return URL.parse(origin)?.host ?? "";
}
