/** A keyspace that was restored from a copy, made ready to be another one than what it was copied from (rule 17). */
import { AloftError } from "../../contract/errors.ts";
import { openForWriting } from "./format.ts";
import { asStoreError, corruptError } from "./sqlite-errors.ts";

/** Versions of one incarnation: more than are used up in five years at 100,000 a second, and there may be 512 of them. */
const incarnationVersions = 2 ** 44;

/**
 * From now on versions are above any that the original can have given out after it was copied. Checks the file as a whole; the
 * answer is the last version before the next commit's. Throws DATA_CORRUPT, DATA_TOO_NEW.
 */
export function beginIncarnation(file: string): number {
  try {
    const db = openForWriting(file);
    try {
      const found = db.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
      if (found !== "ok") throw corruptError(file, new Error(String(found)));
      const row = db
        .prepare("SELECT max(version, (SELECT coalesce(max(version), 0) FROM log)) AS last FROM counter")
        .get();
      const last = (Math.floor(Number(row?.["last"]) / incarnationVersions) + 1) * incarnationVersions;
      if (!Number.isSafeInteger(last)) {
        throw new AloftError("DATA_CORRUPT", `${file} was restored too often`, { detail: { file } });
      }
      db.prepare("UPDATE counter SET version = ?").run(last);
      return last;
    } finally {
      db.close();
    }
  } catch (error) {
    throw asStoreError(error, file);
  }
}
