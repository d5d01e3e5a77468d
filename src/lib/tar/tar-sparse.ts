/**
 * Where the data of a sparse file lies; what is between is zeros. Four ways to say it: in the header (old GNU), in pax
 * records (0.0 and 0.1), and before the data (1.0). GNU tar manual, "Storing Sparse Files".
 */
import { blockBytes, numberAt, TarError } from "./tar-header.ts";

/** A piece of a file. */
export interface SparsePart {
  readonly offset: number;
  readonly bytes: number;
}

/** Some kilobytes of memory a thousand; a file with more holes than this is an attack. */
export const sparsePartsMax = 100_000;

/** A pax record's list: "offset,bytes,offset,bytes,...". */
export function partsOfList(list: string): SparsePart[] {
  const fields = list === "" ? [] : list.split(",", sparsePartsMax * 2 + 1);
  return pair(fields.map(parseDecimal));
}

/** Of numbers in the order offset, bytes. */
export function pair(numbers: readonly number[]): SparsePart[] {
  if (numbers.length % 2 !== 0 || numbers.length > sparsePartsMax * 2) throw new TarError("has a bad list of holes");
  const parts: SparsePart[] = [];
  for (let at = 0; at < numbers.length; at += 2) parts.push({ offset: numbers[at] ?? 0, bytes: numbers[at + 1] ?? 0 });
  return parts;
}

/** Of the old format: four in the header at 386, then 21 in each block after it while a flag says so. */
export function partsInBlock(block: Buffer, start: number, count: number): SparsePart[] {
  const parts: SparsePart[] = [];
  for (let index = 0; index < count; index++) {
    const at = start + index * 24;
    if (block[at] === 0) break;
    const offset = numberAt(block, at, 12, "list of holes");
    parts.push({ offset, bytes: numberAt(block, at + 12, 12, "list of holes") });
  }
  return parts;
}

/** In order, inside the file, and together as long as what is stored. Throws TarError. */
export function assertParts(parts: readonly SparsePart[], fileBytes: number, storedBytes: number): void {
  let end = 0;
  let stored = 0;
  for (const { offset, bytes } of parts) {
    if (offset < end || offset + bytes > fileBytes) throw new TarError("has a bad list of holes");
    end = offset + bytes;
    stored += bytes;
  }
  if (stored !== storedBytes) throw new TarError("has a list of holes that does not fit its data");
}

/** Reads the map of format 1.0: decimal numbers, each on a line, the first says how many pairs follow; whole blocks. */
export async function readDataMap(
  readBlock: () => Promise<Buffer>,
): Promise<{ readonly parts: SparsePart[]; readonly bytes: number }> {
  let text = "";
  let blocks = 0;
  const numbers: number[] = [];
  let count: number | null = null;
  for (;;) {
    if (count !== null && numbers.length === count * 2) break;
    const end = text.indexOf("\n");
    if (end < 0) {
      if (text.length > 20) throw new TarError("has a bad list of holes");
      text += (await readBlock()).toString("latin1");
      blocks += 1;
      continue;
    }
    const value = parseDecimal(text.slice(0, end));
    text = text.slice(end + 1);
    if (count !== null) numbers.push(value);
    else if (value > sparsePartsMax) throw new TarError("has a list of too many holes");
    else count = value;
  }
  return { parts: pair(numbers), bytes: blocks * blockBytes };
}

export function parseDecimal(text: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new TarError(`has a number that is none: ${JSON.stringify(text.slice(0, 40))}`);
}
