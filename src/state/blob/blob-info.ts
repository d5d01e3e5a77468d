/** What is kept of a blob beside its bytes. */
import { limits } from "../../contract/limits.ts";
import type { BlobInfo } from "../../wire/blob-shapes.ts";
import { type Args, invalidArg, optionalText } from "../arguments.ts";

export function encodeInfo(info: BlobInfo): Uint8Array {
  return Buffer.from(JSON.stringify(info));
}

export function decodeInfo(stored: Uint8Array): BlobInfo {
  return JSON.parse(Buffer.prototype.utf8Slice.call(stored, 0, stored.length)) as BlobInfo;
}

/** What a put says of the content; its hash is the only thing of it that is looked up. */
export function hashArg(value: unknown): string {
  const hash = (value as { readonly hash?: unknown } | null)?.hash;
  if (typeof hash === "string" && /^[0-9a-f]{64}$/.test(hash)) return hash;
  throw invalidArg("value", "must have the hash of what was uploaded");
}

export function describedArg(value: unknown): Pick<BlobInfo, "contentType" | "metadata"> {
  const { metadata = {} } = value as { readonly metadata?: unknown };
  const contentType = optionalText(value as Args, "contentType") ?? "application/octet-stream";
  if (!/^[\x20-\x7e]{1,200}$/.test(contentType))
    throw invalidArg("contentType", "must be 1 to 200 printable characters");
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata))
    throw invalidArg("metadata", "must be an object of texts");
  const entries = Object.entries(metadata as Record<string, unknown>);
  if (entries.some(([, text]) => typeof text !== "string")) throw invalidArg("metadata", "must be an object of texts");
  if (JSON.stringify(metadata).length > limits.blobMetadataBytes)
    throw invalidArg("metadata", `must have at most ${limits.blobMetadataBytes} bytes`);
  return { contentType, metadata: Object.fromEntries(entries) as Record<string, string> };
}
