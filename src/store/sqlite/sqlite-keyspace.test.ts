import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { ManualClock } from "../../lib/clock.ts";
import { type OpenedStore, storeSuite } from "../store.suite.ts";
import { openSqliteKeyspace, type SqliteKeyspaceOptions } from "./sqlite-keyspace.ts";

async function openIn(
  folder: string,
  t: TestContext,
  clock: ManualClock,
  more: Partial<SqliteKeyspaceOptions>,
): Promise<OpenedStore> {
  const warnings: string[] = [];
  const onWarning = (text: string): number => warnings.push(text);
  const keyspace = await openSqliteKeyspace({
    file: join(folder, "ks.db"),
    clock,
    onWarning,
    reserveBytes: 0,
    ...more,
  });
  t.after(() => keyspace.close());
  return {
    keyspace,
    warnings,
    reopen: async (next = clock) => {
      await keyspace.close();
      return openIn(folder, t, next, more);
    },
  };
}

function openNew(t: TestContext, clock: ManualClock, more: Partial<SqliteKeyspaceOptions> = {}): Promise<OpenedStore> {
  const folder = mkdtempSync(join(tmpdir(), "aloft-keyspace-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return openIn(folder, t, clock, more);
}

storeSuite("sqlite", openNew);
// Merges whatever it can between any two groups, so that every read meets both layers.
storeSuite("sqlite, merging all the time", (t, clock) => openNew(t, clock, { unmergedEntries: 2, idleMs: 1 }));
