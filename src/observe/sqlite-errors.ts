/** What an error of `node:sqlite` means for us. Codes: https://sqlite.org/rescode.html; the low byte is the primary one. */
const sqliteCorrupt = 11;
const sqliteFull = 13;
const sqliteNotADatabase = 26;

/** The file is healthy, but was not written by this version of us. */
export class ForeignFileError extends Error {}

/** The file cannot be used and must make way for a new one. */
export function isDamage(error: unknown): boolean {
  const code = primaryCode(error);
  return error instanceof ForeignFileError || code === sqliteCorrupt || code === sqliteNotADatabase;
}

export function isFull(error: unknown): boolean {
  return primaryCode(error) === sqliteFull;
}

function primaryCode(error: unknown): number {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return 0;
  return error.errcode & 0xff;
}
