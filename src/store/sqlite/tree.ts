/** The merged entries, read over one connection. Every thread has its own. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { KeyText } from "../key-text.ts";
import { bufferOf } from "./key-bytes.ts";
import { corruptError } from "./sqlite-errors.ts";
import type { Cell } from "./overlay.ts";

/** The columns of `entry` but its key, in the order of every query here. */
type Row = readonly unknown[];

const columns = "version, expires_ms, large, value";
const isInRange = "key >= ? AND key < ?";

export class Tree {
  readonly #file: string;
  readonly #find: StatementSync;
  readonly #forwards: StatementSync;
  readonly #backwards: StatementSync;
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
    this.#forwards = prepare(`SELECT key, ${columns} FROM entry WHERE ${isInRange} ORDER BY key`);
    this.#backwards = prepare(`SELECT key, ${columns} FROM entry WHERE ${isInRange} ORDER BY key DESC`);
    this.#measure = prepare(
      `SELECT count(*), max(version) FROM
        (SELECT version FROM entry WHERE ${isInRange} AND (expires_ms IS NULL OR expires_ms > ?) LIMIT ?)`,
    );
    this.#large = prepare("SELECT value FROM large WHERE id = ?");
  }

  find(key: KeyText): Cell | null {
    const row = this.#find.get(bufferOf(key)) as unknown as Row | undefined;
    return row === undefined ? null : cellOf(row, 0);
  }

  /** One at a time: the next call ends what the former one has not yet yielded. */
  *scan(start: KeyText, end: KeyText, isReverse: boolean): Generator<readonly [KeyText, Cell]> {
    const statement = isReverse ? this.#backwards : this.#forwards;
    for (const row of statement.iterate(bufferOf(start), bufferOf(end)) as unknown as Iterable<Row>) {
      const key = row[0] as Uint8Array;
      yield [Buffer.prototype.latin1Slice.call(key, 0, key.length), cellOf(row, 1)];
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

function cellOf(row: Row, at: number): Cell {
  const expiresMs = row[at + 1];
  return {
    version: row[at] as number,
    expiresAtMs: expiresMs === null ? Infinity : (expiresMs as number),
    large: (row[at + 2] as number | null) ?? 0,
    value: row[at + 3] as Uint8Array | null,
  };
}
