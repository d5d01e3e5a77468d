/**
 * One walk over a request's headers on their way in: what the door must know of them is noted, what belongs to this
 * connection alone or only the platform may say is dropped, and the rest becomes the text that the wire carries.
 *
 * - Hop by hop (RFC 9110 7.6.1): Connection and what it names, Keep-Alive, Proxy-*, TE, Trailer, Transfer-Encoding,
 *   Upgrade, and Expect, which the door itself answers. Connection cannot name away what the platform relies on.
 * - `aloft-*` is the platform's own; `traceparent` travels apart; `tracestate` goes with a valid traceparent or not at all.
 * - `X-Forwarded-*`, `Forwarded` and `X-Real-IP` are what the last proxy says. With no trusted proxy they are replaced by
 *   what this server sees; behind one they are kept and added to.
 * - Two hosts, two lengths, a length beside an encoding, or an encoding but chunked is refused: each lets two
 *   readers of one stream find different requests in it (RFC 9112 6.3).
 */
import type { IncomingMessage } from "node:http";
import { isIPv6 } from "node:net";
import type { Socket } from "node:net";
import { isTraceparent } from "../../lib/ids.ts";

/** Filled anew by each scan; one object serves a door. */
export interface HeaderScan {
  /** Names in lower case and values, in turn, joined by \n: no header holds one. */
  headers: string;
  host: string | null;
  aloftApp: string | null;
  /** -1: not said. */
  contentLength: number;
  isChunked: boolean;
  contentType: string | null;
  /** In lower case. */
  expect: string | null;
  /** The caller's when it is fit to be repeated in an answer, else the invocation's; `headers` has it too. */
  requestId: string;
  /** A valid one, and the only one. */
  traceparent: string | null;
  /** Who asked, as far as it is known: the peer, or behind a trusted proxy the last address that one has written. */
  remoteAddress: string;
  /** `http` or `https`, as the client used it. */
  protocol: string;
}

/** What is the same for all requests of a connection. */
export interface Peer {
  readonly address: string;
  readonly protocol: string;
  readonly port: string;
  /** Its `X-Forwarded-*` lines but for the host. */
  readonly forwardedText: string;
}

export function createPeer(remoteAddress: string, protocol: "http" | "https", localPort: number): Peer {
  const address = remoteAddress.startsWith("::ffff:") ? remoteAddress.slice(7) : remoteAddress;
  const port = String(localPort);
  return { address, protocol, port, forwardedText: forwardedLines(address, protocol, port) };
}

export function createHeaderScan(): HeaderScan {
  const out = { headers: "" } as HeaderScan;
  clear(out, "");
  return out;
}

/** Returns what is wrong with the headers, "" for nothing; `out` can be used for a refusal either way. */
export function scanHeaders(req: IncomingMessage, trustsProxy: boolean, invocationId: string, out: HeaderScan): string {
  return scanRawHeaders(req.rawHeaders, peerOf(req.socket), trustsProxy, invocationId, out);
}

/** `rawHeaders` as node:http gives them: names and values in turn. */
export function scanRawHeaders(
  rawHeaders: readonly string[],
  peer: Peer,
  trustsProxy: boolean,
  invocationId: string,
  out: HeaderScan,
): string {
  clear(out, invocationId);
  const complaint = walk(rawHeaders, null, trustsProxy, out);
  if (complaint !== "") return complaint;
  const named = kept.connection === null ? null : namedByConnection(kept.connection);
  if (named !== null) walk(rawHeaders, named, trustsProxy, clear(out, invocationId));
  if (out.isChunked && out.contentLength >= 0) return "both content-length and transfer-encoding are present";
  finishTrace(out);
  add("x-request-id", out.requestId);
  finishForwarded(out, peer);
  return "";
}

const peers = new WeakMap<Socket, Peer>();

function peerOf(socket: Socket): Peer {
  let peer = peers.get(socket);
  if (peer === undefined) {
    const protocol = "encrypted" in socket ? "https" : "http";
    peer = createPeer(socket.remoteAddress ?? "", protocol, socket.localPort ?? 0);
    peers.set(socket, peer);
  }
  return peer;
}

/** What a walk collects beside the scan; module state, for a walk is synchronous. */
const kept = {
  text: "",
  connection: null as string | null,
  traceparents: 0,
  tracestate: null as string | null,
  forwarded: null as string | null,
  forwardedFor: null as string | null,
  forwardedHost: null as string | null,
  forwardedPort: null as string | null,
  forwardedProto: null as string | null,
};

function clear(out: HeaderScan, invocationId: string): HeaderScan {
  kept.text = "";
  kept.connection = null;
  kept.traceparents = 0;
  kept.tracestate = null;
  kept.forwarded = null;
  kept.forwardedFor = null;
  kept.forwardedHost = null;
  kept.forwardedPort = null;
  kept.forwardedProto = null;
  out.headers = "";
  out.host = null;
  out.aloftApp = null;
  out.contentLength = -1;
  out.isChunked = false;
  out.contentType = null;
  out.expect = null;
  out.requestId = invocationId;
  out.traceparent = null;
  out.remoteAddress = "";
  out.protocol = "";
  return out;
}

function walk(
  rawHeaders: readonly string[],
  named: ReadonlySet<string> | null,
  trustsProxy: boolean,
  out: HeaderScan,
): string {
  let text = "";
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] as string).toLowerCase();
    const value = rawHeaders[index + 1] as string;
    // Most headers are told apart from the special ones by their first letter.
    switch (name.charCodeAt(0)) {
      case 0x61: // a
        if (!name.startsWith("aloft-")) break;
        if (name === "aloft-app") {
          if (out.aloftApp !== null) return "there is more than one aloft-app header";
          out.aloftApp = value;
        }
        continue;
      case 0x63: // c
        if (name === "content-length") {
          const length = /^\d{1,15}$/.test(value) ? Number(value) : -1;
          if (length < 0) return "the content-length is not a number";
          if (out.contentLength === length) continue;
          if (out.contentLength >= 0) return "there are two different content-lengths";
          out.contentLength = length;
        } else if (name === "content-type") {
          out.contentType = value;
        } else if (name === "connection") {
          kept.connection = joined(kept.connection, value);
          continue;
        }
        break;
      case 0x65: // e
        if (name !== "expect") break;
        out.expect = value.toLowerCase();
        continue;
      case 0x66: // f
        if (name !== "forwarded") break;
        if (trustsProxy) kept.forwarded = joined(kept.forwarded, value);
        continue;
      case 0x68: // h
        if (name !== "host") break;
        if (out.host !== null) return "there is more than one host header";
        out.host = value;
        break;
      case 0x6b: // k
        if (name === "keep-alive") continue;
        break;
      case 0x70: // p
        if (name.startsWith("proxy-")) continue;
        break;
      case 0x74: // t
        if (name === "te" || name === "trailer") continue;
        if (name === "transfer-encoding") {
          if (out.isChunked || value.toLowerCase() !== "chunked") return "the transfer-encoding is not chunked alone";
          out.isChunked = true;
          continue;
        }
        if (name === "traceparent") {
          kept.traceparents += 1;
          out.traceparent = value;
          continue;
        }
        if (name === "tracestate") {
          kept.tracestate = joined(kept.tracestate, value);
          continue;
        }
        break;
      case 0x75: // u
        if (name === "upgrade") continue;
        break;
      case 0x78: // x
        if (name === "x-request-id") {
          if (/^[\x21-\x7e]{1,200}$/.test(value)) out.requestId = value;
          continue;
        } else if (name.startsWith("x-forwarded-")) {
          if (!trustsProxy || keepForwarded(name, value)) continue;
        } else if (name === "x-real-ip" && !trustsProxy) continue;
        break;
      default:
    }
    if (named !== null && named.has(name)) continue;
    text += text === "" ? `${name}\n${value}` : `\n${name}\n${value}`;
  }
  kept.text = text;
  return "";
}

/** Whether it is one of the four that are written anew. */
function keepForwarded(name: string, value: string): boolean {
  if (name === "x-forwarded-for") kept.forwardedFor = joined(kept.forwardedFor, value);
  else if (name === "x-forwarded-proto") kept.forwardedProto = value;
  else if (name === "x-forwarded-host") kept.forwardedHost = value;
  else if (name === "x-forwarded-port") kept.forwardedPort = value;
  else return false;
  return true;
}

function finishTrace(out: HeaderScan): void {
  if (out.traceparent === null) return;
  if (kept.traceparents > 1 || !isTraceparent(out.traceparent)) out.traceparent = null;
  else if (kept.tracestate !== null) add("tracestate", kept.tracestate);
}

function finishForwarded(out: HeaderScan, peer: Peer): void {
  out.remoteAddress = peer.address;
  out.protocol = peer.protocol;
  if (kept.forwardedFor === null && kept.forwardedProto === null && kept.forwardedPort === null) {
    kept.text += kept.text === "" ? peer.forwardedText : `\n${peer.forwardedText}`;
  } else {
    out.remoteAddress = kept.forwardedFor === null ? peer.address : lastOf(kept.forwardedFor);
    out.protocol = kept.forwardedProto === null ? peer.protocol : protocolOf(kept.forwardedProto, peer.protocol);
    const addresses = joined(kept.forwardedFor, peer.address);
    const lines = forwardedLines(addresses, out.protocol, kept.forwardedPort ?? peer.port);
    kept.text += kept.text === "" ? lines : `\n${lines}`;
  }
  const host = kept.forwardedHost ?? out.host;
  if (host !== null) add("x-forwarded-host", host);
  if (kept.forwarded !== null) add("forwarded", `${kept.forwarded}, ${forwardedElement(peer, out.host)}`);
  out.headers = kept.text;
}

function add(name: string, value: string): void {
  kept.text += kept.text === "" ? `${name}\n${value}` : `\n${name}\n${value}`;
}

function forwardedLines(addresses: string, protocol: string, port: string): string {
  return `x-forwarded-for\n${addresses}\nx-forwarded-proto\n${protocol}\nx-forwarded-port\n${port}`;
}

/** RFC 7239: what is no token is quoted. */
function forwardedElement(peer: Peer, host: string | null): string {
  const address = isIPv6(peer.address) ? `"[${peer.address}]"` : peer.address;
  const hostPart = host === null ? "" : `;host="${host.replaceAll(/["\\]/g, "\\$&")}"`;
  return `for=${address};proto=${peer.protocol}${hostPart}`;
}

function lastOf(list: string): string {
  return list.slice(list.lastIndexOf(",") + 1).trim();
}

/** The first of a list is the one nearest to the client; what is neither of the two is not believed. */
function protocolOf(list: string, otherwise: string): string {
  const first = (list.split(",", 1)[0] ?? "").trim().toLowerCase();
  return first === "http" || first === "https" ? first : otherwise;
}

function joined(before: string | null, value: string): string {
  return before === null ? value : `${before}, ${value}`;
}

/** Naming these would take from the function what the platform or a proxy put there for it, a known way to attack. */
const neverNamed: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "content-type",
  "content-encoding",
  "authorization",
  "cookie",
  "origin",
  "referer",
  "x-request-id",
  "x-real-ip",
]);

/** null in the usual cases: keep-alive, close, and what is dropped anyway. */
function namedByConnection(value: string): ReadonlySet<string> | null {
  if (/^(?:keep-alive|close)$/i.test(value)) return null;
  const names = value.split(",").map((name) => name.trim().toLowerCase());
  const wanted = names.filter((name) => name !== "" && !neverNamed.has(name) && !name.startsWith("x-forwarded-"));
  return wanted.length === 0 ? null : new Set(wanted);
}
