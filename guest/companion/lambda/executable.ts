/**
 * Whether the kernel could run a file, found out before it is tried: `execvp` hands what is no program to the shell, which
 * then complains about its syntax, and the user would read that instead of the reason.
 */
import { accessSync, closeSync, constants, openSync, readSync, statSync } from "node:fs";

const headBytes = 20;
const machineOffset = 18;
/** A 64-bit x86 kernel runs 32-bit programs as well. */
const alsoRuns: Readonly<Record<number, number>> = { 62: 3 };

/** null: it may be run. Else the reason, in the words of AWS, which are those of the C library. */
export function whyNotExecutable(path: string): string | null {
  try {
    if (!statSync(path).isFile()) return "permission denied";
    accessSync(path, constants.X_OK);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EACCES" ? "permission denied" : "no such file or directory";
  }
  let head: Buffer;
  try {
    head = readHead(path);
  } catch {
    // A program may be executable without being readable.
    return null;
  }
  if (head.toString("latin1", 0, 2) === "#!") return null;
  if (!isElf(head)) return "exec format error";
  const own = readHead("/proc/self/exe");
  const machine = head.readUInt16LE(machineOffset);
  const ownMachine = own.readUInt16LE(machineOffset);
  return machine === ownMachine || machine === alsoRuns[ownMachine] ? null : "exec format error";
}

function isElf(head: Buffer): boolean {
  return head.length === headBytes && head.readUInt32BE(0) === 0x7f454c46;
}

function readHead(path: string): Buffer {
  const descriptor = openSync(path, "r");
  try {
    const head = Buffer.alloc(headBytes);
    return head.subarray(0, readSync(descriptor, head, 0, headBytes, 0));
  } finally {
    closeSync(descriptor);
  }
}
