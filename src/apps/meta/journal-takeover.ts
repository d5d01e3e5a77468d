/**
 * Brings what a data folder of format 1 kept in a journal into the keyspace, in one commit. The journal is removed after that
 * and before anything else is written, so that a start which was interrupted anywhere takes it over again, to the same effect.
 */
import { readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { asDiskError, errnoOf } from "../disk-errors.ts";
import { syncFolder } from "../../lib/durable-files.ts";
import { decodeJournal } from "./journal.ts";
import type { MetaStore } from "./meta-store.ts";

/** Throws DATA_CORRUPT, DATA_TOO_NEW, DISK_FULL. */
export async function takeOverJournal(file: string, store: MetaStore): Promise<void> {
  try {
    const bytes = await readIfThere(file);
    if (bytes === null) return;
    const values = new Map<string, string | null>();
    decodeJournal(bytes, file, (cells) => {
      for (const { key, value } of cells) values.set(key, value);
    });
    const writes = [...values].map(([key, value]) => ({ key, value }));
    if (writes.length > 0) await store.commit({ checks: [], writes });
    await rm(dirname(file), { recursive: true });
    await syncFolder(dirname(dirname(file)));
  } catch (error) {
    throw asDiskError(error, file);
  }
}

async function readIfThere(file: string): Promise<Buffer | null> {
  try {
    return await readFile(file);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return null;
    throw error;
  }
}
