/** The port of `state/` towards the HTTP door: what a signed link of a blob allows, and the bytes it moves. */
import type { BlobEntry } from "../wire/blob-shapes.ts";
import type { Environment } from "./durable.ts";

/** All that a link says; every part of it is signed, together with the app, its alias and their state. */
export type BlobLink = UploadLink | DownloadLink;

export interface UploadLink {
  readonly method: "PUT";
  readonly store: string;
  readonly key: string;
  /** Epoch milliseconds by the store's clock; not included. */
  readonly expiresAtMs: number;
  readonly bytesMax: number;
  /** What the upload must say it is: `image/png`, or any of `image/*`; null: anything. */
  readonly contentType: string | null;
  /** Only while there is no blob of this key: the link is good for one upload. */
  readonly ifAbsent: boolean;
}

export interface DownloadLink {
  readonly method: "GET";
  readonly store: string;
  readonly key: string;
  readonly expiresAtMs: number;
  readonly disposition: "attachment" | "inline";
  /** null: the last part of the key. */
  readonly filename: string | null;
}

export interface OpenBlob {
  readonly entry: BlobEntry;
  /** From `start` (included) to `end` (not included); to be taken once. */
  chunks(start: number, end: number): AsyncGenerator<Uint8Array>;
  /** To be called in any case. */
  close(): Promise<void>;
}

export interface BlobLinks {
  /** Where the link leads. Throws LINK_INVALID and LINK_EXPIRED. */
  check(
    app: string,
    alias: string,
    method: BlobLink["method"],
    query: URLSearchParams,
  ): Promise<{ readonly link: BlobLink; readonly environment: Environment }>;
  /**
   * Puts the blob, durably, by the same way as a handler's put; takes the bytes no faster than the disk, and leaves nothing behind
   * when they end with an error. Throws BLOB_EXISTS, CONTENT_TYPE_REFUSED, KEYSPACE_BUSY, DISK_FULL.
   */
  put(
    environment: Environment,
    link: UploadLink,
    contentType: string | null,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<{ readonly hash: string; readonly size: number }>;
  /** Throws BLOB_NOT_FOUND and KEYSPACE_BUSY. */
  open(environment: Environment, link: DownloadLink): Promise<OpenBlob>;
}

/** Below it no app has routes: the platform answers there itself. */
export const platformPath = "/.aloft";
/** Where links lead. */
export const uploadPath = `${platformPath}/blob/upload`;
export const downloadPath = `${platformPath}/blob/download`;
