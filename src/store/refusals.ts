/** What the drivers answer when they do not do what they were asked, in one wording. */
import { AloftError } from "../contract/errors.ts";
import type { Commit, Key } from "../contract/keyspace.ts";
import { limits } from "../contract/limits.ts";
import type { Refusal } from "./judge.ts";

export function refusalError(code: Refusal | "DISK_FULL"): AloftError {
  switch (code) {
    case "COMMIT_TOO_LARGE":
      return new AloftError(code, `a range to delete has more than ${limits.deleteRangeEntries} entries`, {
        hint: "delete it in several commits",
      });
    case "NOT_AN_INTEGER":
      return new AloftError(code, "the value to add to has not 8 bytes, or the sum is beyond 64 bits");
    case "DISK_FULL":
      return new AloftError(code, "the disk of the data folder is full: only what makes room is still written", {
        hint: "free some space on it; the server goes on by itself",
      });
  }
}

export function unknownError(cause?: unknown): AloftError {
  return new AloftError("COMMIT_UNKNOWN", "the store failed while it was committing: the commit may have happened", {
    hint: "repeat it only if a check would then fail, or if it carries `once`",
    cause,
  });
}

export function shuttingDown(): AloftError {
  return new AloftError("SHUTTING_DOWN", "the keyspace is closed");
}

export function assertGetKeys(keys: readonly Key[]): void {
  if (keys.length <= limits.getKeys) return;
  throw new AloftError(
    "COMMIT_TOO_LARGE",
    `${keys.length} keys are asked for at once, at most ${limits.getKeys} are allowed`,
  );
}

export function conflictKey(commit: Commit, index: number): Key {
  const check = commit.checks[index];
  if (check === undefined) throw new RangeError(`the commit has no check ${index}`);
  return check.kind === "range" ? check.start : check.key;
}

export function busyError(): AloftError {
  return new AloftError("KEYSPACE_BUSY", "too many commits are waiting for the store", {
    hint: "try again in a moment",
  });
}
