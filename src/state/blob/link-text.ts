/**
 * A signed link as text: its parts stand in the query, readable, and the signature covers them as they were read, together
 * with whose link it is. So two spellings of one query are one link, and nothing in it can be changed.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { BlobLink } from "../../contract/blob-links.ts";
import type { Environment } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";

const names = {
  PUT: ["store", "key", "expires", "max", "type", "absent", "signature"],
  GET: ["store", "key", "expires", "disposition", "filename", "signature"],
} as const;

/** The query of the link, signature and all. */
export function linkQuery(secret: Uint8Array, environment: Environment, link: BlobLink): URLSearchParams {
  const { store, key, expiresAtMs } = link;
  const query = new URLSearchParams({ store, key, expires: String(expiresAtMs) });
  if (link.method === "PUT") {
    query.set("max", String(link.bytesMax));
    if (link.contentType !== null) query.set("type", link.contentType);
    if (link.ifAbsent) query.set("absent", "true");
  } else {
    query.set("disposition", link.disposition);
    if (link.filename !== null) query.set("filename", link.filename);
  }
  query.set("signature", signatureOf(secret, environment, link).toString("base64url"));
  return query;
}

/** Throws LINK_INVALID: it is not as it was given out. Whether it has expired is not looked at. */
export function readLink(
  secret: Uint8Array,
  environment: Environment,
  method: BlobLink["method"],
  query: URLSearchParams,
): BlobLink {
  const link = parseLink(method, query);
  const given = Buffer.from(query.get("signature") ?? "", "base64url");
  const expected = signatureOf(secret, environment, link);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw invalidLink();
  return link;
}

function parseLink(method: BlobLink["method"], query: URLSearchParams): BlobLink {
  const known: readonly string[] = names[method];
  const seen = new Set<string>();
  for (const name of query.keys()) {
    if (!known.includes(name) || seen.has(name)) throw invalidLink();
    seen.add(name);
  }
  const [store, key, expiresAtMs] = [query.get("store"), query.get("key"), numberIn(query, "expires")];
  if (store === null || key === null) throw invalidLink();
  if (method === "PUT") {
    const bytesMax = numberIn(query, "max");
    return {
      method,
      store,
      key,
      expiresAtMs,
      bytesMax,
      contentType: query.get("type"),
      ifAbsent: query.get("absent") === "true",
    };
  }
  const disposition = query.get("disposition") === "inline" ? "inline" : "attachment";
  return { method, store, key, expiresAtMs, disposition, filename: query.get("filename") };
}

function numberIn(query: URLSearchParams, name: string): number {
  const text = query.get(name) ?? "";
  if (!/^\d{1,15}$/.test(text)) throw invalidLink();
  return Number(text);
}

/** Of a list as JSON: no part can run into the next one. */
function signatureOf(secret: Uint8Array, { app, alias, id, generation }: Environment, link: BlobLink): Buffer {
  const own =
    link.method === "PUT" ? [link.bytesMax, link.contentType, link.ifAbsent] : [link.disposition, link.filename];
  const { method, store, key, expiresAtMs } = link;
  const signed = JSON.stringify([
    "aloft blob link 1",
    app,
    alias,
    id,
    generation,
    method,
    store,
    key,
    expiresAtMs,
    own,
  ]);
  return createHmac("sha256", secret).update(signed).digest();
}

export function invalidLink(): AloftError {
  return new AloftError("LINK_INVALID", "the link is not one that this app has given out, or it was changed", {
    hint: "ask whoever gave you the link for a new one",
  });
}
