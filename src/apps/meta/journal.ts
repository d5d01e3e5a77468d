/**
 * The file in which data folders of format 1 kept what is in the keyspace now; it is only read. Records, one a line, `CRC32 JSON\n`, the checksum in eight hexadecimal digits over
 * the JSON's bytes.
 *
 *   first     {"store":"aloft-meta","version":1,"snapshot":N}
 *   N records of the snapshot, then one record for each write to the disk:
 *             [SEQUENCE, KEY, VALUE, KEY, null, ...]     (null: the key is removed)
 *
 * One write is one record, whatever number of commits it carries, and the next is not begun before it is synced. So a
 * crash can have damaged only the last record of the file: a process that is killed leaves its beginning without a newline; a
 * machine that loses power may also leave holes, which are zero bytes, which JSON never holds. Such an end is cut: nobody
 * was told that it is there. Any other damage is of records that were acknowledged, and is reported, never repaired.
 */
import { crc32 } from "node:zlib";
import { AloftError } from "../../contract/errors.ts";
import type { MetaCell } from "./meta-store.ts";

const version = 1;
const newline = 0x0a;
const checksumChars = 8;
/** Hands over every record's cells, in order. Throws DATA_CORRUPT with the file and the offset, and DATA_TOO_NEW. */
export function decodeJournal(bytes: Buffer, file: string, onRecord: (cells: readonly MetaCell[]) => void): void {
  const headerEnd = bytes.indexOf(newline);
  const header = headerEnd < 0 ? null : parseHeader(decodeRecord(bytes.subarray(0, headerEnd)));
  if (header === null) throw corrupt(file, 0, "its first line is not a header");
  if (header.version > version) {
    throw new AloftError("DATA_TOO_NEW", `${file} has format ${header.version}, this version reads up to ${version}`, {
      hint: "start the version of aloft that wrote it, or a newer one",
    });
  }
  let records = 0;
  let at = headerEnd + 1;
  while (at < bytes.length) {
    const end = bytes.indexOf(newline, at);
    const line = bytes.subarray(at, end < 0 ? bytes.length : end);
    const record = end < 0 ? null : parseWrite(decodeRecord(line), records + 1);
    if (record === null) {
      const last = end < 0 || end === bytes.length - 1;
      if (last && records >= header.snapshot && (end < 0 || line.includes(0))) break;
      throw corrupt(file, at, "a record does not have the checksum it was written with");
    }
    onRecord(record);
    records += 1;
    at = end + 1;
  }
  if (records < header.snapshot) throw corrupt(file, at, "it ends within its snapshot");
}

/** The record's JSON value, or undefined when the line is damaged. */
function decodeRecord(line: Buffer): unknown {
  const json = line.subarray(checksumChars + 1);
  if (line.length < checksumChars + 2 || line.toString("latin1", 0, checksumChars + 1) !== `${checksumOf(json)} `) {
    return undefined;
  }
  try {
    return JSON.parse(json.toString("utf8"));
  } catch {
    return undefined;
  }
}

function checksumOf(bytes: Buffer): string {
  return crc32(bytes).toString(16).padStart(checksumChars, "0");
}

function parseHeader(value: unknown): { version: number; snapshot: number } | null {
  if (typeof value !== "object" || value === null) return null;
  const { store, version: found, snapshot } = value as Record<string, unknown>;
  if (store !== "aloft-meta" || typeof found !== "number") return null;
  return { version: found, snapshot: typeof snapshot === "number" ? snapshot : 0 };
}

function parseWrite(value: unknown, sequence: number): MetaCell[] | null {
  if (!Array.isArray(value) || value[0] !== sequence || value.length % 2 !== 1) return null;
  const cells: MetaCell[] = [];
  for (let index = 1; index < value.length; index += 2) {
    const key: unknown = value[index];
    const content: unknown = value[index + 1];
    if (typeof key !== "string" || (content !== null && typeof content !== "string")) return null;
    cells.push({ key, value: content });
  }
  return cells;
}

function corrupt(file: string, offset: number, what: string): AloftError {
  return new AloftError("DATA_CORRUPT", `${file} is damaged at byte ${offset}: ${what}`, {
    hint: "restore the data folder from a backup; aloft does not guess what the damaged part said",
    detail: { file, offset },
  });
}
