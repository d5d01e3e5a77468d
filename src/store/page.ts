/** Pages of a range: cut from what a driver finds there, with the query for the rest. */
import type { Entry, RangePage, RangeQuery } from "../contract/keyspace.ts";
import { limits } from "../contract/limits.ts";

export function pageLimit(query: RangeQuery): number {
  return Math.max(1, Math.min(query.limit ?? limits.rangePageEntries, limits.rangePageEntries));
}

/** `found` is in the order of the query; one entry more than fits is taken from it, to know whether there is a rest. */
export function cutPage(query: RangeQuery, found: Iterable<Entry>): RangePage {
  const entriesMax = pageLimit(query);
  const entries: Entry[] = [];
  let bytes = 0;
  for (const entry of found) {
    const last = entries.at(-1);
    if (last !== undefined && (entries.length === entriesMax || bytes + entry.value.length > limits.rangePageBytes)) {
      return {
        entries,
        next: query.isReverse === true ? { ...query, end: last.key } : { ...query, start: after(last.key) },
      };
    }
    entries.push(entry);
    bytes += entry.value.length;
  }
  return { entries, next: null };
}

/** The first key behind this one; of one byte more than any that is stored, at most. */
function after(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
