/** How far apart two words are, to suggest what was probably meant. */

/**
 * The least number of insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` ("optimal
 * string alignment"): a swap counts once, for it is the commonest slip of the fingers.
 */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let best = Math.min(at(last, column) + 1, at(current, column - 1) + 1, at(last, column - 1) + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) best = Math.min(best, at(beforeLast, column - 2) + 1);
      current.push(best);
    }
    beforeLast = last;
    last = current;
  }
  return at(last, b.length);
}

/** The candidate nearest to the word, or null when none is near enough to be what was meant. Case does not count. */
export function nearestWord(word: string, candidates: Iterable<string>): string | null {
  // One slip in three letters is still recognisably the same word.
  let allowed = Math.max(1, Math.floor(word.length / 3));
  let nearest: string | null = null;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) > allowed) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance > allowed) continue;
    nearest = candidate;
    allowed = distance - 1;
    if (distance === 0) break;
  }
  return nearest;
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? 0;
}
