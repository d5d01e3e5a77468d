/** Journals as format 1 wrote them, for tests. */
import { crc32 } from "node:zlib";
import type { MetaCell } from "./meta-store.ts";

/** A file with `snapshot` of the records in its snapshot. */
export function journalOf(records: readonly (readonly MetaCell[])[], snapshot = 0, version = 1): Buffer {
  const writes = records.map((cells, index) => [index + 1, ...cells.flatMap(({ key, value }) => [key, value])]);
  return Buffer.concat([{ store: "aloft-meta", version, snapshot }, ...writes].map(encodeRecord));
}

function encodeRecord(value: unknown): Buffer {
  const json = JSON.stringify(value);
  return Buffer.from(`${crc32(json).toString(16).padStart(8, "0")} ${json}\n`);
}
