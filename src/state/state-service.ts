/**
 * Commits what a handler asks for, all of it or nothing. An effect is planned by its resource into checks and writes; these
 * are committed together with the trigger's own (acknowledgement, cursor, epoch) and with the checks of what was read.
 *
 * Which check fails says what has happened: one of the trigger's own, that the event is no longer its (lost); one of what was
 * read, that the handler must run again (conflict); one that a plan has added, that the plan has grown old, and it is made anew.
 */
import type { CommitPlan, Environment, Resource, StateBatch, StateOutcome, StateService } from "../contract/durable.ts";
import { AloftError } from "../contract/errors.ts";
import type { Check, Commit, CommitOutcome, Keyspace, Write } from "../contract/keyspace.ts";
import { limits } from "../contract/limits.ts";
import type { Effect, ResourceKind, Seen } from "../wire/effects.ts";
import type { EnvironmentRegistry } from "./environments.ts";

export interface StateServiceOptions {
  readonly keyspace: Keyspace;
  readonly environments: EnvironmentRegistry;
  readonly resources: readonly Resource[];
}

export function createStateService({ keyspace, environments, resources }: StateServiceOptions): StateService {
  const byKind = new Map<ResourceKind, Resource>(resources.map((resource) => [resource.kind, resource]));

  function resourceOf(kind: ResourceKind): Resource {
    const resource = byKind.get(kind);
    if (resource !== undefined) return resource;
    throw new AloftError("REQUEST_INVALID", `there is no state of the kind "${kind.slice(0, 50)}"`);
  }

  async function commit(environment: Environment, batch: StateBatch): Promise<StateOutcome> {
    assertEffects(batch.effects);
    assertReadSet(batch.seen);
    const readChecks = checksOfSeen(environment, batch.seen);
    const fixed = [...batch.checks, environments.checkOf(environment), ...readChecks.checks];
    const readsBegin = batch.checks.length + 1;
    for (let tries = 0; tries < limits.planTries; tries++) {
      const plan = new Plan(environment, keyspace.clock.nowMs(), tries);
      const results = await planAll(batch.effects, plan);
      const outcome = await commitSurely({
        checks: plan.checks.length === 0 ? fixed : [...fixed, ...plan.checks],
        writes: [...batch.writes, ...plan.writes],
        ...(batch.once === undefined ? {} : { once: batch.once }),
        ...(batch.isEssential === undefined ? {} : { isEssential: batch.isEssential }),
      });
      if (outcome.kind === "committed") return { kind: "committed", version: outcome.version, results };
      if (outcome.check < batch.checks.length) return { kind: "lost", check: outcome.check };
      if (outcome.check < readsBegin) {
        environments.forget(environment);
        if (batch.checks.length > 0) return { kind: "lost", check: 0 };
        throw deleted(environment);
      }
      const seen = readChecks.of[outcome.check - readsBegin];
      if (seen !== undefined) return { kind: "conflict", where: placeOf(seen) };
    }
    throw new AloftError(
      "KEYSPACE_BUSY",
      `the writes were planned ${limits.planTries} times and met others every time`,
    );
  }

  async function planAll(effects: readonly Effect[], plan: Plan): Promise<unknown[]> {
    const results: unknown[] = [];
    for (const effect of effects) {
      const result = resourceOf(effect.resource).plan(effect, plan);
      // Most plan without reading anything: these are spared a turn each.
      results.push(result instanceof Promise ? await result : result);
    }
    return results;
  }

  function checksOfSeen(environment: Environment, seen: readonly Seen[]): { checks: Check[]; of: Seen[] } {
    const checks: Check[] = [];
    const of: Seen[] = [];
    for (const one of seen) {
      const check = resourceOf(one.resource).checkOf(environment, one);
      if (check === null) continue;
      checks.push(check);
      of.push(one);
    }
    return { checks, of };
  }

  /** What may have happened is repeated only where that is recognised (rule 2). */
  async function commitSurely(one: Commit): Promise<CommitOutcome> {
    for (let tries = 1; ; tries++) {
      try {
        return await keyspace.commit(one);
      } catch (error) {
        const isUnknown = error instanceof AloftError && error.code === "COMMIT_UNKNOWN";
        if (!isUnknown || one.once === undefined || tries === limits.onceTries) throw error;
      }
    }
  }

  return {
    read: async (environment, read) => await resourceOf(read.resource).read(environment, read),
    commit,
  };
}

class Plan implements CommitPlan {
  readonly environment: Environment;
  readonly nowMs: number;
  readonly tries: number;
  readonly checks: Check[] = [];
  readonly writes: Write[] = [];
  #bytes = 0;

  constructor(environment: Environment, nowMs: number, tries: number) {
    this.environment = environment;
    this.nowMs = nowMs;
    this.tries = tries;
  }

  check(check: Check): void {
    this.checks.push(check);
  }

  write(write: Write): void {
    this.writes.push(write);
    this.#bytes += bytesOf(write);
    if (this.#bytes <= limits.effectsBytes) return;
    throw new AloftError("EFFECTS_TOO_LARGE", `the writes have more than ${limits.effectsBytes} bytes together`, {
      hint: "write less in one handler, or put large content into a blob",
    });
  }
}

function bytesOf(write: Write): number {
  if (write.kind === "delete-range") return write.start.length + write.end.length;
  const keyBytes = write.kind === "append" ? write.prefix.length : write.key.length;
  return keyBytes + (write.kind === "set" || write.kind === "append" ? write.value.length : 8);
}

function assertEffects(effects: readonly Effect[]): void {
  if (effects.length <= limits.effects) return;
  const message = `${effects.length} writes in one commit, at most ${limits.effects} are allowed`;
  throw new AloftError("EFFECTS_TOO_LARGE", message, { hint: "take smaller batches, or write less in one handler" });
}

function assertReadSet(seen: readonly Seen[]): void {
  let entries = 0;
  for (const one of seen) entries += "key" in one ? 1 : Math.max(1, one.count);
  if (entries <= limits.readSetEntries) return;
  const message = `${entries} entries were read under check, at most ${limits.readSetEntries} are allowed`;
  throw new AloftError("READ_SET_TOO_LARGE", message, {
    hint: "read less in one handler, or with { snapshot: true } what need not be checked",
  });
}

/** As people name it: `kv stock/4711`. */
function placeOf(seen: Seen): string {
  if ("key" in seen) return `${seen.resource} ${seen.name}/${seen.key}`;
  return `${seen.resource} ${seen.name}, the keys from "${seen.start}"${seen.end === null ? "" : ` to "${seen.end}"`}`;
}

function deleted(environment: Environment): AloftError {
  return new AloftError("APP_NOT_FOUND", `the app ${environment.app} was deleted, and its state with it`);
}
