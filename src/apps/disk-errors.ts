/** What the disk says, in the words of the error table. */
import { AloftError } from "../contract/errors.ts";

/** DISK_FULL and DATA_UNWRITABLE for what the operating system reports as such; anything else comes back as it is. */
export function asDiskError(thrown: unknown, path: string): unknown {
  switch (errnoOf(thrown)) {
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return new AloftError("DISK_FULL", `there is no room left to write ${path}`, {
        hint: "free some space on the disk of the data folder; the server goes on by itself",
        cause: thrown,
      });
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new AloftError("DATA_UNWRITABLE", `${path} cannot be written`, {
        hint: "give the user that runs aloft the right to write there, or choose another folder with --data",
        cause: thrown,
      });
    default:
      return thrown;
  }
}

export function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !("code" in thrown)) return undefined;
  return typeof thrown.code === "string" ? thrown.code : undefined;
}
