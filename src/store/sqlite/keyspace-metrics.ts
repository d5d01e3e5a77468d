/** What the keyspace tells of itself, in the text format of Prometheus. */

/** Since it was opened. */
export interface KeyspaceStats {
  readonly committed: number;
  readonly conflicts: number;
  /** DISK_FULL and what else the writer has refused. */
  readonly refused: number;
  readonly unknown: number;
  /** Transactions with a sync of the disk each. */
  readonly groups: number;
  /** Transactions of reads, each with all that one turn of the server's loop asked for. */
  readonly reads: number;
  /** Commits that are not answered yet. */
  readonly waiting: number;
  /** In the log and in memory, not yet in the tree. */
  readonly unmergedEntries: number;
  readonly isDiskFull: boolean;
}

export function keyspaceMetrics(stats: KeyspaceStats): string {
  const lines: string[] = [];
  const add = (
    name: string,
    type: "counter" | "gauge",
    about: string,
    samples: Readonly<Record<string, number>>,
  ): void => {
    lines.push(`# HELP ${name} ${about}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of Object.entries(samples)) lines.push(`${name}${labels} ${value}`);
  };
  add("aloft_keyspace_commits_total", "counter", "Commits, by what became of them.", {
    '{outcome="committed"}': stats.committed,
    '{outcome="conflict"}': stats.conflicts,
    '{outcome="refused"}': stats.refused,
    '{outcome="unknown"}': stats.unknown,
  });
  add("aloft_keyspace_syncs_total", "counter", "Groups of commits, each with one sync of the disk.", {
    "": stats.groups,
  });
  add("aloft_keyspace_reads_total", "counter", "Transactions of reads, those of one turn of the loop together.", {
    "": stats.reads,
  });
  add("aloft_keyspace_commits_waiting", "gauge", "Commits that are not answered yet.", { "": stats.waiting });
  add("aloft_keyspace_unmerged_entries", "gauge", "Entries in the log that are not in the tree yet.", {
    "": stats.unmergedEntries,
  });
  add("aloft_keyspace_disk_full", "gauge", "1 while commits that need room are refused.", {
    "": stats.isDiskFull ? 1 : 0,
  });
  return `${lines.join("\n")}\n`;
}
