/** What a benchmark hands back, and how it is shown: one table for each part, goals beside what was reached, JSON. */

export interface Goal {
  readonly what: string;
  readonly limit: string;
  readonly reached: string;
  /** null: could not be measured. */
  readonly met: boolean | null;
}

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Report {
  readonly part: string;
  readonly tables: readonly Table[];
  readonly goals: readonly Goal[];
  /** Reasons why rows or the whole are void, and what a reader must know. */
  readonly notes: readonly string[];
  /** Every sample, for whoever wants other statistics. */
  readonly samples: unknown;
}

export function printReport(report: Report): void {
  for (const table of report.tables) printTable(table);
  if (report.goals.length > 0) {
    printTable({
      title: `${report.part}: goals`,
      columns: ["goal", "limit", "reached", ""],
      rows: report.goals.map(({ what, limit, reached, met }) => [what, limit, reached, metWord(met)]),
    });
  }
  for (const note of report.notes) console.log(`  note: ${note}`);
}

export function formatRate(perSecond: number): string {
  return Number.isNaN(perSecond) ? "-" : Math.round(perSecond).toLocaleString("en-US");
}

export function formatMs(us: number): string {
  return Number.isNaN(us) ? "-" : (us / 1000).toFixed(us < 10_000 ? 2 : 1);
}

/** Millions of bytes, as the goals are meant. */
export function formatMB(bytes: number): string {
  return Number.isNaN(bytes) ? "-" : (bytes / 1e6).toFixed(1);
}

export function formatRatio(ratio: number): string {
  return Number.isNaN(ratio) ? "-" : ratio.toFixed(2);
}

function printTable({ title, columns, rows }: Table): void {
  const widths = columns.map((column, index) => Math.max(column.length, ...rows.map((row) => row[index]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => (index === 0 ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0)))
      .join("  ")
      .trimEnd();
  console.log(`\n${title}\n${line(columns)}\n${widths.map((width) => "-".repeat(width)).join("  ")}`);
  for (const row of rows) console.log(line(row));
}

function metWord(met: boolean | null): string {
  return met === null ? "not measured" : met ? "met" : "MISSED";
}
