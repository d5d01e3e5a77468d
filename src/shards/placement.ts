/**
 * Which node should own a shard: the one whose hash with the shard's number is the highest ("rendezvous hashing", Thaler and
 * Ravishankar 1996). Every node computes the same from the same list; when one comes or goes, only its own shards move.
 */
import { createHash } from "node:crypto";

/** null when there is no node at all. */
export function ownerOf(shard: number, nodes: Iterable<string>): string | null {
  let best: string | null = null;
  let bestWeight = "";
  for (const node of nodes) {
    const weight = createHash("sha256").update(`${shard} ${node}`).digest("hex");
    if (best !== null && weight <= bestWeight) continue;
    best = node;
    bestWeight = weight;
  }
  return best;
}
