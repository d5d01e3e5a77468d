/** The plainest keyspace there is, against which the suite holds the drivers: everything is looked at, every time. */
import assert from "node:assert/strict";
import type { Check, Commit, CommitOutcome, RangeQuery } from "../contract/keyspace.ts";

export interface ModelEntry {
  readonly value: string;
  readonly version: number;
  readonly expiresAtMs: number;
}

export type Model = Map<string, ModelEntry>;

/** Carries the commit out in the model, and asserts that the driver's outcome is the one the model comes to. */
export function modelCommit(
  model: Model,
  commit: Commit,
  outcome: PromiseSettledResult<CommitOutcome>,
  nowMs: number,
): void {
  for (const [key, { expiresAtMs }] of model) if (expiresAtMs <= nowMs) model.delete(key);
  const failed = commit.checks.findIndex((check) => !holds(model, check));
  if (failed !== -1) {
    assert.ok(outcome.status === "fulfilled" && outcome.value.kind === "conflict");
    assert.equal(outcome.value.check, failed);
    return;
  }
  if (outcome.status === "fulfilled") assert.equal(outcome.value.kind, "committed");
  const version = outcome.status === "fulfilled" && outcome.value.kind === "committed" ? outcome.value.version : 0;
  const next = new Map(model);
  for (const write of commit.writes) {
    for (const [key, { expiresAtMs }] of next) if (expiresAtMs <= nowMs) next.delete(key);
    switch (write.kind) {
      case "set":
        next.set(text(write.key), { value: text(write.value), version, expiresAtMs: write.expiresAtMs ?? Infinity });
        break;
      case "delete":
        next.delete(text(write.key));
        break;
      case "delete-range":
        for (const key of next.keys()) if (key >= text(write.start) && key < text(write.end)) next.delete(key);
        break;
      case "add": {
        const before = next.get(text(write.key));
        if (before !== undefined && before.value.length !== 8) {
          assert.ok(outcome.status === "rejected");
          assert.equal(outcome.reason.code, "NOT_AN_INTEGER");
          return;
        }
        const bytes = Buffer.alloc(8);
        const sum = (before === undefined ? 0n : Buffer.from(before.value, "latin1").readBigInt64BE()) + write.amount;
        bytes.writeBigInt64BE(sum);
        next.set(text(write.key), { value: text(bytes), version, expiresAtMs: before?.expiresAtMs ?? Infinity });
        break;
      }
      case "append":
        assert.fail("the model does not know appends");
    }
  }
  assert.equal(outcome.status, "fulfilled");
  model.clear();
  for (const [key, entry] of next) model.set(key, entry);
}

export function modelPage(model: Model, query: RangeQuery, nowMs: number): [string, string, number][] {
  const found = [...model]
    .filter(([key, { expiresAtMs }]) => key >= text(query.start) && key < text(query.end) && expiresAtMs > nowMs)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, { value, version }]): [string, string, number] => [key, value, version]);
  return query.isReverse === true ? found.toReversed() : found;
}

function holds(model: Model, check: Check): boolean {
  if (check.kind === "absent") return !model.has(text(check.key));
  if (check.kind === "version") return model.get(text(check.key))?.version === check.version;
  const found = [...model].filter(([key]) => key >= text(check.start) && key < text(check.end));
  const highest = Math.max(0, ...found.map(([, { version }]) => version));
  return found.length === check.count && highest === check.highestVersion;
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
