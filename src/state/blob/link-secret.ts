/**
 * What links are signed with: one secret for each installation, made when the first link is, kept in the keyspace
 *
 *   (meta, secret, "blob-links")   32 random bytes
 *
 * so that links go on after a restart, from every node of the store, and after a restore.
 */
import { randomBytes } from "node:crypto";
import { KeyClass } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import type { Keyspace } from "../../contract/keyspace.ts";
import { encodeTuple } from "../../contract/tuple.ts";

const secretKey = encodeTuple([KeyClass.meta, "secret", "blob-links"]);
const secretBytes = 32;

/** Read once; asked for again after a failure. */
export function createLinkSecret(keyspace: Keyspace): () => Promise<Uint8Array> {
  let known: Promise<Uint8Array> | null = null;
  return async () => {
    known ??= readOrMake(keyspace);
    try {
      return await known;
    } catch (error) {
      known = null;
      throw error;
    }
  };
}

async function readOrMake(keyspace: Keyspace): Promise<Uint8Array> {
  for (;;) {
    const [entry = null] = await keyspace.get([secretKey]);
    if (entry !== null) return entry.value;
    try {
      // Whoever was first, and whether it has happened: the next look says.
      await keyspace.commit({
        checks: [{ kind: "absent", key: secretKey }],
        writes: [{ kind: "set", key: secretKey, value: randomBytes(secretBytes) }],
      });
    } catch (error) {
      if (!(error instanceof AloftError) || error.code !== "COMMIT_UNKNOWN") throw error;
    }
  }
}
