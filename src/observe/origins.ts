/** The functions of which a block holds something: what it is indexed by. */
import { at, BlockReader } from "./block.ts";

export interface Origin {
  readonly app: string;
  readonly function: string;
}

/** null when there are more than `max`. */
export function readOrigins(block: Uint8Array, max: number): Origin[] | null {
  const reader = new BlockReader(block);
  const seen = new Set<number>();
  let last = -1;
  while (reader.next()) {
    // Both numbers at once; they stand side by side.
    const pair = reader.view.getUint32(reader.start + at.app, true);
    if (pair === last) continue;
    last = pair;
    seen.add(pair);
    if (seen.size > max) return null;
  }
  return [...seen].map((pair) => ({
    app: reader.strings[pair & 0xffff] ?? "",
    function: reader.strings[pair >>> 16] ?? "",
  }));
}
