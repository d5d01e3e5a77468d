/**
 * How commands find a running `aloft dev` without being told: it leaves `.aloft/server.json` in the folder it serves and
 * in the one it was started in, and commands given there or below look for the file upwards. The file holds dev's token, so it is readable by
 * its user alone, gone when dev ends, and believed only when it is this user's own and names a loopback address: a file
 * that somebody else left in a parent folder must not receive our code and variables. `aloft serve` leaves no such file.
 */
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface LocalServer {
  /** Address of the control API. */
  readonly admin: string;
  readonly token: string;
  readonly pid: number;
}

const fileName = join(".aloft", "server.json");

/** The nearest one at or above the folder, or null. */
export function findLocalServer(folder: string): LocalServer | null {
  for (let here = folder; ; here = dirname(here)) {
    const found = readLocalServer(join(here, fileName));
    if (found !== null) return found;
    if (here === dirname(here)) return null;
  }
}

export function writeLocalServer(folder: string, server: LocalServer): void {
  const file = join(folder, fileName);
  mkdirSync(dirname(file), { recursive: true });
  // Removed first: the mode counts only when the file is made.
  rmSync(file, { force: true });
  writeFileSync(file, JSON.stringify(server), { mode: 0o600, flag: "wx" });
}

/** Removes the file if it is still this process's own. */
export function removeLocalServer(folder: string): void {
  const file = join(folder, fileName);
  if (readLocalServer(file)?.pid === process.pid) rmSync(file, { force: true });
}

function readLocalServer(file: string): LocalServer | null {
  try {
    const stats = statSync(file);
    if ((stats.mode & 0o077) !== 0 || stats.uid !== process.getuid?.()) return null;
    const content: unknown = JSON.parse(readFileSync(file, "utf8"));
    return isLocalServer(content) ? content : null;
  } catch {
    return null;
  }
}

function isLocalServer(content: unknown): content is LocalServer {
  if (typeof content !== "object" || content === null) return false;
  const { admin, token, pid } = content as Record<string, unknown>;
  const isLoopback = typeof admin === "string" && /^http:\/\/(?:127\.0\.0\.1|\[::1\]|localhost):\d+$/.test(admin);
  return isLoopback && typeof token === "string" && typeof pid === "number";
}
