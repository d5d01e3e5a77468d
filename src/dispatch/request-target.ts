/**
 * The request target of an HTTP/1.1 request (RFC 9112 3.2), read strictly and in one walk over its characters, so that
 * the route that is matched and the URL that the function sees cannot be two different things:
 *
 * - origin form `/path?query`; absolute form `http://host/path`, whose host then counts instead of the Host header;
 *   `*` for OPTIONS alone.
 * - Refused: percent-encoding that is broken or not UTF-8 (in the path), `.` and `..` segments also when encoded, a
 *   backslash, a fragment. URL parsers rewrite all of these, so `/public/../admin` would be routed as one path and
 *   handled as another. Clients resolve dots before they send.
 * - Bytes above ASCII, which people type and curl sends, are percent-encoded as they stand.
 * - Double slashes stay; what a trailing slash means is the route table's business.
 */
export interface RequestTarget {
  /** Without the query, percent-encoded. */
  path: string;
  /** Path and query: the origin form to hand on. */
  pathAndQuery: string;
  /** Host and port of an absolute form, else null. */
  authority: string | null;
}

const plain = 0;
const refused = 1;
const percent = 2;
const question = 3;
const dot = 4;
const high = 5;

/** Class of each Latin-1 character. */
const classes = new Uint8Array(256).fill(plain);
classes.fill(refused, 0, 0x21).fill(high, 0x80);
for (const character of "\\#\x7f") classes[character.charCodeAt(0)] = refused;
classes["%".charCodeAt(0)] = percent;
classes["?".charCodeAt(0)] = question;
classes[".".charCodeAt(0)] = dot;

/** Fills `out`, which the caller may use again for each request. Returns what is wrong with the target, "" for nothing. */
export function readTarget(method: string, target: string, out: RequestTarget): string {
  out.authority = null;
  if (target.charCodeAt(0) === 47) return readOriginForm(target, out);
  if (target === "*" && method === "OPTIONS") {
    out.path = target;
    out.pathAndQuery = target;
    return "";
  }
  const absolute = /^https?:\/\/([^/?#\\@]+)(?=[/?]|$)/i.exec(target);
  if (absolute === null) return "the request target is neither a path nor an http URL";
  const rest = target.slice(absolute[0].length);
  const complaint = readOriginForm(rest.startsWith("/") ? rest : `/${rest}`, out);
  out.authority = absolute[1] ?? null;
  return complaint;
}

function readOriginForm(target: string, out: RequestTarget): string {
  let pathEnd = -1;
  let encoded = false;
  for (let index = 1; index < target.length; index += 1) {
    const code = target.charCodeAt(index);
    const kind = code < 256 ? classes[code] : refused;
    if (kind === plain) continue;
    if (kind === refused) return "the request target holds a character that a URL cannot hold";
    if (kind === high) return readOriginForm(encodeHigh(target), out);
    if (pathEnd >= 0) continue;
    if (kind === question) pathEnd = index;
    else if (kind === percent) encoded = true;
    else if (target.charCodeAt(index - 1) === 47 && isDotSegment(target, index)) return dotComplaint;
  }
  out.pathAndQuery = target;
  out.path = pathEnd < 0 ? target : target.slice(0, pathEnd);
  return encoded ? complaintOfEncoding(out.path) : "";
}

const dotComplaint = "the path holds a . or .. segment, which clients resolve before they send";

/** Whether the dot at `index`, first of its segment, is a whole `.` or `..` segment. */
function isDotSegment(target: string, index: number): boolean {
  const end = target.charCodeAt(index + 1) === 46 ? index + 2 : index + 1;
  return end >= target.length || target.charCodeAt(end) === 47 || target.charCodeAt(end) === 63;
}

function complaintOfEncoding(path: string): string {
  try {
    decodeURIComponent(path);
  } catch {
    return "the percent-encoding of the path is broken or not UTF-8";
  }
  return /\/(?:\.|%2e){1,2}(?:\/|$)/i.test(path) ? dotComplaint : "";
}

function encodeHigh(target: string): string {
  return target.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
}
