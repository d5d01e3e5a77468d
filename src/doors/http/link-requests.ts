/**
 * What the platform itself answers below every app, at `/.aloft/`: signed links of blobs. Bytes go between the client and the
 * disk and through no instance; an upload is cut off at the link's limit while it streams.
 *
 * What an uploader has sent is served under the host of the app, so it must not be able to act there: it is saved and not
 * shown unless the link says otherwise, nobody guesses another type for it, and what is shown runs no script and belongs to no
 * origin. Any page may use a link from its own scripts, for the link is the permission, and no cookie counts.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  type BlobLinks,
  type DownloadLink,
  downloadPath,
  type OpenBlob,
  type UploadLink,
  uploadPath,
} from "../../contract/blob-links.ts";
import type { LiveDeployment } from "../../contract/deployment.ts";
import type { Environment } from "../../contract/durable.ts";
import { AloftError, asAloftError } from "../../contract/errors.ts";
import { limits } from "../../contract/limits.ts";
import { parseByteRange } from "../../lib/byte-range.ts";
import { writeChunks } from "../../lib/write-chunks.ts";
import { contentDisposition } from "./content-disposition.ts";
import { sendProblem } from "./problems.ts";
import { bodyWithin, letThrough } from "./upload-body.ts";

export interface LinkRequest {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly live: LiveDeployment;
  /** Decoded. */
  readonly path: string;
  readonly query: string;
  readonly requestId: string;
  /** -1: not said. */
  readonly contentLength: number;
  readonly hasBody: boolean;
}

/** The answer as it was sent, for the record. */
export interface LinkAnswer {
  readonly status: number;
  readonly error: AloftError | null;
}

const methods = { [downloadPath]: ["GET", "HEAD"], [uploadPath]: ["PUT"] } as const;

/** Never rejects. */
export async function answerLink(
  links: BlobLinks,
  request: LinkRequest,
  onBug: (error: unknown) => void,
): Promise<LinkAnswer> {
  const { res } = request;
  res.setHeader("access-control-allow-origin", "*");
  res.setHeader("access-control-expose-headers", "etag, content-range, content-disposition, x-request-id");
  res.setHeader("x-content-type-options", "nosniff");
  try {
    return { status: await answer(links, request), error: null };
  } catch (thrown) {
    const isGone = request.req.destroyed && !request.req.complete;
    const error = isGone
      ? new AloftError("INVOCATION_CANCELLED", "the client went away before its upload was complete")
      : asAloftError(thrown);
    if (error.code === "INTERNAL") onBug(error.cause ?? error);
    refuse(request, error);
    return { status: error.status, error };
  }
}

async function answer(links: BlobLinks, request: LinkRequest): Promise<number> {
  const { req, res, live, path, query, requestId } = request;
  const method = req.method ?? "GET";
  if (path !== downloadPath && path !== uploadPath) {
    throw new AloftError("ROUTE_NOT_FOUND", `the platform has nothing at ${path.slice(0, 200)}`);
  }
  const allowed: readonly string[] = methods[path];
  if (method === "OPTIONS") {
    // Of a page on another host, before its script may send the request itself (https://fetch.spec.whatwg.org/#cors-preflight-fetch).
    const allow = allowed.join(", ");
    res.writeHead(204, {
      allow,
      "access-control-allow-methods": allow,
      "access-control-allow-headers": "content-type, range, if-none-match, if-range",
      "access-control-max-age": "600",
      "x-request-id": requestId,
    });
    res.end();
    return 204;
  }
  if (!allowed.includes(method)) {
    const message = `${method} is not what this link is for; allowed: ${allowed.join(", ")}`;
    throw new AloftError("METHOD_NOT_ALLOWED", message);
  }
  const kind = path === uploadPath ? "PUT" : "GET";
  const { link, environment } = await links.check(live.app, live.alias, kind, new URLSearchParams(query));
  if (link.method === "PUT") return await upload(links, environment, link, request);
  const blob = await links.open(environment, link);
  try {
    return await download(blob, link, request);
  } finally {
    await blob.close();
  }
}

async function upload(
  links: BlobLinks,
  environment: Environment,
  link: UploadLink,
  { req, res, requestId, contentLength }: LinkRequest,
): Promise<number> {
  const body = bodyWithin(req, contentLength, link.bytesMax);
  const { hash, size } = await links.put(environment, link, req.headers["content-type"] ?? null, body);
  const text = JSON.stringify({ store: link.store, key: link.key, size, hash });
  res.writeHead(201, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    etag: `"${hash}"`,
    "x-request-id": requestId,
  });
  res.end(text);
  return 201;
}

async function download(blob: OpenBlob, link: DownloadLink, { req, res, requestId }: LinkRequest): Promise<number> {
  const { hash, size, contentType } = blob.entry.value;
  const etag = `"${hash}"`;
  const { range: rangeHeader, "if-range": ifRange, "if-none-match": ifNoneMatch } = req.headers;
  const common = {
    etag,
    "cache-control": "private, no-cache", // kept by the client, and asked for again by its etag
    "accept-ranges": "bytes",
    "x-request-id": requestId,
  };
  if (ifNoneMatch !== undefined && names(ifNoneMatch, etag)) {
    res.writeHead(304, common);
    res.end();
    return 304;
  }
  const range = parseByteRange(ifRange === undefined || ifRange === etag ? rangeHeader : undefined, size);
  if (range.kind === "none") {
    res.setHeader("content-range", `bytes */${size}`);
    throw new AloftError("RANGE_INVALID", `the blob has ${size} bytes, and "${rangeHeader}" is none of them`);
  }
  const [start, end] = range.kind === "whole" ? [0, size] : [range.start, range.end];
  const status = range.kind === "whole" ? 200 : 206;
  res.writeHead(status, {
    ...common,
    "content-type": contentType,
    "content-length": end - start,
    "content-disposition": contentDisposition(link),
    "cross-origin-resource-policy": "cross-origin",
    "referrer-policy": "no-referrer", // the address is the permission
    "content-security-policy": policyFor(contentType),
    ...(status === 206 ? { "content-range": `bytes ${start}-${end - 1}/${size}` } : {}),
  });
  if (req.method === "HEAD") res.end();
  else if (await writeChunks(res, blob.chunks(start, end), limits.responseIdleMs)) res.end();
  else {
    res.destroy();
    throw new AloftError("INVOCATION_CANCELLED", "the client took no more before the download was complete");
  }
  return status;
}

/** Browsers show a PDF in a viewer of their own, without the page's origin, and none that is in a sandbox. */
function policyFor(contentType: string): string {
  const policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:";
  return contentType.toLowerCase() === "application/pdf" ? policy : `${policy}; sandbox`;
}

/** If-None-Match: a list of tags, where weak ones count as well (RFC 9110 13.1.2). */
function names(header: string, etag: string): boolean {
  return header.trim() === "*" || header.split(",").some((one) => one.trim().replace(/^W\//, "") === etag);
}

/** A client that still sends its body would find the connection broken, and never read why. */
function refuse({ req, res, requestId, hasBody, path }: LinkRequest, error: AloftError): void {
  const isClosing = hasBody && !req.complete;
  const allow = error.code === "METHOD_NOT_ALLOWED" ? methods[path as keyof typeof methods].join(", ") : "";
  if (!isClosing || res.headersSent || res.destroyed) {
    sendProblem(res, error, { requestId, isClosing, allow });
    return;
  }
  sendProblem(res, error, { requestId, isClosing, allow, before: () => letThrough(req) });
}
