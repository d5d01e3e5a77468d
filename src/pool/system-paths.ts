/**
 * Where this machine keeps its programs and their libraries. A program that a companion starts may be a script, and nobody can
 * tell beforehand what it calls: it sees what is installed here, read-only, and nothing of what belongs to anyone.
 */
import { existsSync } from "node:fs";

const folders = [
  "/usr/bin",
  "/usr/sbin",
  "/usr/lib",
  "/usr/lib32",
  "/usr/lib64",
  "/usr/libexec",
  "/usr/share",
  // On most systems links to the ones above.
  "/bin",
  "/sbin",
  "/lib",
  "/lib32",
  "/lib64",
  // Debian's choice between programs of one name.
  "/etc/alternatives",
] as const;

let found: readonly string[] | null = null;

export function systemPaths(): readonly string[] {
  found ??= folders.filter((folder) => existsSync(folder));
  return found;
}
