/** Extended headers of pax: "LENGTH KEY=VALUE\n", the length being that of the whole record in bytes. */
import { decodeText, TarError } from "./tar-header.ts";
import { type SparsePart, pair, parseDecimal, partsOfList } from "./tar-sparse.ts";

export interface PaxRecords {
  /** The last one of each key. Values that are no text of ours (attributes of files) are left out. */
  readonly values: ReadonlyMap<string, string>;
  /** Format 0.0 says its holes by repeating keys. */
  readonly sparse: readonly number[];
}

export const noPaxRecords: PaxRecords = { values: new Map(), sparse: [] };

/** Keys the reader uses; any other may hold any bytes (`SCHILY.xattr.` and the like). */
const known = /^(?:path|linkpath|size|uid|gid|mtime|GNU\.sparse\.[a-z]+)$/;

export function parsePaxRecords(bytes: Buffer): PaxRecords {
  const values = new Map<string, string>();
  const sparse: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const length = space < 0 || space - at > 10 ? 0 : parseDecimal(bytes.toString("latin1", at, space));
    const end = at + length;
    const equals = bytes.indexOf(0x3d, space);
    if (end <= space + 1 || end > bytes.length || bytes[end - 1] !== 0x0a || equals < 0 || equals >= end) {
      throw new TarError("has a damaged extended header");
    }
    const key = bytes.toString("latin1", space + 1, equals);
    if (known.test(key)) {
      const value = decodeText(bytes.subarray(equals + 1, end - 1));
      if (value.includes("\0")) throw new TarError(`has a zero byte in its ${key}`);
      if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") sparse.push(parseDecimal(value));
      values.set(key, value);
    }
    at = end;
  }
  return { values, sparse };
}

/** What a global header says holds until an entry's own says something else. An empty value takes it back. */
export function mergePaxRecords(global: PaxRecords, own: PaxRecords): PaxRecords {
  if (global.values.size === 0) return own;
  return { values: new Map([...global.values, ...own.values]), sparse: own.sparse };
}

export interface SparseNote {
  /** null: the map stands before the data. */
  readonly parts: readonly SparsePart[] | null;
  readonly bytes: number;
  readonly path: string | null;
}

/** null: no sparse file. */
export function sparseNoteOf({ values, sparse }: PaxRecords): SparseNote | null {
  const version = `${values.get("GNU.sparse.major") ?? ""}.${values.get("GNU.sparse.minor") ?? ""}`;
  const size = values.get("GNU.sparse.realsize") ?? values.get("GNU.sparse.size");
  const list = values.get("GNU.sparse.map");
  const isFirst = values.has("GNU.sparse.numblocks");
  if (version !== "1.0" && list === undefined && !isFirst) return null;
  if (size === undefined) throw new TarError("has a sparse file without a size");
  const parts = version === "1.0" ? null : list === undefined ? pair(sparse) : partsOfList(list);
  return { parts, bytes: parseDecimal(size), path: values.get("GNU.sparse.name") ?? null };
}
