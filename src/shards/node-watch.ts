/**
 * Who is alive, as one node sees it: another's lease row that has not changed for `leaseMs` of this node's own monotonic clock
 * belongs to a dead node (rule 8). No two clocks are ever compared.
 */
import { leaseMs } from "./lease-times.ts";

export interface LeaseRow {
  readonly node: string;
  readonly version: number;
}

export class NodeWatch {
  readonly #seen = new Map<string, { version: number; sinceMs: number }>();

  /** The nodes that live, by the rows just read. */
  observe(rows: readonly LeaseRow[], monotonicMs: number): Set<string> {
    const live = new Set<string>();
    const known = new Set(rows.map(({ node }) => node));
    for (const node of this.#seen.keys()) if (!known.has(node)) this.#seen.delete(node);
    for (const { node, version } of rows) {
      const seen = this.#seen.get(node);
      if (seen === undefined || seen.version !== version) {
        this.#seen.set(node, { version, sinceMs: monotonicMs });
        live.add(node);
      } else if (monotonicMs - seen.sinceMs < leaseMs) {
        live.add(node);
      }
    }
    return live;
  }
}
