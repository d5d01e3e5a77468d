/** Blobs as they travel: what is said of one, and the entry that names it. */

export interface BlobInfo {
  /** sha256 of its bytes, 64 hexadecimal digits. */
  readonly hash: string;
  readonly size: number;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Epoch milliseconds by the store's clock. */
  readonly createdAtMs: number;
}

export interface BlobEntry {
  readonly key: string;
  readonly value: BlobInfo;
  readonly version: number;
}

/** Bytes of one piece at most. */
export const blobPieceBytes = 512 * 1024;
