/** Durations as people write them: `250ms`, `20s`, `10m`, `1h`, `7d`. */

const unitsMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds, or null when the text is not a duration. A bare number is not one: its unit would be a guess. */
export function parseDurationMs(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim());
  if (match === null) return null;
  const unit = unitsMs[match[2] ?? ""];
  if (unit === undefined) return null;
  const ms = Number(match[1]) * unit;
  return Number.isSafeInteger(Math.round(ms)) ? Math.round(ms) : null;
}

/** The largest unit that divides it evenly: 60000 -> "1m", 1500 -> "1500ms". */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  for (const unit of ["d", "h", "m", "s"]) {
    const size = unitsMs[unit] ?? 1;
    if (ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

/** For reading: "0.31 ms", "4.2 ms", "1.50 s". Microseconds in. */
export function formatMicros(us: number): string {
  if (us < 10_000) return `${(us / 1000).toFixed(2)} ms`;
  if (us < 1_000_000) return `${(us / 1000).toFixed(1)} ms`;
  return `${(us / 1_000_000).toFixed(2)} s`;
}
