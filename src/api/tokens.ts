/**
 * The token of the control API. Only its hash is kept: who reads the data folder cannot use it. A plain SHA-256 is
 * enough, because a token is 32 random bytes and not a password that could be guessed.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { AloftError } from "../contract/errors.ts";

export interface Tokens {
  isValid(token: string): boolean;
  /** The token that was made just now; it cannot be shown again. */
  readonly printed?: string;
}

interface Cell {
  readonly key: string;
  readonly value: string | null;
}

/** The part of the meta store that is needed here. */
export interface TokenRows {
  get(key: string): string | null;
  commit(commit: { readonly checks: readonly Cell[]; readonly writes: readonly Cell[] }): Promise<void>;
}

const key = "admin-token";
const givenCharsMin = 16; // shorter ones can be guessed over the network

/** A given token replaces the one before it; without one the one before it counts, or one is made at the first start. */
export async function openTokens(rows: TokenRows, given?: string): Promise<Tokens> {
  if (given !== undefined && (given.length < givenCharsMin || /\s/.test(given))) {
    throw new AloftError(
      "SETTING_INVALID",
      `the admin token must have at least ${givenCharsMin} characters and no spaces`,
      {
        hint: "make one with: openssl rand -base64 32",
      },
    );
  }
  const known = rows.get(key);
  const printed = given === undefined && known === null ? `aloft_${randomBytes(32).toString("base64url")}` : undefined;
  const token = given ?? printed;
  const hash = token === undefined ? (known ?? "") : digest(token).toString("hex");
  if (hash !== known) await rows.commit({ checks: [], writes: [{ key, value: hash }] });
  const expected = Buffer.from(hash, "hex");
  return {
    isValid: (candidate) => timingSafeEqual(digest(candidate), expected),
    ...(printed === undefined ? {} : { printed }),
  };
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
