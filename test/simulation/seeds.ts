/**
 * Runs a simulation over many seeds. A failing one is named in the error, and runs alone with ALOFT_SEED; `npm run soak`
 * multiplies their number and begins elsewhere.
 */
const soak = Number(process.env["ALOFT_SOAK"] ?? 1);
const only = process.env["ALOFT_SEED"];

export async function overSeeds(count: number, simulate: (seed: number) => Promise<void>): Promise<void> {
  const first = only === undefined ? 1 : Number(only);
  const total = only === undefined ? count * soak : 1;
  for (let seed = first; seed < first + total; seed += 1) {
    try {
      await simulate(seed);
    } catch (error) {
      throw new Error(`seed ${seed} failed; run it alone with ALOFT_SEED=${seed}`, { cause: error });
    }
  }
}
