/**
 * The merged entries, read over one connection. Every thread has its own.
 *
 * `node:sqlite` takes some 5 us to hand over a row with two blobs, most of it for the memory that each gets. So SQLite itself puts
 * the rows of a longer range together into one blob and a list of numbers: measured with 60,000 rows of 110 bytes, 60-100 ms
 * instead of 600-1,000. The first few rows of a range come as they are, for that is faster when there are no more.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { KeyText } from "../key-text.ts";
import { bufferOf, lentBytes } from "./key-bytes.ts";
import { corruptError } from "./sqlite-errors.ts";
import type { Cell } from "./overlay.ts";

/** The columns of `entry` but its key, in the order of every query here. */
type Row = readonly unknown[];

const columns = "version, expires_ms, large, value";
const isInRange = "key >= ? AND key < ?";
const firstRows = 4;
const packRows = 64;
const packRowsMax = 1024;
/** As text, so that the time comes back to the last bit. */
const expiryText = "iif(expires_ms IS NULL, NULL, format('%!.17g', expires_ms))";

/** Of each packed row: bytes of the key, bytes of the value or null, then the columns. */
type Packed = readonly [number, number | null, number, string | null, number | null];
type Found = readonly [KeyText, Cell];

export class Tree {
  readonly #file: string;
  readonly #find: StatementSync;
  readonly #first: ByDirection;
  readonly #packed: ByDirection;
  readonly #measure: StatementSync;
  readonly #large: StatementSync;

  constructor(db: DatabaseSync, file: string) {
    this.#file = file;
    const prepare = (sql: string): StatementSync => {
      const statement = db.prepare(sql);
      statement.setReturnArrays(true);
      return statement;
    };
    this.#find = prepare(`SELECT ${columns} FROM entry WHERE key = ?`);
    const rows = `SELECT key, ${columns} FROM entry WHERE ${isInRange} ORDER BY key`;
    // Blobs become text for the time of concatenation only; SQLite does not look into it.
    const pack = `SELECT json_group_array(json_array(length(key), length(value), version, ${expiryText}, large)),
      CAST(group_concat(CAST(key AS TEXT) || coalesce(CAST(value AS TEXT), ''), '') AS BLOB)`;
    this.#first = { forwards: prepare(`${rows} LIMIT ?`), backwards: prepare(`${rows} DESC LIMIT ?`) };
    this.#packed = {
      forwards: prepare(`${pack} FROM (${rows} LIMIT ?)`),
      backwards: prepare(`${pack} FROM (${rows} DESC LIMIT ?)`),
    };
    this.#measure = prepare(
      `SELECT count(*), max(version) FROM
        (SELECT version FROM entry WHERE ${isInRange} AND (expires_ms IS NULL OR expires_ms > ?) LIMIT ?)`,
    );
    this.#large = prepare("SELECT value FROM large WHERE id = ?");
  }

  find(key: KeyText): Cell | null {
    const row = this.#find.get(lentBytes(key)) as unknown as Row | undefined;
    return row === undefined ? null : cellOf(row, 0);
  }

  /** `most` says how many will be wanted, as far as that is known. */
  *scan(start: KeyText, end: KeyText, isReverse: boolean, most = Number.POSITIVE_INFINITY): Generator<Found> {
    const direction = isReverse ? "backwards" : "forwards";
    let [from, to] = [bufferOf(start), bufferOf(end)];
    let found: Found[] = [];
    let wanted = most;
    for (let limit = firstRows; ; limit = packLimit(limit, wanted)) {
      const last = found.at(-1)?.[0];
      if (last !== undefined && isReverse) to = bufferOf(last);
      else if (last !== undefined) from = bufferOf(`${last}\0`);
      if (limit === firstRows) found = foundIn(this.#first[direction].all(from, to, limit) as unknown as Row[]);
      else found = unpacked(this.#packed[direction].get(from, to, limit) as unknown as Row);
      yield* found;
      if (found.length < limit) return;
      wanted -= limit;
    }
  }

  measure(start: KeyText, end: KeyText, nowMs: number, most: number): { count: number; highestVersion: number } {
    const row = this.#measure.get(bufferOf(start), bufferOf(end), nowMs, most) as unknown as Row;
    return { count: Number(row[0]), highestVersion: Number(row[1] ?? 0) };
  }

  /** Throws DATA_CORRUPT when there is none: something that exists refers to it. */
  loadLarge(id: number): Uint8Array {
    const row = this.#large.get(id) as unknown as Row | undefined;
    if (row === undefined) throw corruptError(this.#file, new Error(`the large value ${id} is missing`));
    return row[0] as Uint8Array;
  }
}

function packLimit(former: number, wanted: number): number {
  if (wanted < Infinity) return Math.min(Math.max(wanted, packRows), packRowsMax);
  return former === firstRows ? packRows : Math.min(4 * former, packRowsMax);
}

interface ByDirection {
  readonly forwards: StatementSync;
  readonly backwards: StatementSync;
}

function foundIn(rows: readonly Row[]): Found[] {
  return rows.map((row) => {
    const key = row[0] as Uint8Array;
    return [Buffer.prototype.latin1Slice.call(key, 0, key.length), cellOf(row, 1)];
  });
}

/** Values are views of the blob that all of them came in. */
function unpacked(row: Row): Found[] {
  const bytes = (row[1] ?? new Uint8Array(0)) as Uint8Array;
  let at = 0;
  return (JSON.parse(row[0] as string) as Packed[]).map(([keyBytes, valueBytes, version, expiry, large]) => {
    const text = Buffer.prototype.latin1Slice.call(bytes, at, at + keyBytes);
    at += keyBytes;
    const value = valueBytes === null ? null : new Uint8Array(bytes.buffer, bytes.byteOffset + at, valueBytes);
    at += valueBytes ?? 0;
    return [text, { version, expiresAtMs: expiry === null ? Infinity : Number(expiry), large: large ?? 0, value }];
  });
}

function cellOf(row: Row, at: number): Cell {
  const expiresMs = row[at + 1];
  return {
    version: row[at] as number,
    expiresAtMs: expiresMs === null ? Infinity : (expiresMs as number),
    large: (row[at + 2] as number | null) ?? 0,
    value: row[at + 3] as Uint8Array | null,
  };
}
