/**
 * The life of a content (rule 16):
 *
 *   uploading -> pending -> referenced -> (nothing names it) -> condemned -> gone
 *
 * Whoever makes it pending does so under the check that it is not condemned, and whoever condemns it under the check that
 * nothing names it: of the two only one happens. Both, and what they do to the file, run under a lock of the hash.
 */
import { createHash, type Hash, randomBytes } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { AloftError } from "../../contract/errors.ts";
import type { Keyspace } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { decodeTuple } from "../../contract/tuple.ts";
import { writeFully } from "../../lib/durable-files.ts";
import { KeyLock } from "../../lib/key-lock.ts";
import { type BlobFiles, onDisk } from "./blob-files.ts";
import { condemnedKey, condemnedOf, type KeyRange, pendingKey, pendingOf, type Place, refsOf } from "./blob-keys.ts";

export interface Uploaded {
  /** Names it until an entry does; for limits.blobPendingMs. */
  readonly upload: string;
  readonly hash: string;
  readonly size: number;
}

export interface Upload {
  write(bytes: Uint8Array): Promise<void>;
  /** It is on the disk and pending when it resolves. */
  finish(): Promise<Uploaded>;
  abort(): Promise<void>;
}

export interface BlobContents {
  begin(environment: Place): Promise<Upload>;
  open(environment: Place, hash: string): Promise<FileHandle | null>;
  /** Removes what nothing names any more. true: some of it cannot be removed yet. */
  collect(environment: Place): Promise<boolean>;
  /** Until the answer is called nothing is removed. Whoever copies the keyspace then must let commits under way end first. */
  hold(): () => void;
  /** Resolves when nobody holds them. */
  whenFree(): Promise<void>;
}

export function createBlobContents(keyspace: Keyspace, files: BlobFiles): BlobContents {
  const lock = new KeyLock();
  let holds = 0;
  let onFree: (() => void)[] = [];

  async function begin(environment: Place): Promise<Upload> {
    const { path, handle } = await files.create();
    const sha = createHash("sha256");
    let size = 0;
    return {
      async write(bytes) {
        if (size + bytes.length > limits.blobBytes) {
          throw new AloftError("VALUE_TOO_LARGE", `a blob has at most ${limits.blobBytes} bytes`);
        }
        await onDisk(() => writeFully(handle, bytes, size));
        sha.update(bytes);
        size += bytes.length;
      },
      finish: () => finish(environment, path, handle, sha, size),
      abort: () => files.drop(path, handle),
    };
  }

  async function finish(
    environment: Place,
    path: string,
    handle: FileHandle,
    sha: Hash,
    size: number,
  ): Promise<Uploaded> {
    const hash = sha.digest("hex");
    const upload = randomBytes(12).toString("hex");
    await lock.run(lockOf(environment, hash), async () => {
      try {
        while (!(await makePending(environment, hash, upload, size))) await removeCondemned(environment, hash);
      } catch (error) {
        await files.drop(path, handle);
        throw error;
      }
      await files.keep(path, handle, environment, hash);
    });
    return { upload, hash, size };
  }

  async function makePending(environment: Place, hash: string, upload: string, size: number): Promise<boolean> {
    const outcome = await keyspace.commit({
      checks: [{ kind: "absent", key: condemnedKey(environment, hash) }],
      writes: [
        {
          kind: "set",
          key: pendingKey(environment, hash, upload),
          value: Buffer.from(String(size)),
          expiresAtMs: keyspace.clock.nowMs() + limits.blobPendingMs,
        },
      ],
    });
    return outcome.kind === "committed";
  }

  async function collect(environment: Place): Promise<boolean> {
    // Of a collector that was killed between the two.
    const { entries } = await keyspace.range(condemnedOf(environment));
    for (const { key } of entries) {
      const hash = Buffer.from(decodeTuple(key)[4] as Uint8Array).toString("hex");
      await lock.run(lockOf(environment, hash), () => removeCondemned(environment, hash));
    }
    let isLeft = false;
    for await (const hash of files.hashes(environment)) {
      if (holds > 0) return true;
      if (await has(refsOf(environment, hash))) continue;
      if (await has(pendingOf(environment, hash))) {
        isLeft = true;
        continue;
      }
      await lock.run(lockOf(environment, hash), async () => {
        // Nothing may come between this look and handing over the commit.
        if (holds > 0) isLeft = true;
        else if (await condemn(environment, hash)) await removeCondemned(environment, hash);
      });
    }
    return isLeft;
  }

  async function has(range: KeyRange): Promise<boolean> {
    return (await keyspace.range({ ...range, limit: 1 })).entries.length > 0;
  }

  async function condemn(environment: Place, hash: string): Promise<boolean> {
    const nothing = { kind: "range", count: 0, highestVersion: 0 } as const;
    const outcome = await keyspace.commit({
      checks: [
        { ...nothing, ...refsOf(environment, hash) },
        { ...nothing, ...pendingOf(environment, hash) },
      ],
      writes: [{ kind: "set", key: condemnedKey(environment, hash), value: new Uint8Array(0) }],
      isEssential: true,
    });
    return outcome.kind === "committed";
  }

  async function removeCondemned(environment: Place, hash: string): Promise<void> {
    await files.remove(environment, hash);
    await keyspace.commit({ checks: [], writes: [{ kind: "delete", key: condemnedKey(environment, hash) }] });
  }

  return {
    begin,
    collect,
    open: (environment, hash) => files.open(environment, hash),
    hold() {
      holds += 1;
      let isHeld = true;
      return () => {
        if (isHeld) holds -= 1;
        isHeld = false;
        if (holds > 0) return;
        for (const resolve of onFree) resolve();
        onFree = [];
      };
    },
    whenFree: () => (holds === 0 ? Promise.resolve() : new Promise((resolve) => onFree.push(resolve))),
  };
}

function lockOf({ id, generation }: Place, hash: string): string {
  return `${id} ${generation} ${hash}`;
}
