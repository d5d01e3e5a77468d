/**
 * A file of four bytes that an instance has as descriptor 4: the highest id of an invocation whose handler may have been
 * called (`docs/wire.md`). It lives in memory, has no name, and outlives the instance for as long as it is held here.
 */
import { closeSync, existsSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";

export interface BegunMark {
  readonly descriptor: number;
  read(): number;
  close(): void;
}

/** A memory file system where there is one: a write to a disk's file costs more, and wears it. */
const memoryFolder = "/dev/shm";

/** null when there is no place for it; the instance then says it over its socket. */
export function openBegunMark(folder: string, id: string): BegunMark | null {
  const path = join(existsSync(memoryFolder) ? memoryFolder : folder, `aloft-${id}.begun`);
  try {
    const descriptor = openSync(path, "wx+", 0o600);
    unlinkSync(path);
    // The bytes are there from the start, so that no later write to them can find the disk full.
    writeSync(descriptor, Buffer.alloc(4));
    let last: number | null = null;
    return {
      descriptor,
      read: () => last ?? readMark(descriptor),
      close() {
        if (last !== null) return;
        last = readMark(descriptor);
        closeSync(descriptor);
      },
    };
  } catch {
    return null;
  }
}

function readMark(descriptor: number): number {
  const bytes = Buffer.alloc(4);
  readSync(descriptor, bytes, 0, 4, 0);
  return bytes.readUInt32LE(0);
}
