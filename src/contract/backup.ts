/**
 * The port between backups and what keeps bytes beside the keyspace: folders of contents by hash. Another kind of content joins
 * backups by one more of these.
 */
export interface ContentFolder {
  /** Its name in the data folder and in archives, small letters: `files`. */
  readonly name: string;
  readonly path: string;
  /**
   * Until the answer is called, no content is removed that anything in the keyspace names or has named since. What is there
   * when the keyspace is copied is complete for the copy then, provided that commits handed over before have ended.
   */
  hold(): () => void;
  /** Paths below `path`; the last part of each is the sha256 of its bytes in hexadecimal. */
  list(): AsyncIterable<string>;
}

export interface BackupSource {
  /** Copies the keyspace as it is at one point in time into a new file, while it is in use. */
  readonly copyKeyspace: (file: string) => Promise<void>;
  readonly contents: readonly ContentFolder[];
}

/** Takes backups of the running server, one at a time. */
export interface BackingUp {
  /**
   * Holds everything acknowledged before the call. Resolves when the archive can begin; throws BACKUP_RUNNING, DISK_FULL.
   * Whoever takes the chunks must take them to the end or call `return`.
   */
  open(): Promise<AsyncGenerator<Uint8Array>>;
}
