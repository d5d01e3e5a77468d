/** A copy of the file at one point in time, while it is in use. */
import { closeSync, fsyncSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { backup } from "node:sqlite";
import { makePrivate, openForReading } from "./format.ts";
import { asStoreError } from "./sqlite-errors.ts";

/** Pages of one step; between steps others have the processor. */
const stepPages = 512;

/** The read transaction stays open throughout: what is committed meanwhile neither gets in nor makes the copy begin again. */
export async function backupFile(file: string, target: string): Promise<void> {
  const source = openForReading(file);
  try {
    source.exec("BEGIN; SELECT version FROM counter");
    makePrivate(target);
    await backup(source, target, { rate: stepPages });
    syncFile(target);
    syncFile(dirname(target));
  } catch (error) {
    rmSync(target, { force: true });
    throw asStoreError(error, target);
  } finally {
    source.close();
  }
}

function syncFile(path: string): void {
  const handle = openSync(path, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
