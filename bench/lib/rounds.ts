/**
 * Rounds: A B C, A B C, ... so that whatever changes on the machine with time changes for all. Medians of the rounds are
 * reported with the least and the most; ratios are taken within a round first, then their median.
 */

/** `measure` once for each contestant in each round, in turn. The result's lists are in the order of the rounds. */
export async function interleave<Contestant, Sample>(
  contestants: readonly Contestant[],
  rounds: number,
  measure: (contestant: Contestant, round: number) => Promise<Sample>,
): Promise<Map<Contestant, Sample[]>> {
  const samples = new Map<Contestant, Sample[]>(contestants.map((contestant) => [contestant, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const contestant of contestants) samples.get(contestant)?.push(await measure(contestant, round));
  }
  return samples;
}

/** The value of each round divided by the other's of the same round. */
export function ratiosByRound(values: readonly number[], base: readonly number[]): number[] {
  return values.map((value, round) => value / (base[round] ?? Number.NaN));
}
