/** Which files a program needs before its first instruction: its loader, and the libraries that the loader finds for it. */
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { dirname, join } from "node:path";

const PT_INTERP = 3;
/** Loaded by the C library by name when a host name is looked up; no program lists them. */
const byName = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"] as const;

/** Absolute paths as the program will ask for them; none when it is no dynamically linked program. */
export function sharedLibrariesOf(program: string): string[] {
  const loader = interpreterOf(program);
  if (loader === null) return [];
  // What `ldd` does. glibc and musl both know it.
  const listed = execFileSync(loader, ["--list", program], { encoding: "utf8", env: {} });
  const files = new Set([loader]);
  for (const line of listed.split("\n")) {
    const path = /(?:=> |^\s*)(\/\S+) \(0x/.exec(line)?.[1];
    if (path !== undefined) files.add(path);
  }
  const libc = [...files].find((path) => /\/libc\.so\.\d+$/.test(path));
  if (libc !== undefined) {
    for (const name of byName) {
      const path = join(dirname(libc), name);
      if (existsSync(path)) files.add(path);
    }
  }
  return [...files];
}

/** The path in the program's PT_INTERP header (elf(5)); null for a script, a static program, another format. */
export function interpreterOf(program: string): string | null {
  const file = openSync(program, "r");
  try {
    const head = readAt(file, 0, 64);
    const isElf64 = head.length === 64 && head.readUInt32BE(0) === 0x7f45_4c46 && head[4] === 2 && head[5] === 1;
    if (!isElf64) return null;
    const tableAt = Number(head.readBigUInt64LE(32));
    const entryBytes = head.readUInt16LE(54);
    const entries = head.readUInt16LE(56);
    const table = readAt(file, tableAt, entryBytes * entries);
    for (let at = 0; at + 56 <= table.length; at += entryBytes) {
      if (table.readUInt32LE(at) !== PT_INTERP) continue;
      const bytes = readAt(file, Number(table.readBigUInt64LE(at + 8)), Number(table.readBigUInt64LE(at + 32)));
      return bytes.toString("utf8").replace(/\0.*$/s, "");
    }
    return null;
  } finally {
    closeSync(file);
  }
}

function readAt(file: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(file, bytes, 0, length, position));
}
