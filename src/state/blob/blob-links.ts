/**
 * Signed links: whoever has one may put or get one blob until it expires, without a function that runs meanwhile. They are
 * given out to code of the app and to its developers, and served by the HTTP door (`doors/http/link-requests.ts`).
 */
import {
  type BlobLink,
  type BlobLinks,
  downloadPath,
  type OpenBlob,
  type UploadLink,
  uploadPath,
} from "../../contract/blob-links.ts";
import type { Environment } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import type { Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import {
  type Args,
  assertResourceName,
  invalidArg,
  optionalInteger,
  optionalText,
  optionalTruth,
} from "../arguments.ts";
import type { EnvironmentRegistry } from "../environments.ts";
import { keyArg } from "../keyed.ts";
import { blobKey, refKey } from "./blob-keys.ts";
import type { BlobTransfers } from "./blob-transfers.ts";
import { createLinkSecret } from "./link-secret.ts";
import { invalidLink, linkQuery, readLink } from "./link-text.ts";

export interface GivenLink {
  readonly url: string;
  readonly method: BlobLink["method"];
  readonly expiresAtMs: number;
}

export interface LinkOffice extends BlobLinks {
  /**
   * `args` is unknown input: {key, method?, expiresInMs?, origin?}, and for PUT {maxBytes?, contentType?, ifAbsent?}, for GET
   * {disposition?, filename?}. `askedAt`: the origin of the request in whose name it is asked for. Throws REQUEST_INVALID.
   */
  give(environment: Environment, store: string, args: Args, askedAt: string | null): Promise<GivenLink>;
}

export interface LinkOptions {
  readonly keyspace: Keyspace;
  readonly environments: EnvironmentRegistry;
  readonly transfers: BlobTransfers;
  /** Where the app answers, without a slash at the end: `askedAt`, if the app answers there under its own name. */
  readonly originOf: (app: string, alias: string, askedAt: string | null) => string;
}

const argNames = {
  GET: ["key", "method", "expiresInMs", "origin", "disposition", "filename"],
  PUT: ["key", "method", "expiresInMs", "origin", "maxBytes", "contentType", "ifAbsent"],
} as const;

export function createBlobLinks({ keyspace, environments, transfers, originOf }: LinkOptions): LinkOffice {
  const secretOf = createLinkSecret(keyspace);
  const underWay = new Map<number, number>();

  /** Until the answer is called. */
  function take({ id }: Environment): () => void {
    const count = underWay.get(id) ?? 0;
    if (count >= limits.blobLinkTransfers) {
      const message = `${count} blobs of the app are on their way through links already`;
      throw new AloftError("KEYSPACE_BUSY", message, { hint: "try again in a moment" });
    }
    underWay.set(id, count + 1);
    return () => {
      const left = (underWay.get(id) ?? 1) - 1;
      if (left === 0) underWay.delete(id);
      else underWay.set(id, left);
    };
  }

  return {
    async give(environment, store, args, askedAt) {
      const link = linkOf(store, args, keyspace.clock.nowMs());
      refKey(environment, anyHash, store, link.key); // throws what an upload would, after all its bytes
      const origin = originArg(args) ?? originOf(environment.app, environment.alias, askedAt);
      const query = linkQuery(await secretOf(), environment, link);
      const path = link.method === "PUT" ? uploadPath : downloadPath;
      // A "+" would be a space to some readers, and a plus to others.
      const url = `${origin}${path}?${query.toString().replaceAll("+", "%20")}`;
      return { url, method: link.method, expiresAtMs: link.expiresAtMs };
    },

    async check(app, alias, method, query) {
      // None is made for a stranger: without one no link was given out.
      const environment = await environments.find(app, alias);
      if (environment === null) throw invalidLink();
      const link = readLink(await secretOf(), environment, method, query);
      if (keyspace.clock.nowMs() < link.expiresAtMs) return { link, environment };
      const message = `the link has expired at ${new Date(link.expiresAtMs).toISOString()}`;
      throw new AloftError("LINK_EXPIRED", message, { hint: "ask whoever gave you the link for a new one" });
    },

    async put(environment, link, given, chunks) {
      const contentType = contentTypeFor(link, given);
      const { store, key, ifAbsent } = link;
      if (ifAbsent) {
        const [entry = null] = await keyspace.get([blobKey(environment, store, key)]);
        if (entry !== null) throw exists(link);
      }
      const leave = take(environment);
      try {
        const { isDone, hash, size } = await transfers.put(environment, { store, key, contentType, ifAbsent }, chunks);
        if (!isDone) throw exists(link);
        return { hash, size };
      } finally {
        leave();
      }
    },

    async open(environment, { store, key }) {
      const leave = take(environment);
      let found: OpenBlob | null = null;
      try {
        found = await transfers.open(environment, store, key);
        if (found === null) throw new AloftError("BLOB_NOT_FOUND", "the blob that the link leads to is not there");
      } catch (error) {
        leave();
        throw error;
      }
      const { close } = found;
      return { ...found, close: () => close().finally(leave) };
    },
  };
}

const anyHash = "0".repeat(64);

function linkOf(store: string, args: Args, nowMs: number): BlobLink {
  assertResourceName("blob", store);
  const method = args["method"] ?? "GET";
  if (method !== "GET" && method !== "PUT") throw invalidArg("method", 'must be "GET" or "PUT"');
  const known: readonly string[] = argNames[method];
  const unknown = Object.keys(args).find((name) => args[name] !== undefined && !known.includes(name));
  if (unknown !== undefined) throw invalidArg(unknown, `is not of a link for ${method}; allowed: ${known.join(", ")}`);
  const expiresInMs = optionalInteger(args, "expiresInMs", limits.blobLinkMinMs, limits.blobLinkMaxMs);
  const common = { store, key: keyArg(args), expiresAtMs: nowMs + (expiresInMs ?? limits.blobLinkMs) };
  if (method === "PUT") {
    return {
      method,
      ...common,
      bytesMax: optionalInteger(args, "maxBytes", 0, limits.blobBytes) ?? limits.blobLinkBytes,
      contentType: typeArg(args),
      ifAbsent: optionalTruth(args, "ifAbsent"),
    };
  }
  const disposition = args["disposition"] ?? "attachment";
  if (disposition !== "attachment" && disposition !== "inline")
    throw invalidArg("disposition", 'must be "attachment" or "inline"');
  const filename = optionalText(args, "filename");
  if (
    filename !== null &&
    (filename === "" || filename.length > limits.blobFilenameChars || /[\p{Cc}/\\]/u.test(filename))
  )
    throw invalidArg("filename", `must have 1 to ${limits.blobFilenameChars} characters, and none of them / or \\`);
  return { method, ...common, disposition, filename };
}

function typeArg(args: Args): string | null {
  const type = optionalText(args, "contentType");
  if (type === null || (type.length <= 200 && /^[!-~]+\/[!-~](?:[ -~]*[!-~])?$/.test(type))) return type;
  throw invalidArg("contentType", 'must be a content type such as "image/png", or "image/*"');
}

function originArg(args: Args): string | null {
  const origin = optionalText(args, "origin");
  if (origin === null) return null;
  const url = URL.parse(origin);
  if (url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) return url.origin;
  throw invalidArg("origin", "must be like https://files.example.com: no path, no query");
}

/** Parameters (`; charset=utf-8`) are the uploader's own. */
function contentTypeFor(link: UploadLink, given: string | null): string {
  const wanted = link.contentType;
  const isAnyOf = wanted?.endsWith("/*") === true;
  if (given === null && !isAnyOf) return wanted ?? "application/octet-stream";
  if (wanted === null) return given ?? "application/octet-stream";
  const plain = (type: string): string => (type.split(";", 1)[0] ?? "").trim().toLowerCase();
  const type = plain(given ?? "");
  if (isAnyOf ? type.startsWith(plain(wanted).slice(0, -1)) : type === plain(wanted)) return given ?? wanted;
  const message = `the upload is ${type === "" ? "of no content type" : type}, the link is for ${wanted}`;
  throw new AloftError("CONTENT_TYPE_REFUSED", message, { hint: "send the header content-type" });
}

function exists({ key }: UploadLink): AloftError {
  return new AloftError("BLOB_EXISTS", `there is a blob "${key.slice(0, 200)}" already, and the link is for a new one`);
}
