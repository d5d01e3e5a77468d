/** Finds the newest items that pass a selection, in blocks that come with the latest `lastMs` first. */
import { at, BlockReader } from "./block.ts";
import type { Selection } from "./block-kind.ts";

export interface StoredBlock {
  readonly lastMs: number;
  readonly data: Uint8Array;
}

interface Found<Item> {
  readonly atMs: number;
  readonly bytes: number;
  readonly item: Item;
}

interface SearchOptions<Item> {
  readonly decode: (reader: BlockReader) => Item;
  /** Bytes of all that is found; what is older than that is left out. */
  readonly bytesMax: number;
  readonly onDamaged: (error: unknown) => void;
}

/** Newest first; of equal times the one accepted later first. */
export function searchNewest<Item>(
  blocks: Iterable<StoredBlock>,
  selection: Selection,
  options: SearchOptions<Item>,
): Item[] {
  let found: Found<Item>[] = [];
  let oldestWanted = selection.sinceMs;
  for (const block of blocks) {
    if (block.lastMs < oldestWanted) break; // so are all that follow
    try {
      const more = searchBlock(block.data, { ...selection, sinceMs: oldestWanted }, options.decode);
      if (more.length === 0) continue;
      found = newest([...found, ...more], selection.limit, options.bytesMax);
      const last = found.at(-1);
      // Full, by number or by bytes: what is not newer than the last one cannot come in any more (of equal times, the
      // block that was read first was stored later).
      if (last !== undefined && (found.length >= selection.limit || isFull(found, options.bytesMax)))
        oldestWanted = last.atMs + 1;
    } catch (error) {
      options.onDamaged(error);
    }
  }
  return found.map((entry) => entry.item);
}

function searchBlock<Item>(
  data: Uint8Array,
  selection: Selection,
  decode: (reader: BlockReader) => Item,
): Found<Item>[] {
  const reader = new BlockReader(data);
  const id = selection.id === null ? null : Buffer.from(selection.id, "hex");
  const hits: { atMs: number; start: number }[] = [];
  while (reader.next()) {
    const { start } = reader;
    const atMs = reader.atMs;
    if (atMs < selection.sinceMs || atMs > selection.untilMs) continue;
    if (((1 << reader.flag) & selection.mask) === 0) continue;
    if (selection.app !== null && reader.string(start + at.app) !== selection.app) continue;
    if (selection.function !== null && reader.string(start + at.function) !== selection.function) continue;
    if (id !== null && reader.bytes.compare(id, 0, id.length, start + at.id, start + at.id + 16) !== 0) continue;
    hits.push({ atMs, start });
  }
  hits.reverse();
  hits.sort((a, b) => b.atMs - a.atMs);
  return hits.slice(0, selection.limit).map(({ atMs, start }) => {
    reader.seek(start);
    return { atMs, bytes: reader.end - start, item: decode(reader) };
  });
}

function newest<Item>(found: Found<Item>[], limit: number, bytesMax: number): Found<Item>[] {
  found.sort((a, b) => b.atMs - a.atMs);
  let bytes = 0;
  let kept = 0;
  while (kept < found.length && kept < limit && (kept === 0 || bytes < bytesMax)) bytes += found[kept++]?.bytes ?? 0;
  return found.slice(0, kept);
}

function isFull<Item>(found: readonly Found<Item>[], bytesMax: number): boolean {
  return found.reduce((bytes, entry) => bytes + entry.bytes, 0) >= bytesMax;
}
