/** What code says and is told of blobs. */
import type { Context } from "./context.ts";
import type { EventFunction } from "./event.ts";
import type { Duration, FunctionOptions } from "./options.ts";
import type { QueueRetry } from "./queue.ts";

/** What is known of a blob beside its bytes. */
export interface BlobInfo {
  readonly key: string;
  readonly size: number;
  /** sha256 of its bytes, 64 hexadecimal digits. */
  readonly hash: string;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly createdAt: Date;
  /** For `ifVersion`. */
  readonly version: number;
}

export interface StoredBlob extends BlobInfo {
  /** The bytes that were asked for, read as they are taken. Read it to its end or cancel it. */
  readonly body: ReadableStream<Uint8Array>;
  bytes(): Promise<Uint8Array>;
  text(): Promise<string>;
  json(): Promise<unknown>;
}

export type BlobBody = string | Uint8Array | ArrayBuffer | Blob | ReadableStream<Uint8Array> | Request | Response;

export interface BlobPutOptions {
  /** `application/octet-stream` when left out; that of a Request, Response or Blob is taken over. */
  readonly contentType?: string | undefined;
  /** Texts of your own, 4 KiB at most. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Only when there is none. */
  readonly ifAbsent?: boolean | undefined;
  /** Only when it has this version; 0: only when there is none. */
  readonly ifVersion?: number | undefined;
}

export interface BlobGetOptions {
  /** First byte. */
  readonly start?: number | undefined;
  /** Not included. */
  readonly end?: number | undefined;
  /** The handler does not depend on it: what has changed since does not make it run again. */
  readonly snapshot?: boolean | undefined;
}

export interface BlobListOptions {
  readonly prefix?: string | undefined;
  readonly start?: string | undefined;
  readonly end?: string | undefined;
  readonly limit?: number | undefined;
  readonly reverse?: boolean | undefined;
  readonly snapshot?: boolean | undefined;
}

export interface BlobLinkOptions {
  /** How long it is good: 1 s to 30 d, 1 h when left out. */
  readonly expiresIn?: Duration | undefined;
  /**
   * Where it leads, such as `https://files.example.com`. When left out it is where the request came to that is being handled,
   * or else the app's own address as the platform knows it.
   */
  readonly origin?: string | undefined;
}

export interface BlobUploadUrlOptions extends BlobLinkOptions {
  /** Bytes that it takes; 10 GiB when left out. What is larger is cut off while it comes. */
  readonly maxBytes?: number | undefined;
  /** What the upload must say it is: `"image/png"`, or any of `"image/*"`. Anything when left out. */
  readonly contentType?: string | undefined;
  /** Only while there is no blob of this key, so that the link is good for one upload. */
  readonly ifAbsent?: boolean | undefined;
}

export interface BlobDownloadUrlOptions extends BlobLinkOptions {
  /**
   * `"attachment"`, which browsers save, when left out. With `"inline"` they show it, with no script and no access to the app's
   * pages; as part of a page (`<img>`, `<video>`) a blob is shown either way.
   */
  readonly disposition?: "attachment" | "inline" | undefined;
  /** The name to save it under; the last part of the key when left out. */
  readonly filename?: string | undefined;
}

/** What a function is told of a blob that was put or deleted. */
export interface BlobEvent {
  readonly type: "created" | "deleted";
  readonly store: string;
  readonly key: string;
  readonly size: number;
  readonly hash: string;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** When the blob was put. */
  readonly createdAt: Date;
}

export interface BlobEventOptions extends FunctionOptions {
  /** Only blobs whose key begins with it. */
  readonly prefix?: string | undefined;
  /** As of a queue: how often and when an event is tried again. */
  readonly retry?: QueueRetry | undefined;
}

export type BlobEventHandler = (event: BlobEvent, context: Context) => unknown;

/** Durable contents of any size. */
export interface BlobStore {
  readonly name: string;
  /**
   * Streams the body to the disk, then names it: readers see the former blob or all of the new one. In an event's handler it
   * is named when the handler has done well. false: the condition did not hold.
   */
  put(key: string, body: BlobBody, options?: BlobPutOptions): Promise<boolean>;
  /** null when there is none. */
  get(key: string, options?: BlobGetOptions): Promise<StoredBlob | null>;
  head(key: string, options?: { readonly snapshot?: boolean | undefined }): Promise<BlobInfo | null>;
  list(options?: BlobListOptions): AsyncIterable<BlobInfo>;
  /** Whether its condition held; without one always true. */
  delete(key: string, options?: { readonly ifVersion?: number | undefined }): Promise<boolean>;
  /** No bytes are copied. Rejects when there is nothing to copy. */
  copy(from: string, to: string): Promise<boolean>;
  /**
   * A link with which anyone may put this blob until it expires, with a PUT request of the bytes. They do not go through a
   * function, and have no limit but the link's own. Wherever it is asked for, it is not part of what commits.
   */
  uploadUrl(key: string, options?: BlobUploadUrlOptions): Promise<string>;
  /** A link with which anyone may get this blob until it expires, in parts as well. Whether there is one is not looked at. */
  downloadUrl(key: string, options?: BlobDownloadUrlOptions): Promise<string>;
  /**
   * Declares a function that is called for each blob that was put, once: what its handler writes commits together with the
   * acknowledgement. A put and its event are one commit.
   */
  onCreated(handler: BlobEventHandler): EventFunction<BlobEvent>;
  onCreated(options: BlobEventOptions, handler: BlobEventHandler): EventFunction<BlobEvent>;
  /** The same for each blob that was deleted. */
  onDeleted(handler: BlobEventHandler): EventFunction<BlobEvent>;
  onDeleted(options: BlobEventOptions, handler: BlobEventHandler): EventFunction<BlobEvent>;
}
